"""What a program run is, pinned down so that it can be approved: these words, here, now.

Theory of operation: a run that needs a person is prepared first. The plan names the program by the
file that would start, its arguments, its folder, the script it would read (by content) and the
rules that held. A run that says it was approved must be the plan, letter by letter, and what the
plan was made from must not have changed.

Guarantees: reads files, changes nothing. What cannot be named for certain gets no plan.

Source: OpenClaw gateway protocol, `SystemRunPlan`; `system.run.prepare`.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from portico.approvals import matching
from portico.approvals.policy import ALL_AGENTS, Effective, rules_of
from portico.approvals.policy_file import PolicyFile
from portico.node_host.model import CommandError

MAX_SCRIPT_BYTES: Final = 64 << 20
DENIED: Final = "SYSTEM_RUN_DENIED"


class Operand(msgspec.Struct, frozen=True, rename="camel"):
    """A script an interpreter would read: where in the arguments, and what it says."""

    argv_index: int
    path: str
    sha256: str


class Rule(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An allowlist entry, as far as it decides."""

    pattern: str
    arg_pattern: str | None = None
    source: str | None = None


class Snapshot(msgspec.Struct, frozen=True, rename="camel"):
    """The rules that held when a plan was made."""

    security: str
    ask: str
    ask_fallback: str
    auto_allow_skills: bool
    allowlist_rules: tuple[Rule, ...] = ()

    def still_holds(self, now: Snapshot) -> bool:
        """Whether the rules are as they were; new allowlist entries do no harm."""
        same = (self.security, self.ask, self.ask_fallback, self.auto_allow_skills)
        is_same = same == (now.security, now.ask, now.ask_fallback, now.auto_allow_skills)
        return is_same and set(self.allowlist_rules) <= set(now.allowlist_rules)


class Plan(msgspec.Struct, frozen=True, rename="camel"):
    """A prepared run. Members of other versions are ignored."""

    argv: tuple[str, ...]
    cwd: str | None = None
    command_text: str = ""
    command_preview: str | None = None
    agent_id: str | None = None
    session_key: str | None = None
    policy_snapshot: Snapshot | None = None
    mutable_file_operand: Operand | None = None

    def to_wire(self) -> dict[str, Any]:
        """The plan as the gateway takes it: no member that is not known."""
        wire: dict[str, Any] = msgspec.to_builtins(self)
        for name in ("policySnapshot", "mutableFileOperand"):
            if wire[name] is None:
                del wire[name]
        return wire


@dataclass(frozen=True, slots=True)
class Words:
    """A command's words, its folder, and the program they name; `None`: none for certain."""

    argv: tuple[str, ...]
    cwd: Path
    program: matching.Program | None

    @property
    def pinned(self) -> tuple[str, ...]:
        """The words, with the program by its path."""
        return self.argv if self.program is None else (self.program.path, *self.argv[1:])


def words_of(argv: Sequence[str], cwd: Path, search_path: str) -> Words:
    """Find the program that would start; a relative path is one of the folder."""
    name = argv[0]
    if "/" in name and not name.startswith("/"):
        argv = (os.path.normpath(cwd / name), *argv[1:])
    return Words(tuple(argv), cwd, matching.locate(argv, search_path))


def make_plan(
    words: Words,
    *,
    raw_command: str | None,
    agent_id: str | None,
    session_key: str | None,
    snapshot: Snapshot,
) -> Plan:
    """Return the plan of a run.

    Raises:
        CommandError: the program, or its script, cannot be named for certain.
    """
    if words.program is None:
        message = f"{DENIED}: approval requires a stable executable path"
        raise CommandError("INVALID_REQUEST", message)
    text = shlex.join(words.pinned)
    preview = raw_command if raw_command and raw_command != text else None
    return Plan(
        argv=words.pinned,
        cwd=str(words.cwd),
        command_text=text,
        command_preview=preview,
        agent_id=agent_id,
        session_key=session_key,
        policy_snapshot=snapshot,
        mutable_file_operand=script_of(words),
    )


def snapshot_of(file: PolicyFile, agent_id: str, rules: Effective) -> Snapshot:
    """Return the rules that hold for an agent now."""
    entries = [entry for one in rules_of(file, agent_id) for entry in one.allowlist or ()]
    listed = {Rule(one.pattern, one.arg_pattern, one.source) for one in entries}
    order = sorted(listed, key=lambda one: (one.pattern, one.arg_pattern or "", one.source or ""))
    return Snapshot(
        security=rules.security,
        ask=rules.ask,
        ask_fallback=rules.ask_fallback,
        auto_allow_skills=rules.auto_allow_skills,
        allowlist_rules=tuple(order),
    )


def script_of(words: Words) -> Operand | None:
    """Return the script an interpreter would read, if it is given one.

    Raises:
        CommandError: it cannot be read.
    """
    if words.program is None or not words.program.is_runner:
        return None
    for place, word in enumerate(words.argv[1:], start=1):
        path = words.cwd / word
        if not word.startswith("-") and _is_file(path):
            return Operand(place, str(path.resolve()), _hash_of(path))
    return None


def check_script(plan: Plan, words: Words) -> None:
    """Check that a script says what it said when its run was approved.

    Raises:
        CommandError: it does not, or another one would be read.
    """
    if script_of(words) != plan.mutable_file_operand:
        raise CommandError(DENIED, f"{DENIED}: approval script operand changed before execution")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a path, or no path at all
        return False


def _hash_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SCRIPT_BYTES + 1)
    except OSError as error:
        raise CommandError(DENIED, f"{DENIED}: {path}: {error.strerror or error}") from None
    if len(content) > MAX_SCRIPT_BYTES:
        raise CommandError(DENIED, f"{DENIED}: {path} is too large to be approved")
    return hashlib.sha256(content).hexdigest()


def owner_of(agent_id: str | None) -> str:
    """Return whose rules count; a run for nobody has those for all agents."""
    return agent_id or ALL_AGENTS
