"""`canvas.document.*`, and a fresh address of the canvas for who has one.

Source: OpenClaw gateway protocol, "canvas", "plugin.surface.refresh", "node.pluginSurface.refresh".
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from portico.agents.workspace.tree import TooLarge
from portico.canvas.documents import Documents, NoSuchDocument
from portico.canvas.surfaces import Surfaces, SurfaceUrl
from portico.ids import ConnId
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.protocol.scopes import Role, Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

MAX_HTML_BYTES = 2_097_152
SANDBOX_PATH = "/__openclaw__/sandbox"
GONE = "Canvas widget unavailable; reload the chat or ask the agent to recreate it."

DocumentId = Annotated[
    str, msgspec.Meta(min_length=1, max_length=256, pattern=r"^(?!\.{1,2}$)[A-Za-z0-9._-]+$")
]


class DocumentView(Params, frozen=True):
    """Params of `canvas.document.view`."""

    doc_id: DocumentId


class DocumentPreview(Params, frozen=True):
    """Params of `canvas.document.preview`."""

    html: Annotated[str, msgspec.Meta(max_length=MAX_HTML_BYTES)]


class DocumentShown(Result, frozen=True):
    """A page, and where a frame is that it can be put into.

    Attributes:
        sandbox_url: a path; the frame there has an origin of its own.
        sandbox_port: where on this host it is served.
    """

    html: str
    sandbox_url: str
    sandbox_port: int


class SurfaceRefresh(Params, frozen=True):
    """Params of the two `…surface.refresh`.

    Attributes:
        observed_url: the address that stopped working. It ends anyway.
    """

    surface: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    observed_url: Annotated[str, msgspec.Meta(max_length=4096)] | None = None


class SurfaceRefreshed(Result, frozen=True):
    """The address from now on."""

    surface: str
    plugin_surface_urls: dict[str, str]
    expires_at_ms: int


class CanvasMethods:
    """The canvas as clients ask for it.

    Args:
        host_port: the port of the canvas host; `None`: the one the client is connected to.
    """

    def __init__(
        self, *, documents: Documents, surfaces: Surfaces, host_port: int | None = None
    ) -> None:
        self._documents = documents
        self._surfaces = surfaces
        self._host_port = host_port

    @method("canvas.document.view", scope=Scope.READ)
    async def view(self, call: Call, params: DocumentView) -> DocumentShown:
        """Return a document's page, and where it may be shown."""
        try:
            html = await self._documents.html(params.doc_id)
        except (NoSuchDocument, TooLarge):
            raise Unavailable(GONE) from None
        if len(html.encode()) > MAX_HTML_BYTES:
            raise Unavailable(GONE)
        return self._shown(call, html)

    @method("canvas.document.preview", scope=Scope.READ)
    def preview(self, call: Call, params: DocumentPreview) -> DocumentShown:
        """Return where a page that the caller has may be shown."""
        if len(params.html.encode()) > MAX_HTML_BYTES:
            raise InvalidRequest(
                "invalid canvas.document.preview params: html must not exceed 2 MiB of UTF-8 data"
            )
        return self._shown(call, params.html)

    @method("plugin.surface.refresh", scope=Scope.READ)
    def refresh(self, call: Call, params: SurfaceRefresh) -> SurfaceRefreshed:
        """Give the caller a new address of a surface in place of the one it had."""
        return self._refresh(call, params)

    @method("node.pluginSurface.refresh", scope=None, role=Role.NODE)
    def refresh_of_node(self, call: Call, params: SurfaceRefresh) -> SurfaceRefreshed:
        """Give a node a new address of a surface in place of the one it had."""
        return self._refresh(call, params)

    def _refresh(self, call: Call, params: SurfaceRefresh) -> SurfaceRefreshed:
        found: SurfaceUrl | None = None
        if call.connection is not None:
            found = self._surfaces.refresh(call.connection.conn_id, params.surface)
        if found is None:
            raise Unavailable(f"{params.surface[:64]} surface unavailable for this connection")
        return SurfaceRefreshed(params.surface, {params.surface: found.url}, found.expires_at_ms)

    def _shown(self, call: Call, html: str) -> DocumentShown:
        conn_id = None if call.connection is None else call.connection.conn_id
        return DocumentShown(html, SANDBOX_PATH, self._port(conn_id))

    def _port(self, conn_id: ConnId | None) -> int:
        base_url = None if conn_id is None else self._surfaces.base_url(conn_id)
        if base_url is None:
            raise Unavailable("canvas unavailable for this connection")
        parts = urlsplit(base_url)
        return self._host_port or parts.port or (443 if parts.scheme == "https" else 80)
