"""QR codes, as pictures for pages.

Source: ISO/IEC 18004 by way of segno, which is loaded when the first code is drawn.
"""

from __future__ import annotations

MAX_DATA_URL = 16_384  # what the protocol lets an answer carry


def png_data_url(text: str) -> str | None:
    """Return a QR code as a `data:` URL; `None` when the text is too long for one."""
    import segno

    try:
        code = segno.make(text, error="m", micro=False, boost_error=False)
    except segno.DataOverflowError:
        return None
    url: str = code.png_data_uri(scale=6, border=4)
    return url if len(url) <= MAX_DATA_URL else None
