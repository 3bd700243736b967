"""`browser.request` of a real gateway, with a real Chromium in its real process."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import GatewayProcess, Operator, Refused
from tests.e2e.pages import CHROMIUM, needs_browser

pytestmark = needs_browser

FORM = """<title>Form</title><h1>Who are you?</h1>
<form action="/hello"><input name="who" aria-label="Name"><button>Go</button></form>
<script>console.log("ready"); console.error("broken")</script>"""


class Site:
    """A few pages on this machine, and who asked for what."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.asked.append(self.path)
                page = site.answer(self.path)
                self.send_response(302 if isinstance(page, tuple) else 200)
                body = b"" if isinstance(page, tuple) else page.encode()
                if isinstance(page, tuple):
                    self.send_header("Location", page[0])
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.named = f"http://localhost:{self.port}"

    def answer(self, path: str) -> str | tuple[str]:
        match path.partition("?")[0]:
            case "/form":
                return FORM
            case "/hello":
                return f"<title>Hello</title><p>Hello {path.partition('who=')[2]}</p>"
            case "/away":
                return (f"{self.url}/secret",)
            case "/loads":
                return f"<title>Loads</title><img src='{self.url}/secret'>"
            case _:
                return "<title>Secret</title>secret"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    yield server
    server.close()


def config(**more: Any) -> dict[str, Any]:
    # A container's root has no sandbox.
    usual = {"enabled": True, "executablePath": CHROMIUM, "noSandbox": True}
    return {"browser": {**usual, **more}}


def ask(operator: Operator, method: str, path: str, **params: Any) -> dict[str, Any]:
    return dict(operator.call("browser.request", method=method, path=path, **params))


