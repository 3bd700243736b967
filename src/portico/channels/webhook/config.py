"""The settings of a webhook account."""

from __future__ import annotations

from pydantic import field_validator

from portico.config.sections.base import setting
from portico.config.sections.channels import AccountConfig

MIN_SECRET_CHARS = 16


class WebhookAccount(AccountConfig):
    """One partner: its secret, and where messages to it are posted."""

    secret: str = setting(
        doc="What both sides sign with: whsec_… (base64), or any text of 16 characters or more.",
        secret=True,
        reload="hot",
    )
    url: str | None = setting(
        None,
        "Where messages are posted; unset: the account only receives.",
        reload="hot",
        pattern=r"^https?://",
    )
    headers: dict[str, str] = setting(
        doc="Headers of every post, besides the signature's.", reload="hot", default_factory=dict
    )
    timeout_seconds: float = setting(20, "How long a post may take.", reload="hot", gt=0, le=28)
    tolerance_seconds: int = setting(
        300, "How old, or how far ahead, a signed request may be.", reload="hot", ge=1, le=3600
    )

    @field_validator("secret")
    @classmethod
    def _strong_enough(cls, value: str) -> str:
        from portico.channels.webhook.signature import signing_key

        if len(signing_key(value)) < MIN_SECRET_CHARS:
            raise ValueError(f"must have at least {MIN_SECRET_CHARS} characters")
        return value

    @property
    def exclusive(self) -> bool:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Every replica may receive: requests come through whatever is in front of them."""
        return False
