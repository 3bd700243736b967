"""The tool with which an agent runs a program. Off unless it is configured.

Guarantees: a program is started by its words, never through a shell unless that is configured; it
has an environment made for it and nothing of the gateway's; it begins in the workspace. It and what
it started are ended when its time is up, when its turn is stopped, and when it has ended. Of what
it writes the beginning and the end are kept.

Source: OpenClaw, `exec` tool.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, tool
from portico.agents.tools.exec import container, sandbox
from portico.agents.tools.exec.judge import Judge, as_text
from portico.agents.tools.exec.model import Command, ExecSettings
from portico.approvals.matching import locate
from portico.clock import Clock
from portico.ids import new_id
from portico.process.programs import Finished, ProgramMissing, ProgramTooSlow, run_program
from portico.protocol.scopes import Scope

MAX_COMMAND_CHARS = 16_000
MAX_WORDS = 1_000
USUAL_S = 120
CALL_S = 12_000.0
"""The longest a call may take, the wait for a person included."""
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
# What makes a program load or run something else than it is.
_NO_ENV = re.compile(
    r"PATH|HOME|IFS|ENV|BASH_ENV|SHELLOPTS|BASHOPTS|PS4|PROMPT_COMMAND|EDITOR|PAGER|VISUAL|"
    r"(LD|DYLD|GCONV|MALLOC)_.*|(PYTHON|PERL|RUBY|NODE|JAVA|LUA|GIT|SSH|GLIBC)_?.*|_JAVA_OPTIONS|"
    r"JDK_JAVA_OPTIONS|.*_PROXY|.*_proxy",
)
_SHELL_MARKS = frozenset({"|", "||", "&", "&&", ";", ">", ">>", "<", "<<", "2>", "2>&1", "&>"})

Word = Annotated[str, msgspec.Meta(max_length=MAX_COMMAND_CHARS)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


VariablesFor = Callable[[str], Awaitable[Mapping[str, str]]]


async def _no_variables(_agent_id: str) -> Mapping[str, str]:
    return {}


class ExecArgs(ToolArgs, frozen=True, kw_only=True):
    """What `exec` takes."""

    command: Annotated[
        str, msgspec.Meta(max_length=MAX_COMMAND_CHARS, description="The command line.")
    ] = ""
    argv: Annotated[
        tuple[Word, ...],
        msgspec.Meta(max_length=MAX_WORDS, description="In place of command: its words, as is."),
    ] = ()
    workdir: Annotated[
        str | None, msgspec.Meta(description="Where to begin, within the workspace.")
    ] = None
    env: Annotated[dict[str, str], msgspec.Meta(description="Variables it gets besides.")] = (
        msgspec.field(default_factory=dict)
    )
    timeout: Annotated[Seconds, msgspec.Meta(description="Seconds it may take.")] = USUAL_S


class ExecDone(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What became of it. Without an exit code it did not end in time."""

    status: Literal["completed", "failed", "timeout"]
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False
    duration_ms: int = msgspec.field()
    cwd: str = msgspec.field()
    host: str = msgspec.field()


