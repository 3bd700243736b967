"""The tool with which agents use nodes.

Guarantees: it reaches what `node.invoke` with `operator.write` reaches, and no more: the same lists
of commands, the same approval of nodes. A program on a node is run only after a person said yes to
exactly this one. What a node answers is text from outside; who it is was approved by a person.

Source: OpenClaw, `nodes` tool.
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from typing import Annotated, Any, Literal, Protocol

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, ToolOutput, tool
from portico.agents.tools.pictures import picture
from portico.approvals.model import ApprovalAsked, Decided
from portico.channels.model import Attachment
from portico.ids import new_id
from portico.nodes import policy
from portico.nodes.invoking import NodeAnswer, NodeFailed, Order
from portico.nodes.model import NodeRow
from portico.nodes.service import Nodes
from portico.nodes.shown import bounded
from portico.protocol.errors import GatewayError

MAX_FILE_BYTES = 16_000_000
MAX_NODES = 50
_STRANGE = re.compile(r"[^\w .,'()-]")
Action = Literal[
    "status",
    "describe",
    "run",
    "which",
    "notify",
    "location_get",
    "camera_list",
    "camera_snap",
    "camera_clip",
    "screen_snapshot",
    "screen_record",
    "invoke",
]
_PLAIN: dict[str, str] = {
    "location_get": "location.get",
    "camera_list": "camera.list",
    "camera_snap": "camera.snap",
    "camera_clip": "camera.clip",
    "screen_snapshot": "screen.snapshot",
    "screen_record": "screen.record",
}
_TYPES = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "mp4": "video/mp4",
}
_WHY_NOT = {
    None: "it was refused",
    "expired": "nobody answered in time",
    "no-approval-route": "nobody could be asked",
    "cancelled": "the question was withdrawn",
    "overloaded": "too many questions wait already",
    "too-large": "the command is too long to be asked about",
}
Short = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class NodesArgs(ToolArgs, frozen=True, kw_only=True):
    """What `nodes` takes."""

    action: Annotated[Action, msgspec.Meta(description="What to do.")]
    node: Annotated[
        Short | None,
        msgspec.Meta(description="Name or id of the node; none when only one is connected."),
    ] = None
    command: Annotated[
        tuple[str, ...] | None,
        msgspec.Meta(description="run: the program and its arguments, as a list; no shell."),
    ] = None
    cwd: Annotated[Short | None, msgspec.Meta(description="run: the folder to run it in.")] = None
    bins: Annotated[
        tuple[Short, ...] | None, msgspec.Meta(description="which: names of programs to look for.")
    ] = None
    title: Annotated[Short | None, msgspec.Meta(description="notify: the title.")] = None
    body: Annotated[Short | None, msgspec.Meta(description="notify: the text.")] = None
    invoke_command: Annotated[
        Short | None, msgspec.Meta(description="invoke: a command the node has.")
    ] = None
    params: Annotated[
        dict[str, Any] | None,
        msgspec.Meta(description="invoke, camera, screen, location: parameters of the command."),
    ] = None
    timeout_ms: Annotated[int, msgspec.Meta(ge=100, le=3_600_000)] = 30_000


class Asks(Protocol):
    """Asks a person."""

    async def ask(self, asked: ApprovalAsked, *, timeout_s: float) -> Decided:
        """Wait for a decision."""
        ...


class NodeTools:
    """`nodes`.

    Args:
        patience_s: how long a person has to answer.
    """

    def __init__(self, nodes: Nodes, approvals: Asks, *, patience_s: float) -> None:
        self._nodes = nodes
        self._approvals = approvals
        self._patience_s = patience_s

    @tool("nodes", group="nodes", is_untrusted=True, timeout_s=3_600)
    async def use(self, call: ToolCall, args: NodesArgs) -> ToolOutput:
        """Use paired devices: see which there are, run programs, notify, take pictures, locate."""
        try:
            match args.action:
                case "status":
                    return _trusted({"nodes": await self._overview()})
                case "describe":
                    return _trusted(self._entry(await self._node(args.node)))
                case "run":
                    return await self._run(call, args)
                case "notify":
                    return await self._notify(call, args)
                case _:
                    return await self._other(call, args)
        except NodeFailed as error:
            raise ToolError(_reason(error)) from error
        except GatewayError as error:
            raise ToolError(error.message) from error

    # -- looking -----------------------------------------------------------------------------------

    async def _overview(self) -> list[dict[str, Any]]:
        rows = [session.row for session in self._nodes.connections.sessions()]
        return [self._entry(row) for row in rows[:MAX_NODES]]

    def _entry(self, row: NodeRow) -> dict[str, Any]:
        session = self._nodes.connections.session(row.node_id)
        entry: dict[str, Any] = {
            "node": row.node_id,
            "state": row.state,
            "connected": session is not None,
            "platform": policy.platform_of(row.about),
        }
        if row.approved is not None:  # a person has read its name
            entry["name"] = _STRANGE.sub("", row.shown_name)[:60]
        if session is not None:
            entry["commands"] = sorted(session.usable(self._nodes.settings().rules))
        if row.node_id == self._nodes.connections.active_id:
            entry["active"] = True
        return entry

    async def _node(self, named: str | None) -> NodeRow:
        if named is not None:
            return await self._nodes.directory.resolve(named)
        connected = [
            one.row for one in self._nodes.connections.sessions() if one.row.approved is not None
        ]
        if len(connected) != 1:
            raise ToolError(f"{len(connected)} nodes are connected: say which (action status)")
        return connected[0]

    # -- using -------------------------------------------------------------------------------------

    async def _run(self, call: ToolCall, args: NodesArgs) -> ToolOutput:
        row = await self._node(args.node)
        if not args.command or not args.command[0].strip():
            raise ToolError("run needs a command: a list of words")
        self._nodes.check(row.node_id, "system.run")
        asked: dict[str, Any] = {"command": list(args.command)}
        asked |= {"agentId": call.agent_id, "sessionKey": call.session_key}
        if args.cwd is not None:
            asked["cwd"] = args.cwd
        plan = await self._plan(row, call, asked, args)
        argv = tuple(plan["argv"]) if plan else args.command
        cwd = plan.get("cwd") if plan else args.cwd
        await self._ask(call, row, argv, cwd)
        sent = {
            **asked,
            "command": list(argv),
            "rawCommand": shlex.join(argv) if plan is None else plan.get("commandText"),
            "timeoutMs": args.timeout_ms,
            "approved": True,
            "approvalDecision": "allow-once",
            "runId": new_id("run"),
            "suppressNotifyOnExit": True,
        }
        if plan is not None:
            sent |= {"systemRunPlan": plan, "cwd": cwd}
        return _shown(await self._invoke(call, row, "system.run", sent, args.timeout_ms + 5_000))

    async def _plan(
        self, row: NodeRow, call: ToolCall, asked: dict[str, Any], args: NodesArgs
    ) -> dict[str, Any] | None:
        """Let the node say what it would run, so that a person decides about just that."""
        session = self._nodes.connections.session(row.node_id)
        rules = self._nodes.settings().rules
        if session is None or session.why_not("system.run.prepare", rules) is not None:
            return None
        raw = {**asked, "rawCommand": shlex.join(args.command or ())}
        answer = await self._invoke(call, row, "system.run.prepare", raw, args.timeout_ms)
        plan = answer.payload.get("plan") if isinstance(answer.payload, dict) else None
        words = plan.get("argv") if isinstance(plan, dict) else None
        if not isinstance(words, list) or not words or not all(isinstance(w, str) for w in words):
            raise ToolError("the node did not say what it would run")
        return dict(plan)  # type: ignore[arg-type]  # its words were just looked at

    async def _ask(self, call: ToolCall, row: NodeRow, argv: tuple[str, ...], cwd: Any) -> None:
        asked = ApprovalAsked(
            command=shlex.join(argv),
            command_argv=argv,
            cwd=cwd if isinstance(cwd, str) else None,
            host="node",
            node_id=row.node_id,
            agent_id=call.agent_id,
            session_key=call.session_key,
            session_id=call.session_id,
            run_id=call.run_id,
            tool_call_id=call.call_id,
            warning=f"Runs on the node {row.shown_name}.",
            allowed=("allow-once", "deny"),
        )
        decided = await self._approvals.ask(asked, timeout_s=self._patience_s)
        if not decided.is_allowed:
            why = _WHY_NOT.get(decided.reason, "it was refused")
            raise ToolError(f"A person must allow this command, and {why}.")

    async def _notify(self, call: ToolCall, args: NodesArgs) -> ToolOutput:
        if not args.title and not args.body:
            raise ToolError("notify needs a title or a body")
        row = await self._node(args.node)
        told = {"title": args.title or "", "body": args.body or ""}
        await self._invoke(call, row, "system.notify", told, args.timeout_ms)
        return _trusted({"ok": True})

    async def _other(self, call: ToolCall, args: NodesArgs) -> ToolOutput:
        params: Any = args.params
        if args.action == "which":
            command, params = "system.which", {"bins": list(args.bins or ())}
        elif args.action == "invoke":
            command = (args.invoke_command or "").strip()
            _check_open(command)
        else:
            command = _PLAIN[args.action]
        row = await self._node(args.node)
        answer = await self._invoke(call, row, command, params, args.timeout_ms)
        return _shown(answer, name=f"{row.shown_name}-{command}")

    async def _invoke(
        self, call: ToolCall, row: NodeRow, command: str, params: Any, timeout_ms: int
    ) -> NodeAnswer:
        order = Order(
            command=command,
            params=params if params is not None else {},
            subject=f"agent:{call.agent_id}",
            session_key=call.session_key,
            timeout_ms=timeout_ms,
            heard=lambda _invoke_id, piece: call.say(piece.chunk),
        )
        return await self._nodes.invoke(row.node_id, order)


def _check_open(command: str) -> None:
    """Refuse what has an action of its own, or is for administrators."""
    if not command:
        raise ToolError("invoke needs invokeCommand")
    if command == "system.run":
        raise ToolError("use the action run: a person is asked first")
    if policy.is_closed_to_agents(command):
        raise ToolError(f"agents may not use {command}")


def _reason(error: NodeFailed) -> str:
    """Return why a node failed; apps begin their texts with the code as well."""
    text: str = error.details["nodeError"]["message"]
    return text if text.startswith(error.node_code) else error.message


def _trusted(value: Any) -> ToolOutput:
    return ToolOutput(value, is_untrusted=False)


def _shown(answer: NodeAnswer, *, name: str = "node") -> ToolOutput:
    """Return what a node answered: files as files, the rest bounded."""
    payload = answer.payload
    if isinstance(payload, dict) and isinstance(payload.get("base64"), str):
        file = _file(payload, name)
        rest = {key: payload[key] for key in payload if key != "base64"}
        return ToolOutput(bounded(rest), media=(file,))
    return ToolOutput(bounded(payload))


def _file(payload: dict[str, Any], name: str) -> Attachment:
    text = payload["base64"]
    if len(text) * 3 // 4 > MAX_FILE_BYTES:
        raise ToolError(f"the file is larger than {MAX_FILE_BYTES} bytes")
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ToolError("the node sent a damaged file") from None
    ending = str(payload.get("format", "")).lower()
    kind = _TYPES.get(ending)
    named = f"{_STRANGE.sub('', name)}.{ending if kind else 'bin'}"
    if kind is not None and kind.startswith("image/"):
        return picture(content, named)
    return Attachment.of(content, mime_type=kind, file_name=named)
