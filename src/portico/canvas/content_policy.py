"""How a page of an agent is held: what the browser is told it may do.

Guarantees: such a page has an origin of its own, that nobody shares: no storage, no cookies, no
window of ours; it loads and calls nothing but the files below the address it came from; no other
site shows it in a frame; what it links to is not told its address.

Not here: a page that means harm can still open another address in its own frame, and write into it
what it knows (docs/security.md).

Source: W3C Content Security Policy Level 3; HTML, "sandbox"; OWASP "HTML5 Security Cheat Sheet".
"""

from __future__ import annotations

import re

_BASE = re.compile(r"https?://[^\s;,'\"*]{1,1000}/")


def page_headers(base_url: str, *, framed_by: str = "'self'") -> dict[str, str]:
    """Return the headers of everything an agent wrote.

    Args:
        base_url: what it may load; ends in a slash.
        framed_by: who may show it in a frame, as a list of sources.

    Raises:
        ValueError: the address cannot stand in a policy.
    """
    if not _BASE.fullmatch(base_url):
        raise ValueError("not the address of a canvas")
    policy = (
        "sandbox allow-scripts; default-src 'none'; "
        f"script-src 'unsafe-inline' {base_url}; style-src 'unsafe-inline' {base_url}; "
        f"img-src data: blob: {base_url}; media-src data: blob: {base_url}; "
        f"font-src data: {base_url}; connect-src {base_url}; "
        f"base-uri 'none'; form-action 'none'; frame-ancestors {framed_by}"
    )
    return {
        "content-security-policy": policy,
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-dns-prefetch-control": "off",
        "permissions-policy": "camera=(), microphone=(), geolocation=(), clipboard-read=(), usb=()",
        # The page's own scripts and fonts are another origin's to it: it has none.
        "cross-origin-resource-policy": "cross-origin",
    }