class ExecTools:
    """`exec`.

    Args:
        settings_for: returns how an agent runs programs.
        workspace_of: returns an agent's workspace; `None`: it has none.
        search_path: where programs are looked for, as in `PATH`.
        engine_env: what container engines are started with.
        variables_for: returns what an agent's programs get besides: the keys of its skills. What
            runs in the sandbox does not get them.
    """

    def __init__(
        self,
        *,
        settings_for: Callable[[str], ExecSettings],
        workspace_of: Callable[[str], Path | None],
        judge: Judge,
        clock: Clock,
        search_path: str,
        engine_env: Mapping[str, str] | None = None,
        variables_for: VariablesFor = _no_variables,
    ) -> None:
        self._engine_env = {"PATH": container.SEARCH_PATH, **(engine_env or {})}
        self._variables_for = variables_for
        self._settings_for = settings_for
        self._workspace_of = workspace_of
        self._judge = judge
        self._clock = clock
        self._search_path = search_path

    @tool("exec", group="runtime", scope=Scope.ADMIN, timeout_s=CALL_S)
    async def exec(self, call: ToolCall, args: ExecArgs) -> ExecDone:
        """Run a program and return its exit code and what it wrote.

        It begins in the workspace. Unless the operator has configured a shell, the command is split
        into words and run as it is: without pipes, redirections, wildcards and variables.
        """
        settings = self._settings_for(call.agent_id)
        if settings.security == "deny":
            raise ToolError("Running programs is switched off.")
        if settings.host == "node":
            raise ToolError("Programs cannot be run on nodes; set tools.exec.host.")
        command = await asyncio.to_thread(self._command, call, args, settings)
        await self._judge.check(call, command, settings)
        limit_s = min(args.timeout, settings.longest_s)
        if settings.in_container:
            return await self._contained(command, settings, limit_s)
        argv = await asyncio.to_thread(self._line, command, settings)
        env = await self._environment(call, command, settings)
        return await self._run(argv, command, settings, limit_s, env)

    async def _contained(
        self, command: Command, settings: ExecSettings, limit_s: float
    ) -> ExecDone:
        box = settings.sandbox
        program = await asyncio.to_thread(container.find_engine, box.engine)
        if program is None:
            raise ToolError(
                f"There is no sandbox: {box.engine} is not installed. The operator can install it."
            )
        name = f"portico-{new_id('exec')}".replace("_", "-")
        argv = container.wrapped(program, command, box, name=name, limit_s=limit_s)
        has_ended = False
        try:
            done = await self._run(argv, command, settings, limit_s, self._engine_env)
            has_ended = done.status != "timeout"
            return done
        finally:
            if not has_ended:  # the engine's program was killed; the container knows nothing of it
                await container.remove(program, box.engine, name, self._engine_env)

    def _command(self, call: ToolCall, args: ExecArgs, settings: ExecSettings) -> Command:
        workspace = self._workspace_of(call.agent_id)
        if workspace is None:
            raise ToolError("This agent has no workspace to run programs in.")
        argv = words(args, shell=settings.shell)
        root = workspace.resolve()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        cwd = (root / (args.workdir or ".")).resolve()
        if not cwd.is_relative_to(root) or not cwd.is_dir():
            raise ToolError("workdir is not a directory of the workspace.")
        if settings.in_container:
            path = container.SEARCH_PATH  # the image's; its programs are not looked for here
        else:
            path = sandbox.SEARCH_PATH if settings.host == "sandbox" else self._search_path
            argv = (located(argv[0], cwd=cwd, search_path=path), *argv[1:])
        return Command(
            argv=argv,
            text=args.command if settings.shell and args.command else as_text(argv),
            workspace=root,
            cwd=cwd,
            env=environment(args.env, home=root, search_path=path),
        )

    @staticmethod
    def _line(command: Command, settings: ExecSettings) -> list[str]:
        if settings.host == "gateway":
            return [*command.argv]
        program = sandbox.find_program()
        if program is None:
            raise ToolError(
                "There is no sandbox: bubblewrap is not installed. The operator can install it, or "
                'let programs run on this machine itself: tools.exec.host: "gateway".'
            )
        return sandbox.wrapped(program, command, settings.sandbox)

    async def _environment(
        self, call: ToolCall, command: Command, settings: ExecSettings
    ) -> Mapping[str, str]:
        """Return what the process is started with; the sandbox is told its own on the way in."""
        if settings.host != "gateway":
            return {"PATH": sandbox.SEARCH_PATH}
        given = await self._variables_for(call.agent_id)
        usable = {name: value for name, value in given.items() if not _NO_ENV.fullmatch(name)}
        return {**usable, **command.env}

    async def _run(
        self,
        argv: list[str],
        command: Command,
        settings: ExecSettings,
        limit_s: float,
        env: Mapping[str, str],
    ) -> ExecDone:
        began_s = self._clock.monotonic_s()
        done: Finished | None = None
        try:
            done = await run_program(
                argv,
                env=env,
                timeout_s=limit_s,
                max_output_bytes=settings.max_output_bytes,
                cwd=command.cwd,
                may_say_more=True,
            )
            out, err = done.stdout, done.stderr
        except ProgramMissing as error:
            raise ToolError(f"It could not be started: {error}") from None
        except ProgramTooSlow as error:
            out, err = error.stdout, error.stderr
        status: Literal["completed", "failed"] = "failed" if done and done.code else "completed"
        return ExecDone(
            status="timeout" if done is None else status,
            exit_code=None if done is None else done.code,
            stdout=out.decode(errors="replace"),
            stderr=err.decode(errors="replace"),
            truncated=done is not None and done.is_cut,
            duration_ms=int((self._clock.monotonic_s() - began_s) * 1000),
            cwd=str(command.cwd),
            host=settings.host,
        )


def located(name: str, *, cwd: Path, search_path: str) -> str:
    """Return the path of the program that a word names; one with slashes begins where it runs.

    Raises:
        ToolError: there is none.
    """
    path = os.path.normpath(cwd / name) if "/" in name else name
    found = locate((path,), search_path)
    if found is None:
        raise ToolError(f"There is no program {name[:200]} on this machine.")
    return found.path


def words(args: ExecArgs, *, shell: bool) -> tuple[str, ...]:
    """Return the words of a command.

    Raises:
        ToolError: there are none, or they need a shell.
    """
    if bool(args.command.strip()) == bool(args.argv):
        raise ToolError("Say either command or argv.")
    if any("\0" in text for text in (args.command, *args.argv)):
        raise ToolError("A command has no NUL characters.")
    if args.argv:
        return args.argv
    if shell:
        return ("/bin/sh", "-c", args.command)
    try:
        found = tuple(shlex.split(args.command))
    except ValueError as error:
        raise ToolError(f"The command cannot be split into words: {error}.") from None
    if not found:
        raise ToolError("Say either command or argv.")
    if mark := next((word for word in found if word in _SHELL_MARKS), None):
        raise ToolError(
            f"There is no shell here that understands {mark}: run one program at a time. "
            "To give it to a program as a word, use argv."
        )
    return found


def environment(given: Mapping[str, str], *, home: Path, search_path: str) -> dict[str, str]:
    """Return the environment of a program.

    Raises:
        ToolError: a variable is not one that may be given.
    """
    for name, value in given.items():
        if not _ENV_NAME.fullmatch(name) or _NO_ENV.fullmatch(name) or "\0" in value:
            raise ToolError(f"The variable {name[:100]} cannot be given.")
    return {
        "PATH": search_path,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        **given,
    }
