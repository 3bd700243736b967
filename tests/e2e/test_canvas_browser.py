"""What a real browser lets the pages of agents do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.gateway import GatewayProcess, Operator
from tests.e2e.pages import PATIENCE_MS, OpenPage, needs_browser
from tests.e2e.test_canvas import CANVAS, canvas_folder

pytestmark = needs_browser

ESCAPES = """<!doctype html><body><script>
const tries = {
  origin: () => origin,
  storage: () => localStorage.length,
  parent: () => parent.localStorage.length,
  parentDocument: () => parent.document.title,
  cookies: () => document.cookie,
  database: () => new Promise((_, no) => {
    const asked = indexedDB.open('x'); asked.onsuccess = () => _('open'); asked.onerror = no
  }),
  health: () => fetch('/health').then((a) => a.status),
  call: () => fetch('/tools/invoke', { method: 'POST', body: '{}' }).then((a) => a.status),
  blind: () => fetch('/tools/invoke', { method: 'POST', body: '{}', mode: 'no-cors' })
    .then(() => 'sent'),
  page: () => fetch('/').then((a) => a.text()),
  socket: () => new Promise((yes, no) => {
    const socket = new WebSocket(location.href.replace(/^http/, 'ws').replace(/__open.*/, ''))
    socket.onopen = () => yes('open'); socket.onerror = no
  }),
  outside: () => fetch('OUTSIDE/fetch', { mode: 'no-cors' }).then(() => 'sent'),
  picture: () => new Promise((yes, no) => {
    const one = new Image(); one.onload = () => yes('loaded'); one.onerror = no
    one.src = 'OUTSIDE/picture.png'
  }),
  popup: () => open('OUTSIDE/popup') ? 'opened' : null,
  top: () => { if (top !== window) top.location = 'OUTSIDE/top' ; return null },
  own: () => fetch('data.json').then((a) => a.json()).then((a) => a.own),
}
const say = async () => {
  const got = {}
  for (const [name, attempt] of Object.entries(tries)) {
    try { got[name] = await attempt() } catch (error) { got[name] = 'refused' }
  }
  const shown = document.createElement('pre')
  shown.textContent = JSON.stringify(got)
  document.body.append(shown)
}
say()
</script><form action="OUTSIDE/form" method="post"></form></body>"""


class Outside:
    """A server of somebody else. Its address has another name than the gateway's."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, self.headers.get("Referer")))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"outside")

            do_POST = do_GET  # noqa: N815  # the base class's name

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://localhost:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def outside() -> Iterator[Outside]:
    server = Outside()
    yield server
    server.close()


def framed(page: Page, url: str) -> None:
    """Show an address in a frame of the page, as its canvas panel does."""
    page.evaluate(
        """(url) => { const frame = document.createElement('iframe')
          frame.id = 'canvas'; frame.setAttribute('sandbox', 'allow-scripts'); frame.src = url
          document.body.append(frame) }""",
        url,
    )


def change(file: Path, text: str, shown: Locator) -> None:
    """Write a file until that is shown: the watcher begins a moment after the page follows."""
    until = time.monotonic() + PATIENCE_MS / 1000
    while True:
        file.write_text(text)
        try:
            return expect(shown).to_be_visible(timeout=2_000)
        except AssertionError:
            if time.monotonic() > until:
                raise


