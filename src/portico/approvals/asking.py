"""What a client asks approval for: the params of `exec.approval.request`, and what becomes of them.

Guarantees: what a reviewer will read has nothing hidden in it and is not cut; a command that is too
long for that is refused.

Source: OpenClaw gateway protocol, `ExecApprovalRequestParams`, "exec.approval.request".
"""

from __future__ import annotations

import hashlib
import shlex
from typing import Annotated, Any, Literal

import msgspec

from portico.approvals.life import allowed_decisions
from portico.approvals.model import NewApproval
from portico.approvals.shapes import is_too_long, line, warning
from portico.auth.model import Principal
from portico.ids import new_id
from portico.protocol.errors import InvalidRequest
from portico.protocol.validation import Params

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Index = Annotated[int, msgspec.Meta(ge=0)]
LONGEST_MS = 86_400_000
MAX_ID_CHARS = 256
MAX_ARGUMENTS = 4_096
RESERVED_PREFIX = "plugin:"
_SECURITY = frozenset({"deny", "allowlist", "full"})
_ASK = frozenset({"off", "on-miss", "always"})
_HOSTS = frozenset({"gateway", "node", "sandbox"})


class SystemRunPlan(Params, frozen=True, kw_only=True):
    """What a node will run, as it has prepared it."""

    argv: tuple[str, ...]
    cwd: str | None
    command_text: str
    agent_id: str | None
    session_key: str | None
    command_preview: str | None = None
    policy_snapshot: dict[str, Any] | None = None
    mutable_file_operand: dict[str, Any] | None = None


class CommandSpan(Params, frozen=True, kw_only=True):
    """A part of the command's text."""

    start_index: Index
    end_index: Annotated[int, msgspec.Meta(ge=1)]


class _Scope(msgspec.Struct, frozen=True, tag_field="kind", rename="camel", omit_defaults=True):
    """What an approval reaches beyond this machine."""


_Short = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Days = Annotated[int, msgspec.Meta(ge=1, le=3650)]


class MessageSend(_Scope, frozen=True, kw_only=True, tag="message-send"):
    """A message to people."""

    target: _Short
    recipient_count: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    recipients: Annotated[tuple[_Short, ...], msgspec.Meta(max_length=5)] = ()
    audience: Literal["internal", "external"] | None = None


class Payment(_Scope, frozen=True, kw_only=True, tag="payment"):
    """Money."""

    amount: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    currency: Annotated[str, msgspec.Meta(min_length=1, max_length=12)]
    target: _Short


class ExternalPost(_Scope, frozen=True, kw_only=True, tag="external-post"):
    """Something published."""

    target: _Short
    visibility: Literal["public", "restricted"]


class StandingGrant(_Scope, frozen=True, kw_only=True, tag="standing-grant"):
    """An automation's command."""

    automation: _Short
    command: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    expires_in_days: _Days | None = None


class ExecApprovalRequest(Params, frozen=True, kw_only=True):
    """`{command | commandArgv | systemRunPlan, id?, timeoutMs?, twoPhase?, …}`."""

    id: NonEmpty | None = None
    command: NonEmpty | None = None
    command_argv: tuple[str, ...] | None = None
    system_run_plan: SystemRunPlan | None = None
    env: dict[str, str] | None = None
    cwd: str | None = None
    node_id: NonEmpty | None = None
    host: str | None = None
    security: str | None = None
    ask: str | None = None
    warning_text: str | None = None
    scope: dict[str, Any] | None = None
    unavailable_decisions: (
        Annotated[tuple[Literal["allow-always"], ...], msgspec.Meta(min_length=1, max_length=1)]
        | None
    ) = None
    command_spans: tuple[CommandSpan, ...] | None = None
    agent_id: str | None = None
    resolved_path: str | None = None
    session_key: str | None = None
    session_id: str | None = None
    run_id: str | None = None
    tool_call_id: str | None = None
    turn_source_channel: str | None = None
    turn_source_to: str | None = None
    turn_source_account_id: str | None = None
    turn_source_thread_id: str | float | None = None
    approval_reviewer_device_ids: tuple[NonEmpty, ...] | None = None
    require_delivery_route: bool | None = None
    suppress_delivery: bool | None = None
    deliver_to_approval_clients_only: bool | None = None
    timeout_ms: Annotated[int, msgspec.Meta(ge=1)] | None = None
    two_phase: bool | None = None


