"""`store`, `logging`: what the gateway stands on."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import field_validator

from portico.config.sections.base import Section, expand_home, setting


class Store(Section):
    """Where the rows live."""

    url: str | None = setting(
        None, "sqlite:///FILE or postgresql://…; unset: portico.sqlite in the state directory."
    )
    retention_days: int = setting(
        30,
        "How long finished runs, settled deliveries and the keys of messages are kept. "
        "Transcripts are kept until they are deleted.",
        ge=1,
        reload="hot",
    )

    @field_validator("url")
    @classmethod
    def _known_engine(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("sqlite:", "postgresql:", "postgres:")):
            raise ValueError("the store is sqlite:///FILE or postgresql://USER@HOST/DATABASE")
        return value


class Logging(Section):
    """The log."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        {"consoleLevel", "maxFileBytes", "redactPatterns", "redactSensitive"}
    )

    level: Literal["silent", "fatal", "error", "warn", "info", "debug", "trace"] = setting(
        "info", "Least important level that is written.", reload="hot"
    )
    file: str | None = setting(None, "Log file; unset: logs/portico.log in the state directory.")
    console_style: Literal["pretty", "compact", "json"] = setting(
        "pretty", "How lines look on the console."
    )

    _file_at_home = field_validator("file")(expand_home)
