"""What is configured of the browser. The gateway hands it to the service as one line of JSON."""

from __future__ import annotations

import msgspec


class BrowserSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the browser is run.

    Attributes:
        executable_path: Chromium; `None`: the one Playwright knows.
        profile_dir: its cookies and storage; what it photographs is there as well.
        can_evaluate: scripts of callers may run in pages.
        has_no_sandbox: Chromium runs without its own sandbox, as containers need.
        allow_private: pages inside our network may be opened.
        private_hosts: hosts that may have such addresses, sub-domains included.
        token: what callers of the service prove themselves with.
    """

    profile_dir: str
    token: str
    executable_path: str | None = None
    headless: bool = True
    can_evaluate: bool = True
    has_no_sandbox: bool = False
    allow_private: bool = False
    private_hosts: tuple[str, ...] = ()
    max_tabs: int = 16
    action_timeout_ms: int = 30_000
    start_timeout_ms: int = 30_000
