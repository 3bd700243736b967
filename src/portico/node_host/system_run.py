"""`system.run`: programs the gateway asks this machine to run, as far as its owner lets it.

Theory of operation: the stricter of the configuration and the policy file decides: run, refuse, or
ask. Where a person is needed, the gateway may have asked already: then the run comes with the plan
that was approved, and is that plan or is refused. Else this host asks, when it can.

Guarantees: words go to the program as they are, never through a shell (who wants one names it); it
gets only the variables the configuration lets through; what is judged is the file that starts;
output is bounded; the program and all of its process group end with its time, with a cancel and
with this host; nothing runs that was refused.

Source: OpenClaw gateway protocol, `system.run`, `system.run.prepare`, `exec.started`,
`exec.finished`, `exec.denied`.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from portico.approvals import matching
from portico.approvals.policy import Ask, Effective, ExecPolicy, Security, effective
from portico.approvals.policy_file import BrokenFile
from portico.node_host.asking import Asker
from portico.node_host.children import Children
from portico.node_host.model import CommandError, Invoked
from portico.node_host.plan import (
    DENIED,
    Plan,
    Snapshot,
    Words,
    check_script,
    make_plan,
    owner_of,
    snapshot_of,
    words_of,
)
from portico.node_host.run_request import RunRequest, parse_run
from portico.process.programs import Finished, ProgramMissing, ProgramTooSlow

log = structlog.get_logger()

Mode = Literal["deny", "allowlist", "ask", "full"]
EVENT_OUTPUT_CHARS: Final = 20_000
_CEILING: Final[Mapping[Mode, tuple[Security, Ask]]] = {
    "deny": ("deny", "off"),
    "allowlist": ("allowlist", "off"),
    "ask": ("allowlist", "on-miss"),
    "full": ("full", "off"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What the owner of this machine allows.

    Attributes:
        home: where programs start that are not told.
        env: what every program gets.
        env_allow: what a caller may set.
        timeout_s: when the caller does not say; `longest_s`: whatever it says.
    """

    mode: Mode
    home: Path
    env: Mapping[str, str]
    env_allow: frozenset[str]
    timeout_s: float
    longest_s: float
    max_output_bytes: int


