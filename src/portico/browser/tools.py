"""The tool with which agents use the browser.

Guarantees: everything it returns is somebody else's word; a turn that has read it keeps only what
the `untrusted` layer of the policy leaves, this tool not among them unless it is added there.

Source: OpenClaw, `browser` tool.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, ToolOutput, tool
from portico.agents.tools.pictures import picture
from portico.browser.service import Asked, BrowserService
from portico.protocol.errors import GatewayError
from portico.protocol.scopes import Scope

Action = Literal[
    "status",
    "stop",
    "tabs",
    "open",
    "focus",
    "close",
    "navigate",
    "snapshot",
    "screenshot",
    "act",
    "console",
]
Kind = Literal[
    "click", "type", "press", "hover", "scrollIntoView", "drag", "select", "fill", "wait"
]
Short = Annotated[str, msgspec.Meta(max_length=2_048)]
Wanted = Annotated[
    str, msgspec.Meta(max_length=20_000, description="For type, and what wait waits for.")
]


class BrowserArgs(ToolArgs, frozen=True, kw_only=True):
    """What `browser` takes."""

    action: Annotated[
        Action,
        msgspec.Meta(
            description="open or navigate to a page, snapshot it, then act on the references "
            "(such as e12) the snapshot names."
        ),
    ]
    url: Annotated[Short, msgspec.Meta(description="For open and navigate.")] | None = None
    target_id: Annotated[Short, msgspec.Meta(description="Which tab; else the last.")] | None = None
    kind: Annotated[Kind, msgspec.Meta(description="For act.")] | None = None
    ref: Annotated[Short, msgspec.Meta(description="A reference of the snapshot.")] | None = None
    end_ref: Annotated[Short, msgspec.Meta(description="For drag: where to.")] | None = None
    text: Wanted | None = None
    key: Annotated[Short, msgspec.Meta(description="For press, such as Enter.")] | None = None
    values: tuple[Short, ...] | None = None
    fields: tuple[dict[str, Any], ...] | None = None
    submit: bool = False
    full_page: bool = False
    max_chars: Annotated[int, msgspec.Meta(ge=500, le=80_000)] = 20_000


class BrowserTools:
    """`browser`."""

    def __init__(self, browser: BrowserService) -> None:
        self._browser = browser

    @tool("browser", group="ui", is_untrusted=True, scope=Scope.ADMIN, timeout_s=180)
    async def browser(self, _call: ToolCall, args: BrowserArgs) -> Any:
        """Use a web browser: open pages, read them, click and type."""
        try:
            answer = await self._browser.request(_asked(args))
        except GatewayError as error:
            raise ToolError(error.message) from None
        if args.action != "screenshot":
            return answer
        content = await asyncio.to_thread(Path(answer["path"]).read_bytes)
        shown = picture(content, "page")
        value = {"url": answer["url"], "targetId": answer["targetId"]}
        return ToolOutput(value, media=(shown,))


def _asked(args: BrowserArgs) -> Asked:
    tab = {} if args.target_id is None else {"targetId": args.target_id}
    match args.action:
        case "status" | "tabs" | "snapshot" | "console":
            path = "/" if args.action == "status" else f"/{args.action}"
            most = {"maxChars": str(args.max_chars)} if args.action == "snapshot" else {}
            return Asked("GET", path, query={**tab, **most})
        case "open":
            return Asked("POST", "/tabs/open", body={"url": _needed(args.url, "url")})
        case "focus":
            return Asked("POST", "/tabs/focus", body={"targetId": _tab(args)})
        case "close":
            return Asked("DELETE", f"/tabs/{_tab(args)}")
        case _:
            return Asked("POST", f"/{args.action}", body={**tab, **_body(args)})


def _body(args: BrowserArgs) -> dict[str, Any]:
    match args.action:
        case "navigate":
            return {"url": _needed(args.url, "url")}
        case "screenshot":
            element = {"ref": args.ref} if args.ref else {}
            return {"type": "jpeg", "fullPage": args.full_page, **element}
        case "act":
            return _act(args)
        case _:
            return {}


def _tab(args: BrowserArgs) -> str:
    return _needed(args.target_id, "targetId")


def _act(args: BrowserArgs) -> dict[str, Any]:
    given: dict[str, Any] = {
        "kind": _needed(args.kind, "kind"),
        "text": args.text,
        "key": args.key,
        "values": args.values,
        "fields": args.fields,
        "submit": args.submit or None,
    }
    if args.kind == "drag":
        given |= {"startRef": args.ref, "endRef": args.end_ref}
    else:
        given["ref"] = args.ref
    return {name: value for name, value in given.items() if value is not None}


def _needed(value: str | None, name: str) -> str:
    if not value:
        raise ToolError(f"This action needs {name}.")
    return value