def until(condition: Callable[[], bool], *, within_s: float = 20.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    """Return every process below one."""
    told = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    below: dict[int, list[int]] = {}
    for line in told.stdout.splitlines():
        child, parent = map(int, line.split())
        below.setdefault(parent, []).append(child)
    found, left = [], [pid]
    while left:
        left += (more := below.get(left.pop(), []))
        found += more
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_form_is_filled_and_sent(start_gateway: StartGateway, site: Site) -> None:
    gateway = start_gateway(config(ssrfPolicy={"allowedHostnames": ["localhost"]}))
    with Operator(gateway) as operator:
        assert ask(operator, "GET", "/")["running"] is False
        opened = ask(operator, "POST", "/tabs/open", body={"url": f"{site.named}/form"})
        assert (opened["title"], opened["type"]) == ("Form", "page")
        tab = {"targetId": opened["targetId"]}
        seen = ask(operator, "GET", "/snapshot", query=tab)
        assert 'heading "Who are you?"' in seen["snapshot"]
        field = reference(seen["snapshot"], 'textbox "Name"')
        ask(operator, "POST", "/act", body={**tab, "kind": "type", "ref": field, "text": "Ann"})
        button = reference(seen["snapshot"], 'button "Go"')
        ask(operator, "POST", "/act", body={**tab, "kind": "click", "ref": button})
        ask(operator, "POST", "/act", body={**tab, "kind": "wait", "text": "Hello Ann"})
        assert ask(operator, "GET", "/text", query=tab)["text"] == "Hello Ann"
        said = ask(operator, "GET", "/console", query={**tab, "level": "error"})["messages"]
        assert [one["text"] for one in said][:1] == ["broken"]
        shot = ask(operator, "POST", "/screenshot", body={**tab, "type": "jpeg"})
        assert Path(shot["path"]).read_bytes().startswith(b"\xff\xd8\xff")
        assert Path(shot["path"]).stat().st_mode & 0o077 == 0
        printed = ask(operator, "POST", "/pdf", body=tab)
        assert Path(printed["path"]).read_bytes().startswith(b"%PDF-")
        script = {"kind": "evaluate", "fn": "() => 6 * 7"}
        result = ask(operator, "POST", "/act", body={**tab, **script})
        assert result["result"] == 42
        batch = [{"kind": "press", "key": "End"}, {"kind": "no"}, {"kind": "press", "key": "Home"}]
        done = ask(operator, "POST", "/act", body={**tab, "kind": "batch", "actions": batch})
        assert [one["ok"] for one in done["results"]] == [True, False]
        invoked = operator.call("tools.invoke", name="browser", args={"action": "snapshot"})
        assert "Hello Ann" in str(invoked["output"])
        assert ask(operator, "GET", "/tabs")["tabs"][-1]["url"].startswith(f"{site.named}/hello")
        ask(operator, "DELETE", f"/tabs/{tab['targetId']}")
        with pytest.raises(Refused, match="tab not found"):
            ask(operator, "GET", "/snapshot", query=tab)
        changes = operator.call("audit.changes.list", limit=50)
        assert "browser.request" in str(changes)
        assert ask(operator, "POST", "/stop")["stopped"] is True


def reference(snapshot: str, of: str) -> str:
    line = next(line for line in snapshot.splitlines() if of in line)
    return line.partition("[ref=")[2].partition("]")[0]


def test_pages_inside_are_out_of_reach(start_gateway: StartGateway, site: Site) -> None:
    gateway = start_gateway(config(ssrfPolicy={"allowedHostnames": ["localhost"]}))
    with Operator(gateway) as operator:
        for url, why in (
            (f"{site.url}/secret", "not public"),
            (f"http://[::ffff:127.0.0.1]:{site.port}/", "not public"),
            ("http://169.254.169.254/latest/meta-data", "not public"),
            (f"{gateway.url}/health", "not public"),
            ("file:///etc/passwd", "http"),
            ("chrome://settings", "http"),
            ("javascript:alert(1)", "http"),
            (f"{site.named}/away", "not public"),  # by a redirect
        ):
            with pytest.raises(Refused, match=why) as said:
                ask(operator, "POST", "/navigate", body={"url": url})
            assert said.value.error["details"]["code"] == "NAVIGATION_BLOCKED", url
        opened = ask(operator, "POST", "/tabs/open", body={"url": f"{site.named}/loads"})
        tab = {"targetId": opened["targetId"]}
        script = f"() => fetch('{site.url}/secret', {{ mode: 'no-cors' }}).then(String, String)"
        ask(operator, "POST", "/act", body={**tab, "kind": "evaluate", "fn": script})
        away = f"() => {{ location.href = '{site.url}/secret' }}"
        ask(operator, "POST", "/act", body={**tab, "kind": "evaluate", "fn": away})
        ask(operator, "POST", "/act", body={**tab, "kind": "wait", "text": "not public"})
        assert "/secret" not in site.asked


def test_what_is_asked_wrongly_is_an_error_of_a_kind(start_gateway: StartGateway) -> None:
    gateway = start_gateway(config(evaluateEnabled=False))
    with Operator(gateway) as operator:
        ask(operator, "POST", "/tabs/open", body={"url": "about:blank"})
        for method, path, body, code in (
            ("GET", "/nothing", None, "NOT_FOUND"),
            ("POST", "/tabs/open", {}, "INVALID_REQUEST"),
            ("POST", "/act", {"kind": "fly"}, "INVALID_REQUEST"),
            ("POST", "/act", {"kind": "click"}, "INVALID_REQUEST"),
            ("POST", "/act", {"kind": "evaluate", "fn": "1"}, "ACT_EVALUATE_DISABLED"),
            ("POST", "/act", {"kind": "wait", "fn": "1"}, "ACT_EVALUATE_DISABLED"),
            ("POST", "/tabs/focus", {"targetId": "zz"}, "TAB_NOT_FOUND"),
        ):
            with pytest.raises(Refused) as said:
                ask(operator, method, path, body=body)
            assert said.value.error["details"]["code"] == code
        slow = {"kind": "click", "selector": "#none"}
        with pytest.raises(Refused) as late:
            ask(operator, "POST", "/act", body=slow, timeoutMs=300)
        assert late.value.error["code"] == "UNAVAILABLE"
        assert late.value.error["details"]["code"] == "TIMEOUT"
        for path in ("", "tabs", "/../x", "/a?b", "/tabs/%2e"):
            with pytest.raises(Refused, match="path"):
                ask(operator, "GET", path)
        with pytest.raises(Refused, match=r"no connected node can do browser\.proxy"):
            ask(operator, "GET", "/tabs", target="node")
    may_not = ("operator.read", "operator.write")
    with (
        Operator(gateway, scopes=may_not) as reader,
        pytest.raises(Refused, match="missing scope"),
    ):
        ask(reader, "GET", "/")


def test_it_is_off_unless_it_is_on(gateway: GatewayProcess) -> None:
    with Operator(gateway) as operator:
        with pytest.raises(Refused) as said:
            ask(operator, "GET", "/")
        assert said.value.error["details"]["code"] == "BROWSER_DISABLED"
        groups = operator.call("tools.catalog")["groups"]
        assert "browser" not in {tool["id"] for group in groups for tool in group["tools"]}


@pytest.mark.parametrize("how", ["asked to stop", "killed"])
def test_nothing_of_it_is_left_when_the_gateway_ends(start_gateway: StartGateway, how: str) -> None:
    gateway = start_gateway(config())
    with Operator(gateway) as operator:
        ask(operator, "POST", "/tabs/open", body={"url": "about:blank"})
        processes = children_of(gateway.pid)
    assert len(processes) > 2  # the service, Playwright's driver, Chromium and its own
    if how == "killed":
        gateway.kill()
    else:
        assert gateway.stop() == 0
    until(lambda: not any(map(is_alive, processes)))


def test_a_service_that_died_is_started_again(start_gateway: StartGateway) -> None:
    gateway = start_gateway(config())
    with Operator(gateway) as operator:
        ask(operator, "POST", "/tabs/open", body={"url": "about:blank"})
        before = children_of(gateway.pid)
        os.kill(before[0], signal.SIGKILL)
        until(lambda: not any(map(is_alive, before)))

        def answers() -> bool:
            try:
                return ask(operator, "GET", "/")["enabled"] is True
            except Refused as refused:
                return refused.error["details"]["code"] != "BROWSER_UNAVAILABLE"

        until(answers)
        assert ask(operator, "GET", "/tabs")["tabs"] == []