class SystemRun:
    """Runs programs for the gateway. `asker`: who can ask a person, if anybody can."""

    def __init__(
        self,
        *,
        policy: ExecPolicy,
        children: Children,
        settings: RunSettings,
        asker: Asker | None = None,
    ) -> None:
        self._policy = policy
        self._children = children
        self._settings = settings
        self._asker = asker

    async def prepare(self, invoked: Invoked) -> dict[str, Any]:
        """`system.run.prepare`: return the plan of a run, to be approved."""
        asked = self._parse(invoked)
        words = await asyncio.to_thread(self._words, asked)
        plan = await asyncio.to_thread(self._plan, asked, words)
        rules = self._rules(owner_of(asked.agent_id))
        program = words.program
        is_certain = program is not None and not any(mark in program.path for mark in "*?")
        pattern = {"pattern": words.pinned[0], "argPattern": matching.exactly(words.argv[1:])}
        return {
            "plan": plan.to_wire(),
            "execPolicy": {"security": rules.security, "ask": rules.ask},
            "allowAlwaysCoverage": {
                "complete": is_certain,
                "patterns": [pattern] if is_certain else [],
            },
        }

    async def run(self, invoked: Invoked) -> dict[str, Any]:
        """`system.run`: run a program, and return how it ended."""
        asked = self._parse(invoked)
        words = await asyncio.to_thread(self._words, asked)
        try:
            await self._authorize(asked, words)
        except CommandError as error:
            await invoked.event("exec.denied", _event(asked, words, reason=str(error)))
            raise
        await invoked.event("exec.started", _event(asked, words))
        result = await self._carry_out(asked, words, invoked)
        output = "\n".join(one for one in (result["stdout"], result["stderr"]) if one)
        ended = {name: result[name] for name in ("exitCode", "timedOut", "success")}
        tail = output[-EVENT_OUTPUT_CHARS:]
        await invoked.event("exec.finished", _event(asked, words, **ended, output=tail))
        return result

    def _parse(self, invoked: Invoked) -> RunRequest:
        home, allowed = self._settings.home, self._settings.env_allow
        return parse_run(invoked.params, home=home, env_allow=allowed)

    def _words(self, asked: RunRequest) -> Words:
        return words_of(asked.argv, asked.cwd, self._settings.env.get("PATH", ""))

    async def _authorize(self, asked: RunRequest, words: Words) -> None:
        """Raises `CommandError` unless the run may begin."""
        agent_id, (security, ask) = owner_of(asked.agent_id), _CEILING[self._settings.mode]
        if security == "deny":
            raise CommandError(DENIED, "SYSTEM_RUN_DISABLED: security=deny")
        verdict = await asyncio.to_thread(
            self._policy.check, agent_id, words.argv, security=security, ask=ask
        )
        asks_nobody = verdict == "ask" and ask == "off" and security == "allowlist"
        if verdict == "deny" or asks_nobody:
            raise CommandError(DENIED, f"{DENIED}: {self._why_not(agent_id)}")
        if verdict == "allow":
            return
        if asked.approved is None:
            await self._ask(asked, words, agent_id)
        else:
            await self._check_approved(asked, words, agent_id)

    def _why_not(self, agent_id: str) -> str:
        rules = self._rules(agent_id)
        return "security=deny" if rules.security == "deny" else "allowlist miss"

    async def _check_approved(self, asked: RunRequest, words: Words, agent_id: str) -> None:
        """A gateway says this was approved: it must be what was approved."""
        plan = asked.plan
        if plan is None or not _is_planned(asked, plan):
            raise CommandError("INVALID_REQUEST", "explicit approval requires matching plan")
        snapshot = await asyncio.to_thread(self._snapshot, agent_id)
        if plan.policy_snapshot is None or not plan.policy_snapshot.still_holds(snapshot):
            message = f"{DENIED}: exec approval policy changed; request approval again"
            raise CommandError(DENIED, message)
        await asyncio.to_thread(check_script, plan, words)
        if asked.approved == "ask-fallback":
            await self._fall_back(words, agent_id)
        elif asked.approved == "allow-always":
            await self._remember(words, agent_id)

    async def _ask(self, asked: RunRequest, words: Words, agent_id: str) -> None:
        if self._asker is None:
            raise CommandError(DENIED, f"{DENIED}: approval required")
        plan = await asyncio.to_thread(self._plan, asked, words)
        decision = await self._asker.ask(plan, run_id=asked.run_id)
        if decision == "deny":
            raise CommandError(DENIED, f"{DENIED}: a person denied it")
        if decision is None:
            await self._fall_back(words, agent_id)
            return
        await asyncio.to_thread(check_script, plan, words)
        if decision == "allow-always":
            await self._remember(words, agent_id)

    async def _fall_back(self, words: Words, agent_id: str) -> None:
        """Nobody could be asked: what the owner wants then."""
        then = await asyncio.to_thread(self._policy.when_unanswered, agent_id, words.argv)
        if then != "allow":
            raise CommandError(DENIED, f"{DENIED}: approval required")

    async def _remember(self, words: Words, agent_id: str) -> None:
        try:
            await asyncio.to_thread(self._policy.allow_always, agent_id, words.argv)
        except (BrokenFile, OSError) as error:
            log.warning("node_host.not_remembered", error=str(error))
            message = f"{DENIED}: approval state could not be persisted"
            raise CommandError(DENIED, message) from None

    def _plan(self, asked: RunRequest, words: Words) -> Plan:
        return make_plan(
            words,
            raw_command=asked.raw_command,
            agent_id=asked.agent_id,
            session_key=asked.session_key,
            snapshot=self._snapshot(owner_of(asked.agent_id)),
        )

    def _snapshot(self, agent_id: str) -> Snapshot:
        try:
            file = self._policy.read().file
        except BrokenFile as error:
            raise CommandError(DENIED, f"{DENIED}: {error}") from None
        return snapshot_of(file, agent_id, self._rules(agent_id))

    def _rules(self, agent_id: str) -> Effective:
        security, ask = _CEILING[self._settings.mode]
        try:
            file = self._policy.read().file
        except BrokenFile:
            return Effective(security="deny", ask="always")
        return effective(file, agent_id).at_least(security, ask)

    async def _carry_out(self, asked: RunRequest, words: Words, invoked: Invoked) -> dict[str, Any]:
        limits = [asked.timeout_s or self._settings.timeout_s, self._settings.longest_s]
        limits += [invoked.timeout_s] if invoked.timeout_s else []
        try:
            finished = await self._children.run(
                words.pinned,
                env={**self._settings.env, **asked.env},
                timeout_s=min(limits),
                max_output_bytes=self._settings.max_output_bytes,
                cwd=words.cwd,
                may_say_more=True,
                on_output=invoked.progress,
            )
        except ProgramTooSlow as slow:
            return _result(None, slow.stdout, slow.stderr, error=str(slow), timed_out=True)
        except ProgramMissing as missing:
            return _result(None, b"", b"", error=str(missing))
        return _ended(finished)


def _is_planned(asked: RunRequest, plan: Plan) -> bool:
    said = (asked.argv, str(asked.cwd), asked.agent_id, asked.session_key)
    planned = (plan.argv, plan.cwd or str(asked.cwd), plan.agent_id, plan.session_key)
    return said == planned and asked.raw_command in {None, plan.command_text}


def _ended(finished: Finished) -> dict[str, Any]:
    error = f"ended by signal {-finished.code}" if finished.code < 0 else None
    code = finished.code if finished.code >= 0 else None
    result = _result(code, finished.stdout, finished.stderr, error=error)
    return {**result, "truncated": True} if finished.is_cut else result


def _result(
    code: int | None, stdout: bytes, stderr: bytes, *, error: str | None, timed_out: bool = False
) -> dict[str, Any]:
    return {
        "exitCode": code,
        "timedOut": timed_out,
        "success": code == 0,
        "stdout": stdout.decode(errors="replace"),
        "stderr": stderr.decode(errors="replace"),
        "error": error,
    }


def _event(asked: RunRequest, words: Words, **more: Any) -> dict[str, Any]:
    event: dict[str, Any] = {
        "runId": asked.run_id,
        "host": "node",
        "command": shlex.join(words.argv),
        **more,
    }
    if asked.session_key is not None:
        event["sessionKey"] = asked.session_key
    if asked.is_quiet:
        event["suppressNotifyOnExit"] = True
    return {name: value for name, value in event.items() if value is not None}