@pytest.fixture
def quiet_page(browser: Any) -> Iterator[Page]:
    """A page whose complaints are what is wanted."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("how", ["in a frame", "alone"])
def test_a_page_cannot_reach_out(
    quiet_page: Page, gateway: GatewayProcess, outside: Outside, how: str
) -> None:
    folder = canvas_folder(gateway)
    (folder / "index.html").write_text(ESCAPES.replace("OUTSIDE", outside.url))
    (folder / "data.json").write_text('{"own": 7}')
    page = quiet_page
    page.goto(gateway.page_link)
    expect(page.get_by_label("Message", exact=True)).to_be_visible()
    with Operator(gateway) as operator:
        url = operator.hello["pluginSurfaceUrls"]["canvas"] + CANVAS
        if how == "alone":
            page.goto(url)
            shown = page.locator("pre")
        else:
            framed(page, url)
            shown = page.frame_locator("#canvas").locator("pre")
        got = json.loads(shown.text_content() or "")
    allowed = {"origin": "null", "own": 7}
    if how == "alone":
        allowed["parentDocument"] = ""  # its own
    refused = {name: value for name, value in got.items() if name not in allowed}
    assert {name: got[name] for name in allowed} == allowed
    assert set(refused.values()) <= {"refused", None}, refused
    assert outside.asked == []


def test_a_page_that_leaves_names_nobody(
    quiet_page: Page, gateway: GatewayProcess, outside: Outside
) -> None:
    """Alone, as on a node, it may go elsewhere; in our page it may not even do that."""
    folder = canvas_folder(gateway)
    (folder / "index.html").write_text(f"<script>location = '{outside.url}/left'</script>")
    with Operator(gateway) as operator:
        url = operator.hello["pluginSurfaceUrls"]["canvas"] + CANVAS
        quiet_page.goto(gateway.page_link)
        expect(quiet_page.get_by_label("Message", exact=True)).to_be_visible()
        quiet_page.evaluate(
            "addEventListener('securitypolicyviolation', (e) => { window.said = e.blockedURI })"
        )
        framed(quiet_page, url)
        until = time.monotonic() + PATIENCE_MS / 1000
        while not quiet_page.evaluate("() => window.said"):  # its own waiting needs `unsafe-eval`
            assert time.monotonic() < until
            quiet_page.wait_for_timeout(50)
        assert outside.asked == []
        quiet_page.goto(url, wait_until="commit")
        quiet_page.wait_for_url(f"{outside.url}/left")
    assert outside.asked[0] == ("/left", None)


def test_a_changed_file_loads_the_page_again(open_page: OpenPage, gateway: GatewayProcess) -> None:
    folder = canvas_folder(gateway)
    (folder / "sub").mkdir()
    (folder / "sub" / "page.html").write_text("<body><h1>before</h1></body>")
    with Operator(gateway) as operator:
        url = operator.hello["pluginSurfaceUrls"]["canvas"] + CANVAS
        with_events = "**/__openclaw__/changes/main"
        page = open_page("about:blank")
        with page.expect_response(with_events):
            page.goto(f"{url}sub/page.html")
        expect(page.get_by_role("heading", name="before")).to_be_visible()
        for word in ("after", "later"):
            text = f"<body><h1>{word}</h1></body>"
            change(folder / "sub" / "page.html", text, page.get_by_role("heading", name=word))
        page.close()


def test_a_page_put_into_the_sandbox(quiet_page: Page, gateway: GatewayProcess) -> None:
    quiet_page.goto(gateway.page_link)
    with Operator(gateway) as operator:
        shown = operator.call("canvas.document.preview", html="<h1 id=x>hi</h1>")
    quiet_page.evaluate(
        """({ sandboxUrl, html }) => {
          addEventListener('message', (event) => {
            const frame = document.querySelector('#box')
            if (event.data?.method === 'ui/notifications/sandbox-proxy-ready') {
              const params = { html, renderId: 'r1' }
              const method = 'ui/notifications/sandbox-resource-ready'
              frame.contentWindow.postMessage({ jsonrpc: '2.0', method, params }, '*')
            } else if (event.data?.method === 'ui/notifications/sandbox-resource-loaded') {
              document.title = event.data.params.renderId + ' ' + event.origin
            }
          })
          const frame = document.createElement('iframe')
          frame.id = 'box'; frame.src = sandboxUrl
          document.body.append(frame)
        }""",
        shown,
    )
    inner = quiet_page.frame_locator("#box").frame_locator("iframe")
    expect(inner.locator("h1")).to_have_text("hi")
    expect(quiet_page).to_have_title("r1 null")
