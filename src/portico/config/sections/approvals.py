"""`approvals`: when a person decides whether an agent may act.

Source: OpenClaw configuration reference, section `approvals`; its exec approvals.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import field_validator

from portico.config.sections.base import Section, expand_home, setting


class Approvals(Section):
    """Approvals."""

    not_used: ClassVar[frozenset[str]] = frozenset({"exec", "plugin"})

    timeout_seconds: float = setting(
        1800.0, "How long an approval waits for a decision.", gt=0, le=86_400
    )
    wait_for_client: bool = setting(
        False,
        "Keep an approval open when nobody is connected who could decide; else it ends at once.",
        reload="hot",
    )
    max_pending: int = setting(
        1000, "Approvals that may wait at the same time.", ge=1, le=100_000, reload="hot"
    )
    policy_file: str | None = setting(
        None,
        "What agents may run on this machine without asking; unset: exec-approvals.json in the "
        "state directory.",
    )

    _file_at_home = field_validator("policy_file")(expand_home)
