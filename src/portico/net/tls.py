"""Which servers our clients believe: one TLS context for all of them.

Building one reads every certificate authority there is: some 30 ms in which nothing else happens,
and 1 MB. A client of HTTP builds its own unless it is given one, and there may be hundreds.

Source: ssl, "SSLContext": one context serves any number of connections.
"""

from __future__ import annotations

import ssl
from functools import cache


@cache
def trusted() -> ssl.SSLContext:
    """Return the context that trusts what this machine trusts. Nobody changes it."""
    import httpx2

    return httpx2.create_ssl_context()
