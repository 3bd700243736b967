"""What the browser is told of an agent's page."""

from __future__ import annotations

import pytest

from portico.canvas.content_policy import page_headers
from portico.canvas.pages import with_live_reload

BASE = "http://127.0.0.1:18789/__openclaw__/cap/abc/"


def test_a_page_may_load_what_is_below_its_address_and_nothing_else() -> None:
    policy = page_headers(BASE)["content-security-policy"]
    rules = dict(rule.partition(" ")[::2] for rule in policy.split("; "))
    assert rules["sandbox"] == "allow-scripts"
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["connect-src"] == BASE
    assert rules["frame-ancestors"] == "'self'"
    assert "allow-same-origin" not in policy


@pytest.mark.parametrize(
    "base", ["", "http://x", "http://x/; script-src *", "http://x/ y/", "ftp://x/", "http://*/"]
)
def test_an_address_that_would_change_the_policy_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match="not the address"):
        page_headers(base)


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        (b"<BODY>x</BODY></html>", b"<BODY>x%s</BODY></html>"),
        (b"<p>x", b"<p>x%s"),
        (b"", b"%s"),
        (b"</body>a</body>", b"</body>a%s</body>"),
    ],
)
def test_the_line_that_reloads_a_page(page: bytes, shown: bytes) -> None:
    script = with_live_reload(b"", "../changes/main")
    assert b'new EventSource("../changes/main")' in script
    assert with_live_reload(page, "../changes/main") == shown.replace(b"%s", script)
