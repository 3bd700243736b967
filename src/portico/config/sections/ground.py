"""`store`, `bus`, `logging`, `models`: what the gateway stands on."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import field_validator

from portico.config.sections.base import Section, setting


class Store(Section):
    """Where the rows live."""

    url: str | None = setting(
        None, "sqlite:///FILE or postgresql://…; unset: portico.sqlite in the state directory."
    )

    @field_validator("url")
    @classmethod
    def _known_engine(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("sqlite:", "postgresql:", "postgres:")):
            raise ValueError("the store is sqlite:///FILE or postgresql://USER@HOST/DATABASE")
        return value


class Bus(Section):
    """How the parts tell each other what happened."""

    url: str | None = setting(None, "nats://HOST for several replicas; unset: in this process.")


class Logging(Section):
    """The log."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        {"consoleLevel", "maxFileBytes", "redactPatterns", "redactSensitive"}
    )

    level: Literal["silent", "fatal", "error", "warn", "info", "debug", "trace"] = setting(
        "info", "Least important level that is written."
    )
    file: str | None = setting(None, "Log file; unset: logs/portico.log in the state directory.")
    console_style: Literal["pretty", "compact", "json"] = setting(
        "pretty", "How lines look on the console."
    )


class Models(Section):
    """Model providers. Their content is the model runtime's affair and is kept as written."""

    not_used: ClassVar[frozenset[str]] = frozenset({"bedrockDiscovery", "pricing"})

    mode: Literal["merge", "replace"] = setting(
        "merge", "Whether these providers join the built-in ones or replace them.", reload="hot"
    )
    providers: dict[str, Any] = setting(
        doc="Providers by name: baseUrl, apiKey, models.", reload="hot", default_factory=dict
    )
