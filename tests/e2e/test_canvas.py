"""The canvas of a real gateway: who may look, at what, and for how long."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import GatewayProcess, Operator, Refused

CANVAS = "/__openclaw__/canvas/"


def canvas_folder(gateway: GatewayProcess) -> Path:
    """Return the default agent's folder, made."""
    with Operator(gateway) as operator:
        workspace = operator.call("agents.list")["agents"][0]["workspace"]
    folder = Path(workspace) / "canvas"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_an_address_is_good_as_long_as_its_connection(gateway: GatewayProcess) -> None:
    folder = canvas_folder(gateway)
    (folder / "page.css").write_text("p{}")
    with Operator(gateway) as operator, httpx2.Client() as http:
        base = operator.hello["pluginSurfaceUrls"]["canvas"]
        assert base.startswith(f"{gateway.url}/__openclaw__/cap/")
        for place in ("", "agents/main/"):
            assert "Nothing is drawn here yet" in http.get(f"{base}{CANVAS}{place}").text
        (folder / "index.html").write_text("<p>drawn</p>")
        shown = http.get(f"{base}{CANVAS}")
        assert "<p>drawn</p>" in shown.text
        assert shown.headers["referrer-policy"] == "no-referrer"
        assert http.get(f"{base}{CANVAS}page.css").headers["content-type"].startswith("text/css")
        assert http.get(f"{base}{CANVAS}nothing.css").status_code == 404
        assert http.post(f"{base}{CANVAS}").status_code == 405
        renewed = operator.call("plugin.surface.refresh", surface="canvas", observedUrl=base)
        fresh = renewed["pluginSurfaceUrls"]["canvas"]
        assert renewed["surface"] == "canvas"
        assert http.get(f"{base}{CANVAS}").status_code == 401
        assert http.get(f"{fresh}{CANVAS}").status_code == 200
        with pytest.raises(Refused, match="surface unavailable"):
            operator.call("plugin.surface.refresh", surface="other")
    with Operator(gateway):  # the connection before is closed by now
        assert httpx2.get(f"{fresh}{CANVAS}").status_code == 401
    log = gateway.log()
    assert "/__openclaw__/cap/[redacted]/" in log
    for url in (base, fresh):
        assert url.rpartition("/")[2] not in log


def test_who_has_no_address_needs_the_secret(gateway: GatewayProcess) -> None:
    (canvas_folder(gateway) / "index.html").write_text("<p>drawn</p>")
    secret = {"Authorization": f"Bearer {gateway.token}"}
    for path in (CANVAS, "/__openclaw__/a2ui/", "/a2ui/", "/__openclaw__/changes/main"):
        assert httpx2.get(f"{gateway.url}{path}").status_code == 401
    assert "drawn" in httpx2.get(f"{gateway.url}{CANVAS}", headers=secret).text
    for path, status in (
        ("/__openclaw__/cap", 404),
        ("/__openclaw__/cap/", 400),
        ("/__openclaw__/cap//x", 400),
        (f"/__openclaw__/cap/{'a' * 24}", 400),
        (f"/__openclaw__/cap/{'a' * 24}{CANVAS}", 401),
        (f"/__openclaw__/cap/%2e%2e{CANVAS}", 400),
    ):
        assert httpx2.get(f"{gateway.url}{path}", headers=secret).status_code == status, path
    odd_host = httpx2.get(f"{gateway.url}{CANVAS}", headers={"Host": "x; script-src *"})
    assert odd_host.status_code == 400
    with pytest.raises(InvalidStatus):
        connect(f"{gateway.ws_url}__openclaw__/ws").close()


def test_documents_by_id(gateway: GatewayProcess) -> None:
    folder = canvas_folder(gateway) / "documents" / "w.1"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("<b>widget</b>")
    with Operator(gateway) as operator:
        shown = operator.call("canvas.document.view", docId="w.1")
        assert shown == {
            "html": "<b>widget</b>",
            "sandboxUrl": "/__openclaw__/sandbox",
            "sandboxPort": gateway.port,
        }
        for wrong, message in (("nothing", "unavailable"), ("..", "docId"), ("a/b", "docId")):
            with pytest.raises(Refused, match=message):
                operator.call("canvas.document.view", docId=wrong)


def test_the_port_of_its_own(start_gateway: StartGateway) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    gateway = start_gateway({"canvasHost": {"enabled": True, "port": port, "liveReload": False}})
    (canvas_folder(gateway) / "index.html").write_text("<p>drawn</p>")
    own = f"http://127.0.0.1:{port}"
    with Operator(gateway) as operator:
        base = operator.hello["pluginSurfaceUrls"]["canvas"]
        path = urlsplit(base).path
        assert httpx2.get(f"{own}{path}{CANVAS}").text == "<p>drawn</p>"
        shown = operator.call("canvas.document.preview", html="<p>")
        assert shown["sandboxPort"] == port
    assert httpx2.get(f"{own}{CANVAS}").status_code == 401
    assert httpx2.get(f"{own}/health").status_code == 404
