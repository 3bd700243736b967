"""HTML mail as text.

Guarantees: any text becomes a text; nothing is fetched, and nothing of it runs.
"""

from __future__ import annotations

import re

from html_to_markdown import ConversionOptions, PreprocessingOptions, convert

MAX_CHARS = 1_000_000
_TAG = re.compile(r"<[^<>]{0,2000}>")
_HIDDEN = re.compile(
    r"<(script|style|head|title)\b[^>]{0,500}>.{0,200000}?</\1\s*>", re.IGNORECASE | re.DOTALL
)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def to_text(html: str) -> str:
    """Return what a page says, as Markdown."""
    html = html[:MAX_CHARS].replace("\0", "")
    options = ConversionOptions(
        compact_tables=True,
        inline_data_media="alt_text_only",
        preprocessing=PreprocessingOptions(preset="minimal"),
    )
    try:
        found = convert(html, options).content or ""
    except BaseException as error:  # a panic in the library is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        found = ""
    text = _FRONT_MATTER.sub("", found, count=1).strip()
    return text or _stripped(html)


def _stripped(html: str) -> str:
    """Return the text between the tags, for what the library finds nothing in."""
    return re.sub(r"\s+", " ", _TAG.sub(" ", _HIDDEN.sub(" ", html))).strip()
