"""`secrets`: where secrets come from."""

from __future__ import annotations

from typing import ClassVar, Literal

from portico.config.sections.base import Section, setting


class SecretProvider(Section):
    """A source of secrets."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        {"allowlist", "maxOutputBytes", "mode", "noOutputTimeoutMs", "path", "trustedDirs"}
    )

    source: Literal["env", "file", "exec"] = setting(
        "env", "exec: a program is asked.", reload="hot"
    )
    command: str | None = setting(None, "Absolute path of the program.", reload="hot")
    args: tuple[str, ...] = setting((), "Its arguments.", reload="hot")
    env: dict[str, str] = setting(
        doc="Variables it gets.", secret=True, default_factory=dict, reload="hot"
    )
    pass_env: tuple[str, ...] = setting(
        (), "Variables of the gateway it gets, besides PATH and HOME.", reload="hot"
    )
    timeout_ms: int = setting(5_000, "Longest run.", reload="hot", ge=1, le=60_000)
    json_only: bool = setting(True, "false: it may print the value itself.", reload="hot")
    allow_insecure_path: bool = setting(
        False, "Run it although others could change it.", reload="hot"
    )


class Secrets(Section):
    """Where secrets come from."""

    not_used: ClassVar[frozenset[str]] = frozenset({"defaults", "egressProxy", "resolution"})

    providers: dict[str, SecretProvider] = setting(
        doc="Programs that secret references name.", default_factory=dict, reload="hot"
    )
