"""RPC methods of wizards.

Source: OpenClaw gateway protocol, "wizard": problems of an answer come back as a result with
`error`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from portico.audit.service import Audit
from portico.config.issues import ConfigError
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.setup.model import (
    ACCOUNT,
    Flow,
    Progress,
    Status,
    Step,
    TooManyWizards,
    Unacceptable,
    WizardNotFound,
)

if TYPE_CHECKING:
    from portico.setup.service import Wizards

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class WizardStart(Params, frozen=True, kw_only=True):
    """`{mode?, workspace?, installDaemon?, flow?, channel?}`."""

    mode: Literal["local", "remote"] = "local"
    workspace: str | None = None
    install_daemon: bool = False
    flow: Flow = "setup"
    channel: NonEmpty | None = None


class Answer(Params, frozen=True, kw_only=True):
    """`{stepId, value?}`."""

    step_id: NonEmpty
    value: Any = None


class WizardNext(Params, frozen=True, kw_only=True):
    """`{sessionId, answer?, back?}`; `back` takes the last answer back: Portico's own."""

    session_id: NonEmpty
    answer: Answer | None = None
    back: bool = False


class WizardRef(Params, frozen=True, kw_only=True):
    """`{sessionId}`."""

    session_id: NonEmpty


class WizardCancel(Params, frozen=True, kw_only=True):
    """`{sessionId, closeInput?}`."""

    session_id: NonEmpty
    close_input: bool | None = None


class Account(Result, frozen=True, kw_only=True):
    """An account that was set up."""

    channel: str
    account_id: str


class WizardState(Result, frozen=True, kw_only=True):
    """Where a wizard is, and what is asked."""

    session_id: str | msgspec.UnsetType = msgspec.UNSET
    done: bool = msgspec.field()
    step: Step | None = None
    status: Status | None = None
    error: str | None = None
    channels: tuple[str, ...] | None = None
    accounts: tuple[Account, ...] | None = None


class WizardStatus(Result, frozen=True, kw_only=True):
    """Where a wizard is."""

    status: Status = msgspec.field()
    error: str | None = None


class WizardMethods:
    """`wizard.start`, `wizard.next`, `wizard.cancel`, `wizard.status`.

    Args:
        wizards: makes them when the first is begun, and returns the same ever after.
    """

    def __init__(self, wizards: Callable[[], Wizards], audit: Audit) -> None:
        self._made = wizards
        self._audit = audit

    @property
    def _wizards(self) -> Wizards:
        return self._made()

    @method("wizard.start", scope=Scope.ADMIN, throttled=True)
    async def start(self, call: Call, params: WizardStart) -> WizardState:
        """Begin to set the gateway up, or a channel of it, and return the first step."""
        if params.mode == "remote":
            raise InvalidRequest(
                "invalid wizard.start params: at /mode: a gateway sets itself up; "
                "where commands go is set with gateway.remote"
            )
        try:
            wizard_id, progress = await self._wizards.start(
                flow=params.flow,
                channel=params.channel,
                workspace=params.workspace or None,
                install_service=params.install_daemon,
            )
        except TooManyWizards:
            raise Unavailable("too many wizards are under way", retry_after_ms=60_000) from None
        except Unacceptable as error:
            raise InvalidRequest(f"invalid wizard.start params: at /channel: {error}") from None
        except ConfigError as error:
            raise Unavailable(f"the config file is broken: {error.issues[0].message}") from None
        return shown(progress, wizard_id)

    @method("wizard.next", scope=Scope.ADMIN)
    async def next(self, call: Call, params: WizardNext) -> WizardState:
        """Answer what is asked, go back, or show it again; the last answer writes the settings."""
        answer = params.answer
        try:
            progress = await self._wizards.next(
                params.session_id,
                step_id=answer.step_id if answer else None,
                value=answer.value if answer else None,
                back=params.back and answer is None,
            )
        except WizardNotFound:
            raise _not_found() from None
        if progress.status == "done" and answer is not None:
            await self._audit.record(
                "wizard.finished",
                actor=call.principal.subject,
                target=", ".join(progress.channels) or None,
            )
        return shown(progress)

    @method("wizard.cancel", scope=Scope.ADMIN)
    def cancel(self, call: Call, params: WizardCancel) -> WizardStatus:
        """Forget a wizard; everything is as it was before it."""
        try:
            progress = self._wizards.cancel(params.session_id)
        except WizardNotFound:
            raise _not_found() from None
        return WizardStatus(status=progress.status, error=progress.error)

    @method("wizard.status", scope=Scope.ADMIN)
    def status(self, call: Call, params: WizardRef) -> WizardStatus:
        """Say where a wizard is."""
        try:
            progress = self._wizards.status(params.session_id)
        except WizardNotFound:
            raise _not_found() from None
        return WizardStatus(status=progress.status, error=progress.error)


def shown(progress: Progress, wizard_id: str | None = None) -> WizardState:
    """Return where a wizard is, as clients are told."""
    is_done = progress.status != "running"
    has_written = progress.status == "done"
    return WizardState(
        session_id=wizard_id or msgspec.UNSET,
        done=is_done,
        step=progress.step,
        status=progress.status,
        error=progress.error,
        channels=progress.channels if has_written else None,
        accounts=tuple(Account(channel=one, account_id=ACCOUNT) for one in progress.channels)
        if has_written
        else None,
    )


def _not_found() -> InvalidRequest:
    return InvalidRequest("wizard not found", details={"code": "WIZARD_NOT_FOUND"})
