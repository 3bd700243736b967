"""The tool with which agents draw: pages and A2UI, in the web page and on nodes.

Guarantees: files go into the canvas of the agent that calls; what a page says when it is asked is
somebody else's word, whoever wrote the page.

Source: OpenClaw, `canvas` tool; OpenClaw gateway protocol, "Canvas, A2UI and capability URLs".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, ToolOutput, tool
from portico.agents.tools.pictures import picture
from portico.agents.workspace.tree import Tree, UnsafePath
from portico.canvas.board import MAX_BYTES, Board, NotA2ui, parsed
from portico.canvas.documents import Documents, NoSuchDocument
from portico.canvas.nodes import Screen, Screens
from portico.canvas.surfaces import Surfaces
from portico.protocol.errors import GatewayError
from portico.protocol.scopes import Scope

MAX_CONTENT_CHARS = 1_000_000
MAX_PICTURE_BYTES = 10_000_000
MAX_SHOWN_CHARS = 20_000

Action = Literal[
    "write", "present", "navigate", "hide", "eval", "snapshot", "a2ui_push", "a2ui_reset"
]


PathArg = Annotated[
    str,
    msgspec.Meta(description="Of a file in your canvas, such as index.html.", max_length=500),
]
Content = Annotated[
    str, msgspec.Meta(description="What write puts there.", max_length=MAX_CONTENT_CHARS)
]
Url = Annotated[
    str, msgspec.Meta(description="For navigate: an http or https address.", max_length=2_000)
]
NodeName = Annotated[
    str, msgspec.Meta(description="Name or id of the node; else the only one.", max_length=200)
]
Script = Annotated[str, msgspec.Meta(description="What eval runs in the page.", max_length=20_000)]
Messages = Annotated[
    str, msgspec.Meta(description="A2UI messages, one a line.", max_length=MAX_BYTES)
]


class CanvasArgs(ToolArgs, frozen=True, kw_only=True):
    """What `canvas` takes."""

    action: Annotated[
        Action,
        msgspec.Meta(
            description="write: put a file into your canvas; present, navigate, hide, eval, "
            "snapshot: on a node; a2ui_push, a2ui_reset: draw with A2UI."
        ),
    ]
    path: PathArg = "index.html"
    content: Content | None = None
    url: Url | None = None
    node: NodeName | None = None
    java_script: Script | None = None
    jsonl: Messages | None = None
    format: Literal["png", "jpeg"] = "jpeg"
    max_width: Annotated[int, msgspec.Meta(ge=64, le=4_096)] = 1_200


class CanvasTools:
    """`canvas`."""

    def __init__(self, *, documents: Documents, surfaces: Surfaces, screens: Screens) -> None:
        self._documents = documents
        self._surfaces = surfaces
        self._screens = screens
        self._actions: dict[str, Callable[[ToolCall, CanvasArgs], Awaitable[Any]]] = {
            "write": self._write,
            "present": self._present,
            "navigate": self._navigate,
            "hide": self._hide,
            "eval": self._eval,
            "snapshot": self._snapshot,
            "a2ui_push": self._push,
            "a2ui_reset": self._reset,
        }

    @tool("canvas", group="ui", scope=Scope.ADMIN)
    async def canvas(self, call: ToolCall, args: CanvasArgs) -> Any:
        """Draw on your canvas: write HTML pages or A2UI that people see, and show them on nodes."""
        try:
            return await self._actions[args.action](call, args)
        except NotA2ui as error:
            raise ToolError(f"Not A2UI: {error}.") from None
        except NoSuchDocument:
            raise ToolError("This agent has no canvas: it has no workspace.") from None
        except UnsafePath as error:
            raise ToolError(f"{args.path[:200]}: {error}.") from None
        except GatewayError as error:
            raise ToolError(error.message) from None
        except OSError as error:
            raise ToolError(f"The canvas: {error.strerror or 'cannot be had'}.") from None

    async def _write(self, call: ToolCall, args: CanvasArgs) -> dict[str, Any]:
        data = _needed(args.content, "content").encode("utf-8", "replace")
        root, folder = self._documents.folder(call.agent_id)

        def write() -> None:
            tree = Tree(root)
            on_the_way = f"{folder}{args.path}".rpartition("/")[0]
            tree.create()
            if on_the_way:
                tree.make(on_the_way)
            tree.write(f"{folder}{args.path}", data)

        await asyncio.to_thread(write)
        return {"path": args.path, "bytes": len(data), "address": _address(call, args.path)}

    async def _present(self, call: ToolCall, args: CanvasArgs) -> dict[str, Any]:
        screen = await self._screens.choose(args.node, "canvas.present")
        await self._ask(call, screen, "canvas.present", {"url": self._url(call, args, screen)})
        return {"node": screen.node_id, "shown": args.url or args.path}

    async def _navigate(self, call: ToolCall, args: CanvasArgs) -> dict[str, Any]:
        screen = await self._screens.choose(args.node, "canvas.navigate")
        await self._ask(call, screen, "canvas.navigate", {"url": self._url(call, args, screen)})
        return {"node": screen.node_id, "shown": args.url or args.path}

    async def _hide(self, call: ToolCall, args: CanvasArgs) -> dict[str, Any]:
        screen = await self._screens.choose(args.node, "canvas.hide")
        await self._ask(call, screen, "canvas.hide", {})
        return {"node": screen.node_id, "hidden": True}

    async def _eval(self, call: ToolCall, args: CanvasArgs) -> ToolOutput:
        script = _needed(args.java_script, "javaScript")
        screen = await self._screens.choose(args.node, "canvas.eval")
        answer = await self._ask(call, screen, "canvas.eval", {"javaScript": script})
        said = answer.get("result") if isinstance(answer, Mapping) else answer
        text = said if isinstance(said, str) else msgspec.json.encode(said).decode()
        value = {"node": screen.node_id, "result": text[:MAX_SHOWN_CHARS]}
        return ToolOutput(value, is_untrusted=True)

    async def _snapshot(self, call: ToolCall, args: CanvasArgs) -> ToolOutput:
        screen = await self._screens.choose(args.node, "canvas.snapshot")
        wanted = {"format": args.format, "maxWidth": args.max_width}
        answer = await self._ask(call, screen, "canvas.snapshot", wanted)
        shown = picture(_picture_in(answer), "canvas")
        value = {"node": screen.node_id, "mimeType": shown.mime_type}
        return ToolOutput(value, media=(shown,), is_untrusted=True)

    async def _push(self, call: ToolCall, args: CanvasArgs) -> dict[str, Any]:
        text = _needed(args.jsonl, "jsonl")
        messages = parsed(text)
        if not messages:
            raise ToolError("jsonl has no messages.")
        surfaces = await Board(*self._documents.folder(call.agent_id)).push(messages)
        done: dict[str, Any] = {"messages": len(messages), "surfaces": surfaces}
        if args.node is not None:
            screen = await self._screens.choose(args.node, "canvas.a2ui.pushJSONL")
            await self._ask(call, screen, "canvas.a2ui.pushJSONL", {"jsonl": text})
            done["node"] = screen.node_id
        return done

    async def _reset(self, call: ToolCall, args: CanvasArgs) -> dict[str, Any]:
        await Board(*self._documents.folder(call.agent_id)).reset()
        done: dict[str, Any] = {"surfaces": []}
        if args.node is not None:
            screen = await self._screens.choose(args.node, "canvas.a2ui.reset")
            await self._ask(call, screen, "canvas.a2ui.reset", {})
            done["node"] = screen.node_id
        return done

    async def _ask(
        self, call: ToolCall, screen: Screen, command: str, params: Mapping[str, Any]
    ) -> Any:
        return await self._screens.invoke(screen, command, params, session_key=call.session_key)

    def _url(self, call: ToolCall, args: CanvasArgs, screen: Screen) -> str:
        """Return what a node opens: somebody's page, or the agent's own, at the node's address."""
        if args.url is not None:
            if not args.url.startswith(("http://", "https://")):
                raise ToolError("url must begin with http:// or https://")
            return args.url
        base = self._surfaces.beside(screen.conn_id)
        if base is None:
            raise ToolError("This node is not told where the canvas is.")
        return f"{base.url}{_address(call, args.path)}"


def _address(call: ToolCall, path: str) -> str:
    return f"/__openclaw__/canvas/agents/{call.agent_id}/{quote(path)}"


def _needed(value: str | None, name: str) -> str:
    if value is None:
        raise ToolError(f"This action needs {name}.")
    return value


def _picture_in(answer: Any) -> bytes:
    """Return the picture in what a node answered to `canvas.snapshot`."""
    coded = answer.get("base64") if isinstance(answer, Mapping) else None
    if not isinstance(coded, str) or len(coded) > MAX_PICTURE_BYTES * 4 // 3 + 4:
        raise ToolError("The node sent no picture, or one that is too large.")
    try:
        return base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        raise ToolError("The node sent no picture.") from None
