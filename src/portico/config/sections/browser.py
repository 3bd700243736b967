"""`browser`: the browser that operators and agents drive.

Source: OpenClaw configuration reference, section `browser`.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import field_validator

from portico.config.sections.base import Section, expand_home, group, setting


class BrowserReach(Section):
    """Where its pages may be."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        {"hostnameAllowlist", "blockedHostnames", "allowRfc2544BenchmarkRange"}
    )

    dangerously_allow_private_network: bool = setting(
        False, "Pages inside our network and on this machine may be opened."
    )
    allowed_hostnames: tuple[str, ...] = setting(
        (), "Hosts that may have such addresses, sub-domains included."
    )


class Browser(Section):
    """Chromium, in a process of its own."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        attachOnly cdpUrl color controlPort defaultProfile extraArgs profiles remoteCdpTimeoutMs
        localLaunchTimeoutMs snapshotDefaults tabCleanup
        """.split()
    )

    enabled: bool = setting(False, "There is a browser. It is started when it is first needed.")
    executable_path: str | None = setting(
        None, "Chromium or Chrome; unset: the one that Playwright has installed."
    )
    headless: bool = setting(True, "Without a window.")
    profile_dir: str | None = setting(
        None, "Its cookies and storage; unset: browser in the state directory."
    )
    evaluate_enabled: bool = setting(True, "Callers may run scripts in pages.")
    no_sandbox: bool = setting(
        False, "Run Chromium without its own sandbox, as root in a container has to."
    )
    max_tabs: int = setting(16, "Most open tabs.", ge=1)
    action_timeout_ms: int = setting(30_000, "The longest one action of a page may take.", ge=100)
    start_timeout_ms: int = setting(30_000, "The longest it may take to start.", ge=1_000)
    ssrf_policy: BrowserReach = group(BrowserReach, "Where its pages may be.")

    _paths_at_home = field_validator("executable_path", "profile_dir")(expand_home)
