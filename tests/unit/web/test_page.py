"""The page and everything around it."""

from __future__ import annotations

import base64
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from starlette.responses import PlainTextResponse, Response

from portico.auth.model import Principal
from portico.auth.peer import NO_RULES, Peer
from portico.protocol.errors import Overloaded, Unauthorized
from portico.web.app import Web, WebSettings, build_web
from portico.web.endpoint import Answer, Endpoint, HttpCall
from portico.web.gate import Access, Gate
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.anyio

HTML = {"accept": "text/html,*/*"}


class OneToken:
    peer_rules = NO_RULES

    def check_peer(self, peer: Peer) -> None:
        pass

    async def http(self, authorization: str | None, peer: Peer) -> Principal:
        if authorization != "Bearer good":
            raise Unauthorized("Unauthorized")
        return Principal.http_operator("token", ip=peer.ip, local=peer.direct_local)


def web(root: Path | None = None, **settings: object) -> Web:
    async def broken(_call: HttpCall) -> Response:
        raise RuntimeError("the inside story")

    async def busy(_call: HttpCall) -> Response:
        raise Overloaded(retry_after_ms=2500)

    async def who(call: HttpCall) -> Response:
        return PlainTextResponse(call.principal.method if call.principal else "nobody")

    def at(path: str, handle: object, access: Access = Access.PUBLIC) -> Endpoint:
        return Endpoint(
            method="GET",
            path=path,
            handle=handle,  # type: ignore[arg-type]
            operation=path,
            summary="",
            answers={200: Answer("")},
            access=access,
        )

    return build_web(
        endpoints=[
            at("/v1/broken", broken),
            at("/v1/busy", busy),
            at("/v1/who", who, Access.CREDENTIAL),
            at("/metrics", who, Access.THIS_MACHINE),
        ],
        gate=Gate(authenticator=OneToken()),
        clock=FakeClock(),
        settings=WebSettings(version="1", page_root=root, **settings),  # type: ignore[arg-type]
    )


def client(site: Web, ip: str = "127.0.0.1", host: str = "127.0.0.1") -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(site.asgi, client=(ip, 1))
    return httpx2.AsyncClient(transport=transport, base_url=f"http://{host}:18789")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<html><head></head><body>page</body></html>")
    (tmp_path / "assets" / "main-B1x9_kQz.js").write_text("x" * 5000)
    (tmp_path / "icon.svg").write_text("<svg/>")
    (tmp_path.parent / "secret.txt").write_text("secret")
    return tmp_path


async def test_the_page_and_its_files(root: Path) -> None:
    async with client(web(root)) as browser:
        page = await browser.get("/", headers=HTML)
        assert page.status_code == 200
        assert page.headers["cache-control"] == "no-cache"
        assert page.headers["x-frame-options"] == "DENY"
        assert "script-src 'self';" in page.headers["content-security-policy"]
        script = await browser.get("/assets/main-B1x9_kQz.js")
        assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert script.headers["content-type"].startswith("text/javascript")
        assert script.headers["content-encoding"] == "gzip"
        assert script.text == "x" * 5000
        plain = await browser.get("/icon.svg", headers={"accept-encoding": "identity"})
        assert (plain.headers["cache-control"], plain.text) == ("no-cache", "<svg/>")
        again = await browser.get("/", headers={**HTML, "if-none-match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_our_own_page_runs_nothing_inline() -> None:
    async with client(web(None)) as browser:
        policy = (await browser.get("/", headers=HTML)).headers["content-security-policy"]
    assert "script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy


async def test_scripts_have_the_policy_of_the_page(root: Path) -> None:
    (root / "sw.js").write_text("addEventListener('push', () => {})")  # it is its worker's policy
    async with client(web(root)) as browser:
        script = await browser.get("/sw.js")
    assert "script-src 'self';" in script.headers["content-security-policy"]
    assert "{" not in script.headers["content-security-policy"]
    assert script.headers["cache-control"] == "no-cache"


async def test_another_page_runs_the_scripts_it_came_with(root: Path) -> None:
    (root / "index.html").write_text(
        "<head><style>a{}</style><script>go()</script><SCRIPT type=module>\nx\n</SCRIPT>"
        '<script src="/a.js"></script></head>'
    )
    digests = [base64.b64encode(sha256(text).digest()).decode() for text in (b"go()", b"\nx\n")]
    async with client(web(root)) as browser:
        policy = (await browser.get("/", headers=HTML)).headers["content-security-policy"]
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert set(scripts.split()[1:]) == {"'self'", *(f"'sha256-{one}'" for one in digests)}


async def test_addresses_of_the_page_can_be_reloaded(root: Path) -> None:
    async with client(web(root)) as browser:
        deep = await browser.get("/sessions-view/main", headers=HTML)
        assert deep.status_code == 200
        assert '<base href="/">' in deep.text
        assert (await browser.get("/nothing.png")).status_code == 404
        assert (await browser.get("/assets/old-12345678.js", headers=HTML)).status_code == 404
        assert (await browser.get("/v1/nothing", headers=HTML)).status_code == 404
        assert (await browser.post("/", headers=HTML)).status_code == 404


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "/assets/..%2f..%2fsecret.txt", "/a%00b"]
)
async def test_no_path_leads_out(root: Path, path: str) -> None:
    async with client(web(root)) as browser:
        assert (await browser.get(path)).status_code == 404


