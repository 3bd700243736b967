"""The canvas over HTTP: what agents wrote, below addresses that only their viewers know.

    /__openclaw__/cap/<token>/__openclaw__/canvas/…    the files of the canvas
    /__openclaw__/cap/<token>/__openclaw__/a2ui/…      the page that draws A2UI
    /__openclaw__/cap/<token>/__openclaw__/changes/…   an event for every change of an agent's files
    /__openclaw__/canvas/…, /__openclaw__/a2ui/…, /a2ui/…   the same, with the gateway's secret
    /__openclaw__/sandbox                              an empty frame that a page can be put into

Guarantees: nothing an agent wrote is answered without a live token or the secret; the answer keeps
it apart from every page of ours (`canvas/content_policy.py`); the token stands in no log.

Source: OpenClaw gateway protocol, "Canvas, A2UI and capability URLs".
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from portico.agents.workspace.tree import TooLarge
from portico.canvas.capabilities import TOKEN, Capabilities, Capability
from portico.canvas.changes import Changes
from portico.canvas.content_policy import page_headers
from portico.canvas.documents import HTML, INDEX, Document, Documents, NoSuchDocument, type_of
from portico.canvas.pages import EMPTY, SANDBOX, SANDBOX_HEADERS, with_live_reload
from portico.canvas.settings import CanvasSettings
from portico.protocol.errors import GatewayError
from portico.protocol.scopes import Scope as Needs
from portico.web.canvas_stream import ChangeStream
from portico.web.gate import Access, Gate
from portico.web.page import BUILT_IN
from portico.web.problem import problem, translate

PREFIX = "/__openclaw__/"
CAPABILITY = f"{PREFIX}cap/"
CANVAS = f"{PREFIX}canvas/"
A2UI = f"{PREFIX}a2ui/"
CHANGES = f"{PREFIX}changes/"
SHORT_A2UI = "/a2ui/"
_ASSET = re.compile(r"assets/[A-Za-z0-9._-]{1,128}")
_OF_AN_AGENT = re.compile(r"^agents/[^/]+/")
_AGENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that may be answered.

    Attributes:
        path: what is asked for, without the token.
        base_url: what its page may load; ends in a slash.
        capability: the token it came with; `None`: it came with the secret.
    """

    request: Request
    path: str
    base_url: str
    capability: Capability | None


