"""From the configuration to how the browser service is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from portico.browser.settings import BrowserSettings
from portico.ids import new_secret

if TYPE_CHECKING:
    from portico.config.model import PorticoConfig


def browser_settings(config: PorticoConfig, state_dir: Path) -> BrowserSettings:
    """Return how a service is run, with a token of its own."""
    given = config.browser
    return BrowserSettings(
        token=new_secret(),
        profile_dir=given.profile_dir or str(state_dir / "browser"),
        executable_path=given.executable_path,
        headless=given.headless,
        can_evaluate=given.evaluate_enabled,
        has_no_sandbox=given.no_sandbox,
        allow_private=given.ssrf_policy.dangerously_allow_private_network,
        private_hosts=given.ssrf_policy.allowed_hostnames,
        max_tabs=given.max_tabs,
        action_timeout_ms=given.action_timeout_ms,
        start_timeout_ms=given.start_timeout_ms,
    )