async def test_a_rebuilt_page_is_seen(root: Path) -> None:
    async with client(web(root)) as browser:
        await browser.get("/", headers=HTML)
        (root / "index.html").write_text("<html><head></head>new and longer</html>")
        assert "new and longer" in (await browser.get("/", headers=HTML)).text


async def test_a_base_path(root: Path) -> None:
    async with client(web(root, base_path="/portico")) as browser:
        assert (await browser.get("/portico")).headers["location"].endswith("/portico/")
        assert "page" in (await browser.get("/portico/", headers=HTML)).text
        assert '<base href="/portico/">' in (await browser.get("/portico/a/b", headers=HTML)).text
        assert (await browser.get("/", headers=HTML)).status_code == 404


async def test_a_page_that_is_not_built_says_how(tmp_path: Path) -> None:
    async with client(web(tmp_path)) as browser:
        answer = await browser.get("/", headers=HTML)
        assert answer.status_code == 503
        assert "make ui" in answer.text
    async with client(web(tmp_path, page_enabled=False)) as browser:
        assert (await browser.get("/", headers=HTML)).status_code == 404


async def test_every_answer_has_the_safe_headers(root: Path) -> None:
    async with client(web(root, strict_transport_security="max-age=1")) as browser:
        for path in ("/", "/icon.svg", "/v1/broken", "/v1/who", "/nothing", "/openapi.json"):
            answer = await browser.get(path)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["permissions-policy"].startswith("camera=()")
            assert answer.headers["strict-transport-security"] == "max-age=1"
            assert answer.headers["x-request-id"].startswith("req_")
        given = await browser.get("/", headers={"x-request-id": "trace-7"})
        assert given.headers["x-request-id"] == "trace-7"
        odd = await browser.get("/", headers={"x-request-id": "a b"})
        assert odd.headers["x-request-id"].startswith("req_")


async def test_accidents_and_refusals() -> None:
    async with client(web()) as browser:
        broken = await browser.get("/v1/broken")
        assert broken.status_code == 500
        assert broken.json()["error"]["type"] == "internal_error"
        assert "inside story" not in broken.text
        busy = await browser.get("/v1/busy")
        assert (busy.status_code, busy.headers["retry-after"]) == (429, "3")
        assert (await browser.head("/v1/busy")).content == b""


async def test_doors() -> None:
    good = {"authorization": "Bearer good"}
    site = web()
    async with client(site) as here, client(site, ip="203.0.113.9", host="gw.example") as there:
        assert (await here.get("/v1/who")).status_code == 401
        assert (await there.get("/v1/who", headers=good)).text == "token"
        assert (await here.get("/metrics")).text == "none"
        assert (await there.get("/metrics")).status_code == 401
        assert (await there.get("/metrics", headers=good)).text == "token"
        forwarded = {"x-forwarded-for": "127.0.0.1"}
        assert (await here.get("/metrics", headers=forwarded)).status_code == 401
        page = {"origin": "https://evil.example"}
        assert (await here.get("/metrics", headers=page)).status_code == 403


def test_what_is_claimed() -> None:
    site = web()
    assert site.claimed("/metrics")
    assert site.claimed("/metrics/")
    assert site.claimed("/v1/anything")
    assert not site.claimed("/")
    assert not site.claimed("/ws")


def test_a_path_declared_twice_is_a_mistake() -> None:
    async def handle(_call: HttpCall) -> Response:
        return Response()

    one = Endpoint(method="GET", path="/a", handle=handle, operation="a", summary="", answers={})
    with pytest.raises(ValueError, match="twice"):
        build_web(
            endpoints=[one, one],
            gate=Gate(authenticator=OneToken()),
            clock=FakeClock(),
            settings=WebSettings(version="1"),
        )
