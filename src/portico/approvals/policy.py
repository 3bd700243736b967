"""May an agent run a command here: yes, no, or ask?

Theory of operation: `security` says what may run at all (`deny` nothing, `allowlist` what an entry
fits, `full` everything), `ask` when a person is asked (`off` never, `on-miss` for what the
allowlist does not know, `always` every time). An agent's own rules come before those for all agents
(`*`), these before the defaults of the file, these before the built-in ones.

Guarantees: a value nobody knows counts as the strictest, a broken file as `deny`. What
`allow_always` remembers is this program, from this path, with exactly these arguments.

Not here: asking (`service.Approvals`), running.

Source: OpenClaw docs, "Exec approvals", policy knobs.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import msgspec
import structlog

from portico.approvals import matching
from portico.approvals.policy_file import (
    AgentRules,
    AllowlistEntry,
    BrokenFile,
    PolicyFile,
    PolicyStore,
    Rules,
    Version,
)
from portico.clock import Clock
from portico.ids import new_id

log = structlog.get_logger()

Verdict = Literal["allow", "ask", "deny"]
Security = Literal["deny", "allowlist", "full"]
Ask = Literal["off", "on-miss", "always"]
ALL_AGENTS = "*"
MAX_ENTRIES = 10_000
MAX_SHOWN_CHARS = 4_096


@dataclass(frozen=True, slots=True)
class Effective:
    """The rules that hold for one agent."""

    security: Security = "allowlist"
    ask: Ask = "on-miss"
    ask_fallback: Security = "deny"
    auto_allow_skills: bool = False

    def at_least(self, security: Security, ask: Ask) -> Effective:
        """Return the rules, as strict as these are and as is asked for."""
        return replace(
            self,
            security=min(self.security, security, key=_STRICTEST.index),
            ask=max(self.ask, ask, key=_LEAST_ASKED.index),
        )


_STRICTEST: tuple[Security, ...] = ("deny", "allowlist", "full")
_LEAST_ASKED: tuple[Ask, ...] = ("off", "on-miss", "always")
BUILT_IN = Effective()


class ExecPolicy:
    """The policy of this machine, on its file.

    Args:
        search_path: where bare names of programs are looked up, as in `PATH`.
    """

    def __init__(self, path: Path, *, search_path: str, clock: Clock) -> None:
        self._store = PolicyStore(path)
        self._search_path = search_path
        self._clock = clock
        self._complaint = ""

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._store.path

    def check(
        self,
        agent_id: str,
        argv: Sequence[str],
        *,
        security: Security = "full",
        ask: Ask = "off",
    ) -> Verdict:
        """Say whether an agent may run a command, must ask, or may not.

        Args:
            security, ask: how strict the configuration is; the stricter of it and the file counts.
        """
        file = self._file()
        if file is None or not argv:
            return "deny"
        rules = effective(file, agent_id).at_least(security, ask)
        if rules.security == "deny":
            return "deny"
        if rules.ask == "always":
            return "ask"
        if rules.security == "full" or self._is_listed(file, agent_id, argv):
            return "allow"
        return "deny" if rules.ask == "off" else "ask"

    def when_unanswered(self, agent_id: str, argv: Sequence[str]) -> Literal["allow", "deny"]:
        """Say what holds when nobody could be asked, or nobody answered (`askFallback`)."""
        file = self._file()
        fallback = "deny" if file is None or not argv else effective(file, agent_id).ask_fallback
        if file is None or fallback == "deny":
            return "deny"
        if fallback == "full" or self._is_listed(file, agent_id, argv):
            return "allow"
        return "deny"

    def allow_always(self, agent_id: str, argv: Sequence[str]) -> None:
        """Remember that an agent may run exactly this; writes the file, so call it off the loop.

        Nothing is remembered of a program that cannot be named for certain.

        Raises:
            BrokenFile: there is no telling what the file says now.
            OSError: it cannot be written.
        """
        program = matching.locate(argv, self._search_path)
        if program is None or any(mark in program.path for mark in "*?"):
            log.warning("approvals.not_remembered", agent_id=agent_id, why="no certain program")
            return
        text = shlex.join(argv)[:MAX_SHOWN_CHARS]
        entry = AllowlistEntry(
            pattern=program.path,
            id=new_id("alw"),
            arg_pattern=matching.exactly(argv[1:]),
            source="allow-always",
            command_text=text,
            last_used_at=self._clock.now_ms(),
            last_used_command=text,
            last_resolved_path=program.real,
        )
        self._store.change(lambda file: _with_entry(file, _agent(agent_id), entry))

    def locate(self, argv: Sequence[str]) -> str | None:
        """Return the path of the program that was judged: run this one."""
        program = matching.locate(argv, self._search_path)
        return None if program is None else program.path

    def read(self) -> Version:
        """Return the file.

        Raises:
            BrokenFile: it cannot be read or understood.
        """
        return self._store.read()

    def replace(self, file: PolicyFile, *, base_hash: str | None) -> Version:
        """Replace the version of the file that a writer has seen.

        Raises:
            InvalidRequest: the writer has not seen the present one.
            Unavailable: the file cannot be written.
        """
        return self._store.replace(file, base_hash=base_hash)

    def _file(self) -> PolicyFile | None:
        try:
            file = self._store.read().file
        except BrokenFile as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.error("approvals.policy_broken", error=str(error), note="nothing may run")
            return None
        self._complaint = ""
        return file

    def _is_listed(self, file: PolicyFile, agent_id: str, argv: Sequence[str]) -> bool:
        program = matching.locate(argv, self._search_path)
        return program is not None and any(
            matching.fits(
                program,
                argv[1:],
                pattern=entry.pattern,
                arg_pattern=entry.arg_pattern,
                bound_to=entry.last_resolved_path if entry.source else None,
            )
            for rules in rules_of(file, agent_id)
            for entry in rules.allowlist or ()
        )


def effective(file: PolicyFile, agent_id: str | None) -> Effective:
    """Return the rules that hold for an agent, or (`None`) by default."""
    layers: list[Rules | AgentRules] = [file.defaults] if file.defaults else []
    if agent_id is not None:
        layers = [*rules_of(file, agent_id), *layers]
    found = {
        name: next((v for one in layers if (v := getattr(one, name)) is not None), None)
        for name in ("security", "ask", "ask_fallback", "auto_allow_skills")
    }
    return Effective(
        security=_security(found["security"], BUILT_IN.security),
        ask=_ask(found["ask"]),
        ask_fallback=_security(found["ask_fallback"], BUILT_IN.ask_fallback),
        auto_allow_skills=bool(found["auto_allow_skills"]),
    )


def rules_of(file: PolicyFile, agent_id: str) -> list[AgentRules]:
    """Return an agent's own rules, then those for all agents, where there are some."""
    agents = file.agents or {}
    return [agents[name] for name in (_agent(agent_id), ALL_AGENTS) if name in agents]


def _agent(agent_id: str) -> str:
    return agent_id.strip().lower()


def _security(value: str | None, default: Security) -> Security:
    if value is None:
        return default
    return cast("Security", value) if value in {"deny", "allowlist", "full"} else "deny"


def _ask(value: str | None) -> Ask:
    if value is None:
        return BUILT_IN.ask
    return cast("Ask", value) if value in {"off", "on-miss", "always"} else "always"


def _with_entry(file: PolicyFile, agent_id: str, entry: AllowlistEntry) -> PolicyFile:
    agents = dict(file.agents or {})
    rules = agents.get(agent_id) or AgentRules()
    listed = rules.allowlist or ()
    if any(_is_same(entry, other) for other in listed):
        return file
    if len(listed) >= MAX_ENTRIES:
        raise OSError(f"the allowlist of {agent_id} is full ({MAX_ENTRIES} entries)")
    agents[agent_id] = msgspec.structs.replace(rules, allowlist=(*listed, entry))
    return msgspec.structs.replace(file, agents=agents)


def _is_same(one: AllowlistEntry, other: AllowlistEntry) -> bool:
    names = ("pattern", "arg_pattern", "source", "last_resolved_path")
    return all(getattr(one, name) == getattr(other, name) for name in names)