class CanvasDoor:
    """Everything below `/__openclaw__/` and `/a2ui/`.

    Args:
        page_port: the port of the page that may show these in a frame; `None`: this one.
    """

    def __init__(
        self,
        *,
        capabilities: Capabilities,
        changes: Changes,
        documents: Documents,
        gate: Gate,
        settings: CanvasSettings,
        page_port: int | None = None,
    ) -> None:
        self._capabilities = capabilities
        self._changes = changes
        self._documents = documents
        self._gate = gate
        self._settings = settings
        self._page_port = page_port

    @property
    def below(self) -> dict[str, CanvasDoor]:
        """Where it answers."""
        return {PREFIX: self, SHORT_A2UI: self}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["portico.route"] = "/__openclaw__"
        try:
            answer = await self._answer(Request(scope, receive, send))
        except GatewayError as error:
            answer = translate(error)
        except (NoSuchDocument, ValueError):
            answer = problem(404, "not_found", "There is nothing at this address.")
        except TooLarge:
            answer = problem(413, "payload_too_large", "The file is too large to be shown.")
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> ASGIApp:
        if request.method not in {"GET", "HEAD"}:
            return PlainTextResponse("method not allowed\n", 405, {"allow": "GET, HEAD"})
        peer = self._gate.peer(request.scope)
        if not peer.base_url:
            return problem(400, "invalid_request", "The header Host is not valid.")
        path: str = request.scope["path"]
        if path == "/":
            return RedirectResponse(CANVAS, 307)
        if path == f"{PREFIX}sandbox":
            return Response(SANDBOX, media_type=HTML, headers=SANDBOX_HEADERS)
        if path.startswith(CAPABILITY):
            rest = path.removeprefix(CAPABILITY)
            return await self._with_capability(request, peer.base_url, rest)
        if not path.startswith((CANVAS, A2UI, CHANGES, SHORT_A2UI)):
            raise NoSuchDocument
        authorization = request.headers.get("authorization")
        await self._gate.admit(peer, authorization, Access.OPENABLE, Needs.READ)
        return await self._shown(_Asked(request, path, f"{peer.base_url}{PREFIX}", None))

    async def _with_capability(self, request: Request, origin: str, rest: str) -> ASGIApp:
        token, slash, path = rest.partition("/")
        if not (TOKEN.fullmatch(token) and slash):
            return problem(400, "invalid_request", "This is not the address of a canvas.")
        capability = self._capabilities.use(token)
        if capability is None:
            return problem(401, "unauthorized", "This address is no longer good.")
        base_url = f"{origin}{CAPABILITY}{token}/"
        return await self._shown(_Asked(request, f"/{path}", base_url, capability))

    async def _shown(self, asked: _Asked) -> ASGIApp:
        path = asked.path
        if path.startswith(CANVAS):
            return await self._document(asked, path.removeprefix(CANVAS))
        if path.startswith(CHANGES):
            return self._followed(asked, path.removeprefix(CHANGES))
        if path.startswith(A2UI):
            return await self._renderer(asked, path.removeprefix(A2UI))
        if path == SHORT_A2UI:
            query = asked.request.url.query
            return RedirectResponse(f"..{A2UI}{f'?{query}' if query else ''}", 308)
        raise NoSuchDocument

    async def _document(self, asked: _Asked, path: str) -> Response:
        try:
            document = await self._documents.load(path)
        except NoSuchDocument:
            if _OF_AN_AGENT.sub("", path, count=1) not in {"", INDEX}:
                raise
            document = Document(self._documents.place(path), EMPTY.encode(), HTML)
        body = document.data
        if document.media_type == HTML and self._is_followed(document.place.agent_id):
            # Pages name no address of their own: it has the token.
            up = "../" * path.count("/")
            agent = quote(document.place.agent_id, safe="")
            body = with_live_reload(body, f"{up}../changes/{agent}")
        return Response(body, media_type=document.media_type, headers=self._headers(asked))

    async def _renderer(self, asked: _Asked, name: str) -> Response:
        if name in {"", INDEX}:
            name = "a2ui.html"
        elif not _ASSET.fullmatch(name):
            raise NoSuchDocument
        try:
            body = await asyncio.to_thread((BUILT_IN / name).read_bytes)
        except OSError:  # the page is not built
            raise NoSuchDocument from None
        return Response(body, media_type=type_of(name), headers=self._headers(asked))

    def _followed(self, asked: _Asked, agent_id: str) -> ASGIApp:
        agent_id = agent_id or self._documents.place("").agent_id
        if not (_AGENT.fullmatch(agent_id) and self._is_followed(agent_id)):
            raise NoSuchDocument
        root, folder = self._documents.folder(agent_id)
        return ChangeStream(
            root / folder,
            changes=self._changes,
            is_good=lambda: self._is_good(asked.capability),
            headers=self._headers(asked),
        )

    def _is_followed(self, agent_id: str) -> bool:
        """Whether changes of an agent's folder are told to who looks at it."""
        root, folder = self._documents.folder(agent_id)
        return self._settings.has_live_reload and (root / folder).is_dir()

    def _is_good(self, capability: Capability | None) -> bool:
        return capability is None or self._capabilities.extend(capability)

    def _headers(self, asked: _Asked) -> dict[str, str]:
        headers = page_headers(asked.base_url, framed_by=self._framed_by(asked.base_url))
        if asked.capability is not None:
            # A page without an origin asks for its own scripts as a stranger would.
            headers["access-control-allow-origin"] = "*"
        return headers

    def _framed_by(self, base_url: str) -> str:
        if self._page_port is None:
            return "'self'"
        parts = urlsplit(base_url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"'self' {parts.scheme}://{host}:{self._page_port}"