def new_approval(
    params: ExecApprovalRequest, by: Principal, *, now: int, timeout_ms: int
) -> NewApproval:
    """Return the approval a client asks for.

    Args:
        timeout_ms: how long it waits when the client does not say.

    Raises:
        InvalidRequest: it cannot be asked like that.
    """
    plan = params.system_run_plan
    command, argv = _command(params)
    _check(params, command, argv)
    allowed = allowed_decisions(ask=params.ask, unavailable=params.unavailable_decisions or ())
    request = {
        "command": line_of(command),
        "commandPreview": line(_preview(plan)) if plan else None,
        "commandArgv": None if params.host == "node" else list(argv) or None,
        "envKeys": sorted(params.env) if params.env else None,
        "systemRunBinding": _binding(params),
        "systemRunPlan": None if plan is None else msgspec.to_builtins(plan),
        "cwd": line(plan.cwd if plan else params.cwd),
        "nodeId": params.node_id if params.host == "node" else None,
        "host": _known(params.host, _HOSTS),
        "security": _known(params.security, _SECURITY),
        "ask": _known(params.ask, _ASK),
        "warningText": warning(params.warning_text),
        "scope": _scope(params.scope),
        "commandAnalysis": None,
        "unavailableDecisions": params.unavailable_decisions,
        "allowedDecisions": list(allowed),
        "agentId": (plan.agent_id if plan else None) or params.agent_id or None,
        "resolvedPath": line(params.resolved_path),
        "sessionKey": (plan.session_key if plan else None) or params.session_key or None,
        "sessionId": params.session_id or None,
        "runId": params.run_id or None,
        "toolCallId": params.tool_call_id or None,
        "turnSourceChannel": params.turn_source_channel or None,
        "turnSourceTo": params.turn_source_to or None,
        "turnSourceAccountId": params.turn_source_account_id or None,
        "turnSourceThreadId": params.turn_source_thread_id,
    }
    for name in ("commandPreview", "commandArgv", "envKeys", "unavailableDecisions"):
        if request[name] is None:
            del request[name]
    return NewApproval(
        approval_id=params.id or new_id("apr"),
        request=request,
        allowed=allowed,
        origin="client",
        fingerprint=_fingerprint(params, by),
        requested_by=by.subject,
        created_at=now,
        expires_at=now + min(params.timeout_ms or timeout_ms, LONGEST_MS),
        reviewers=tuple(dict.fromkeys(params.approval_reviewer_device_ids or ())),
        silent=params.suppress_delivery is True,
    )


def _binding(params: ExecApprovalRequest) -> dict[str, Any] | None:
    """Return what on a node the decision is for, exactly; nothing else may be run with it."""
    plan = params.system_run_plan
    if params.host != "node" or plan is None:
        return None
    return {
        "argv": list(plan.argv),
        "cwd": plan.cwd,
        "agentId": plan.agent_id or params.agent_id or None,
        "sessionKey": plan.session_key or params.session_key or None,
        "envHash": hash_of_env(params.env),
    }


def hash_of_env(env: dict[str, str] | None) -> str | None:
    """Return what names the variables of a command, so that their values need not be kept."""
    if not env:
        return None
    return hashlib.sha256(msgspec.json.encode(sorted(env.items()))).hexdigest()


def line_of(command: str) -> str:
    """Return a command as reviewers see it.

    Raises:
        InvalidRequest: they could not be shown all of it.
    """
    from portico.approvals.display import visible

    if is_too_long(command):
        raise InvalidRequest(
            "command exceeds exec approval display limit",
            details={"reason": "EXEC_APPROVAL_COMMAND_DISPLAY_LIMIT"},
        )
    return visible(command)


def _command(params: ExecApprovalRequest) -> tuple[str, tuple[str, ...]]:
    plan = params.system_run_plan
    argv = plan.argv if plan else params.command_argv or ()
    text = (plan.command_text if plan else params.command) or ""
    if plan is not None and not _says(text, argv):
        text = ""  # a yes is for the words, so a person reads these
    if not text.strip() and argv:
        text = shlex.join(argv)
    if not text.strip():
        raise InvalidRequest("command is required")
    return text, argv


def _preview(plan: SystemRunPlan) -> str | None:
    """Return the short form a plan shows, if it is one of what will be run: a shell's script."""
    shown = plan.command_preview
    if shown is None or not (shown in plan.argv or _says(shown, plan.argv)):
        return None
    return shown


def _says(text: str, argv: tuple[str, ...]) -> bool:
    """Whether a text, read as a shell reads words, is these words; the program by name or path."""
    try:
        words = shlex.split(text)
    except ValueError:
        return False
    if not words or not argv or words[1:] != list(argv[1:]):
        return False
    return argv[0] == words[0] or argv[0].rpartition("/")[2] == words[0]


def _check(params: ExecApprovalRequest, command: str, argv: tuple[str, ...]) -> None:
    if params.host == "node":
        if params.node_id is None:
            raise InvalidRequest("nodeId is required for host=node")
        if params.system_run_plan is None:
            raise InvalidRequest("systemRunPlan is required for host=node")
        if not argv:
            raise InvalidRequest("commandArgv is required for host=node")
    if len(argv) > MAX_ARGUMENTS:
        raise InvalidRequest(f"commandArgv has more than {MAX_ARGUMENTS} items")
    if params.id is None:
        return
    if params.id.startswith(RESERVED_PREFIX):
        raise InvalidRequest(f"approval ids starting with {RESERVED_PREFIX} are reserved")
    if params.id in {".", ".."} or len(params.id) > MAX_ID_CHARS or not params.id.isprintable():
        raise InvalidRequest(
            "invalid approval id", details={"code": "INVALID_APPROVAL_ID", "reason": "unsafe"}
        )


def _known(value: str | None, known: frozenset[str]) -> str | None:
    return value if value in known else None


def _scope(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        scope = msgspec.convert(value, MessageSend | Payment | ExternalPost | StandingGrant)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"invalid exec.approval.request params: at /scope: {error}") from None
    return dict(msgspec.to_builtins(scope))


def _fingerprint(params: ExecApprovalRequest, by: Principal) -> str:
    """Name what is asked and by whom; how the answer is wanted and how long it may take is no part.

    A client that lost its connection asks the same again and waits for the same approval.
    """
    asked = msgspec.structs.replace(params, two_phase=None, timeout_ms=None)
    return hashlib.sha256(msgspec.json.encode((by.subject, asked))).hexdigest()
