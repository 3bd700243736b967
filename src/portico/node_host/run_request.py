"""The parameters of `system.run` and `system.run.prepare`, checked.

Source: OpenClaw gateway protocol, `system.run`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from portico.ids import new_id
from portico.node_host.model import CommandError, text_param
from portico.node_host.plan import Plan

MAX_WORDS: Final = 4_096
MAX_COMMAND_BYTES: Final = 131_072
MAX_ENV: Final = 64
Approved = Literal["allow-once", "allow-always", "ask-fallback"]
_DECISIONS: Final = ("allow-once", "allow-always")  # compared, for anything may be asked


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A run, as it is asked for.

    Attributes:
        approved: how the gateway says it was approved; believed only with a `plan` that fits.
        timeout_s: `None`: not said.
    """

    argv: tuple[str, ...]
    cwd: Path
    run_id: str
    raw_command: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    agent_id: str | None = None
    session_key: str | None = None
    approved: Approved | None = None
    plan: Plan | None = None
    is_quiet: bool = False


def parse_run(params: dict[str, Any], *, home: Path, env_allow: frozenset[str]) -> RunRequest:
    """Return the run that parameters ask for.

    Args:
        home: where a run starts that does not say.
        env_allow: the variables a caller may set.

    Raises:
        CommandError: they ask for none, or for one that cannot be.
    """
    plan = _plan(params.get("systemRunPlan"))
    return RunRequest(
        argv=_words(params.get("command")),
        cwd=_folder(text_param(params, "cwd"), home),
        run_id=text_param(params, "runId") or new_id("exec"),
        raw_command=text_param(params, "rawCommand"),
        env=_variables(params.get("env"), env_allow),
        timeout_s=_seconds(params.get("timeoutMs")),
        agent_id=text_param(params, "agentId"),
        session_key=text_param(params, "sessionKey"),
        approved=_approved(params, plan),
        plan=plan,
        is_quiet=params.get("suppressNotifyOnExit") is True,
    )


def _words(command: Any) -> tuple[str, ...]:
    if not isinstance(command, list) or not command:
        raise _invalid("command required: a list of words")
    if not all(isinstance(word, str) and "\0" not in word for word in command) or not command[0]:
        raise _invalid("command must be a list of words")
    size = sum(len(word.encode("utf-8", "surrogatepass")) + 1 for word in command)
    if len(command) > MAX_WORDS or size > MAX_COMMAND_BYTES:
        raise _invalid("command is too long")
    return tuple(command)


def _folder(given: str | None, home: Path) -> Path:
    folder = home if given is None else Path(given)
    if "\0" in str(folder) or not folder.is_absolute():
        raise _invalid("cwd must be an absolute path")
    try:
        real = Path(os.path.realpath(folder, strict=True))
    except OSError:
        raise _invalid("working directory does not exist or is inaccessible") from None
    if not real.is_dir():
        raise _invalid("working directory does not exist or is inaccessible")
    return real


def _variables(env: Any, allowed: frozenset[str]) -> dict[str, str]:
    if env is None:
        return {}
    is_plain = isinstance(env, dict) and all(isinstance(value, str) for value in env.values())
    if not is_plain or len(env) > MAX_ENV or any("\0" in value for value in env.values()):
        raise _invalid("env must be an object of texts")
    if refused := sorted(set(env) - allowed):
        named = ", ".join(refused)[:500]
        raise _invalid(
            f"SYSTEM_RUN_DENIED: environment override rejected (blocked override keys: {named})"
        )
    return dict(env)


def _seconds(timeout_ms: Any) -> float | None:
    if timeout_ms is None:
        return None
    is_number = isinstance(timeout_ms, (int, float)) and not isinstance(timeout_ms, bool)
    if not is_number or not 0 < timeout_ms < 1e12:
        raise _invalid("timeoutMs must be a positive number")
    return float(timeout_ms) / 1000


def _plan(value: Any) -> Plan | None:
    if value is None:
        return None
    try:
        return msgspec.convert(value, Plan)
    except msgspec.ValidationError:
        raise _invalid("systemRunPlan invalid") from None


def _approved(params: dict[str, Any], plan: Plan | None) -> Approved | None:
    source, decision = params.get("approvalSource"), params.get("approvalDecision")
    is_explicit = params.get("approved") is True or decision in _DECISIONS
    if source is not None:
        if source != "ask-fallback" or is_explicit:
            raise _invalid("approvalSource invalid")
        approved: Approved | None = "ask-fallback"
    elif is_explicit:
        approved = "allow-always" if decision == "allow-always" else "allow-once"
    else:
        return None
    if plan is None:
        raise _invalid("explicit approval requires matching systemRunPlan")
    return approved


def _invalid(message: str) -> CommandError:
    return CommandError("INVALID_REQUEST", message)
