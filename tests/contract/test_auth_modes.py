"""Who comes in by whose word: a proxy's, Tailscale's, or only with a device; and under which name.

Source: OpenClaw gateway protocol, "Modes", "Locality and device-less clients", "Endpoint".
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from portico.auth.peer import Peer, PeerRules, peer_of
from portico.auth.service import AuthSettings
from portico.auth.tailscale import TailscaleSettings, Whois
from portico.auth.trusted_proxy import TrustedProxyRules
from portico.protocol.errors import Unauthorized
from tests.fakes.clock import FakeClock
from tests.fakes.control_plane import TOKEN, Device, Plane, running_plane
from tests.fakes.tailscale import TailscaleProgram, local_api

pytestmark = pytest.mark.anyio

PAGE = {
    "id": "openclaw-control-ui",
    "version": "1",
    "platform": "web",
    "mode": "webchat",
    "deviceFamily": "Browser",
}
ANN = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-User": "Ann@Example.org"}
RULES = TrustedProxyRules(
    proxies=("127.0.0.1",), user_header="x-forwarded-user", allow_loopback=True
)


def by_proxy(rules: TrustedProxyRules = RULES, **more: Any) -> AuthSettings:
    return AuthSettings(
        mode="trusted-proxy",
        trusted_proxies=rules.proxies,
        proxy=rules,
        local_secret="the-commands-own",
        allowed_origins=("https://gate.example",),
        **more,
    )


async def try_in(
    plane: Plane, headers: dict[str, str] | None = None, device: Device | None = None, **params: Any
) -> Any:
    """Connect once; return `hello.auth`, or the error."""
    async with plane.socket(additional_headers=headers or {}) as client:
        if device is None:
            answer = await client.connect(**params)
        else:
            answer = await client.request("connect", device.params(client.nonce, **params))
        return answer["payload"]["auth"] if answer["ok"] else answer["error"]


PAGE_OF_PROXY: dict[str, Any] = {"client": PAGE, "auth": {}}
FROM_PAGE = {**ANN, "Origin": "https://gate.example"}


async def test_the_user_of_a_proxy_comes_in_without_a_device_and_without_scopes(
    tmp_path: Path,
) -> None:
    settings = by_proxy(identity_scopes={"ann@example.org": ("operator.read", "operator.admin")})
    async with running_plane(tmp_path, auth=settings) as plane:
        auth = await try_in(plane, FROM_PAGE, **PAGE_OF_PROXY)
        assert auth["scopes"] == ["operator.read", "operator.admin"]
        capped = FROM_PAGE | {"x-openclaw-scopes": "operator.read"}
        assert (await try_in(plane, capped, **PAGE_OF_PROXY))["scopes"] == ["operator.read"]
        other = FROM_PAGE | {"X-Forwarded-User": "bob"}
        assert (await try_in(plane, other, **PAGE_OF_PROXY))["scopes"] == []
        program = await try_in(plane, ANN, auth={})
        assert program["details"]["code"] == "DEVICE_IDENTITY_REQUIRED"


@pytest.mark.parametrize(
    ("changed", "headers", "reason"),
    [
        ({"allow_loopback": False}, ANN, "trusted_proxy_loopback_source"),
        ({"required_headers": ("x-real",)}, ANN, "trusted_proxy_missing_header_x-real"),
        ({"allow_users": ("bob",)}, ANN, "trusted_proxy_user_not_allowed"),
        ({"proxies": ()}, {}, "trusted_proxy_untrusted_source"),
        ({}, {"X-Forwarded-For": "203.0.113.9"}, "trusted_proxy_user_missing"),
        ({}, ANN | {"X-Forwarded-User": "  "}, "trusted_proxy_user_missing"),
    ],
)
async def test_the_proxys_word_has_to_be_whole(
    tmp_path: Path, changed: dict[str, Any], headers: dict[str, str], reason: str
) -> None:
    fields = ("proxies", "user_header", "allow_loopback")
    rules = TrustedProxyRules(**({name: getattr(RULES, name) for name in fields} | changed))
    async with running_plane(tmp_path, auth=by_proxy(rules)) as plane:
        page = headers | {"Origin": "https://gate.example"}
        refused = await try_in(plane, page, client=PAGE, auth={"token": "guess"}, device=Device())
        assert refused["details"]["authReason"] == reason


async def test_a_proxy_at_an_address_of_this_machine_is_none(tmp_path: Path) -> None:
    rules = TrustedProxyRules(proxies=("192.0.2.0/24",), user_header="x-forwarded-user")
    async with running_plane(tmp_path, auth=by_proxy(rules)) as plane:
        door = plane.authenticator
        door._own_addresses = lambda: ("192.0.2.5",)
        headers = {name.lower(): value for name, value in ANN.items()}

        def peer(ip: str) -> Peer:
            return peer_of(ip, headers | {"host": "gate.example"}, rules=door.peer_rules)

        assert (await door.http(None, peer("192.0.2.6"))).identity == "Ann@Example.org"
        with pytest.raises(Unauthorized):
            await door.http(None, peer("192.0.2.5"))
        capped = peer_of(
            "192.0.2.6",
            headers | {"host": "x", "x-openclaw-scopes": "operator.read"},
            rules=door.peer_rules,
        )
        assert (await door.http("Bearer whatever", capped)).granted == ("operator.read",)


async def test_devices_of_users_are_approved_when_the_proxys_word_is_enough(
    tmp_path: Path,
) -> None:
    asked = {"client": PAGE, "auth": {}, "scopes": ["operator.admin", "operator.read"]}
    async with running_plane(tmp_path, auth=by_proxy()) as plane:
        assert (await try_in(plane, FROM_PAGE, Device(), **asked))["code"] == "NOT_PAIRED"
    rules = TrustedProxyRules(
        proxies=RULES.proxies,
        user_header=RULES.user_header,
        allow_loopback=True,
        device_scopes=("operator.read", "operator.write"),
    )
    async with running_plane(tmp_path, auth=by_proxy(rules)) as plane:
        device = Device()
        auth = await try_in(plane, FROM_PAGE, device, **asked)
        assert auth["scopes"] == ["operator.read"]
        (known,) = await plane.devices.list_approved()
        assert known.device.approved_via == "trusted-proxy"
        more = await try_in(plane, FROM_PAGE, device, **(asked | {"scopes": ["operator.write"]}))
        assert more["scopes"] == ["operator.write"]
        capped = FROM_PAGE | {"x-openclaw-scopes": "operator.read"}
        narrow = await try_in(plane, capped, Device(), **(asked | {"scopes": []}))
        assert narrow["scopes"] == ["operator.read"]  # the cap also limits what it may keep
        node = await try_in(plane, ANN, Device(), role="node", scopes=[], auth={})
        assert node["details"]["code"] == "PAIRING_REQUIRED"


@pytest.mark.parametrize("mode", ["trusted-proxy", "device"])
async def test_commands_of_this_machine_have_a_secret_that_is_good_for_nobody_else(
    tmp_path: Path, mode: Any
) -> None:
    settings = AuthSettings(mode=mode, local_secret="own", trusted_proxies=("127.0.0.1",))
    own: dict[str, Any] = {"auth": {"token": "own"}}
    async with running_plane(tmp_path, auth=settings) as plane:
        assert "operator.admin" in (await try_in(plane, **own))["scopes"]
        assert not (await try_in(plane, auth={"token": "guess"})).get("scopes")
        elsewhere = await try_in(plane, {"X-Forwarded-For": "203.0.113.9"}, **own)
        assert "details" in elsewhere
        from_page = await try_in(plane, {"Origin": f"http://127.0.0.1:{plane.port}"}, **own)
        assert "details" in from_page
        here = Peer(ip="127.0.0.1", direct_local=True)
        assert (await plane.authenticator.http("Bearer own", here)).method == "token"
        there = Peer(ip="203.0.113.9", direct_local=False)
        with pytest.raises(Unauthorized):
            await plane.authenticator.http("Bearer own", there)


async def test_a_gateway_for_devices_lets_a_new_one_ask_and_a_paired_one_in(
    tmp_path: Path,
) -> None:
    settings = AuthSettings(mode="device", local_secret="own", trusted_proxies=("127.0.0.1",))
    remote, device = {"X-Forwarded-For": "203.0.113.9"}, Device()
    scopes = {"scopes": ["operator.read"]}
    async with running_plane(tmp_path, auth=settings) as plane:
        asked = await try_in(plane, remote, device, auth={}, **scopes)
        assert asked["details"]["code"] == "PAIRING_REQUIRED"
        await plane.devices.approve(asked["details"]["requestId"])
        without = await try_in(plane, remote, device, auth={}, **scopes)
        assert without["details"]["code"] == "AUTH_DEVICE_TOKEN_MISSING"  # the key is not enough
        guessed = await try_in(plane, remote, Device(), auth={"token": "guess"}, **scopes)
        assert "details" in guessed
        local = Device()
        mine = await try_in(plane, None, local, auth={"token": "own"}, **scopes)
        token = {"deviceToken": mine["deviceToken"]}
        assert (await try_in(plane, remote, local, auth=token, **scopes))["scopes"]


PHONE = "100.101.102.103"
SERVED = {
    "X-Forwarded-For": PHONE,
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "gate.tail1234.ts.net",
    "Tailscale-User-Login": "ann@example.org",
    "Host": "gate.tail1234.ts.net",
}


async def test_tailscale_vouches_for_devices_of_its_users(tmp_path: Path) -> None:
    settings = AuthSettings(
        token=TOKEN, allow_tailscale=True, identity_scopes={"ann@example.org": ("operator.write",)}
    )
    async with (
        running_plane(tmp_path, auth=settings) as plane,
        local_api(tmp_path / "tailscaled.sock") as api,
    ):
        api.logins[PHONE] = "Ann@Example.org"
        asked = TailscaleSettings(socket=str(api.path), program="/nowhere/tailscale", timeout_s=30)
        plane.authenticator._whois = Whois(asked, FakeClock())
        device, scopes = Device(), {"auth": {}, "scopes": ["operator.read"]}

        # On the port everybody knows, the name means nothing.
        with pytest.raises(InvalidStatus):
            await try_in(plane, SERVED, device, **scopes)
        plane.authenticator.tailscale_port = plane.port
        first = await try_in(plane, SERVED, device, **scopes)
        assert first["details"]["code"] == "PAIRING_REQUIRED"
        await plane.devices.approve(first["details"]["requestId"])
        auth = await try_in(plane, SERVED, device, **scopes)
        assert auth["scopes"] == ["operator.read", "operator.write"]
        assert api.asked == [PHONE]  # and remembered

        liar = SERVED | {"Tailscale-User-Login": "bob@example.org"}
        refused = await try_in(plane, liar, device, **scopes)
        assert refused["details"]["code"] == "AUTH_TAILSCALE_IDENTITY_MISMATCH"
        stranger = SERVED | {"X-Forwarded-For": "100.99.99.99"}
        refused = await try_in(plane, stranger, device, **scopes)
        assert refused["details"]["code"] == "AUTH_TAILSCALE_WHOIS_FAILED"
        bare = {name: value for name, value in SERVED.items() if name != "X-Forwarded-Proto"}
        refused = await try_in(plane, bare, device, **scopes)
        assert refused["details"]["code"] == "AUTH_TAILSCALE_PROXY_MISSING"
        node = await try_in(plane, SERVED, Device(), role="node", scopes=[], auth={})
        assert node["details"]["code"] == "AUTH_TOKEN_MISSING"
        with pytest.raises(Unauthorized):  # never over HTTP
            await plane.authenticator.http(None, Peer(ip=PHONE, direct_local=False))


async def test_whoever_has_an_address_is_asked_of_the_program_where_there_is_no_socket(
    tmp_path: Path,
) -> None:
    program = TailscaleProgram(tmp_path / "bin", logins={PHONE: "ann@example.org", "::1": ""})
    settings = TailscaleSettings(
        socket=str(tmp_path / "none"), program=str(program.path), timeout_s=30
    )
    clock = FakeClock()
    whois = Whois(settings, clock)
    assert await whois.login_at(PHONE) == "ann@example.org"
    assert await whois.login_at("100.99.99.99") is None
    assert await whois.login_at("--help") is None
    assert await whois.login_at("::1") is None
    program.change(logins={PHONE: "tagged-devices"})
    assert await whois.login_at(PHONE) == "ann@example.org"  # as it was a moment ago
    clock.advance(ms=61_000)
    assert await whois.login_at(PHONE) is None
    assert ["whois", "--json", PHONE] in program.calls
    assert all(call[-1] != "--help" for call in program.calls)


async def test_a_daemon_that_does_not_answer_lets_nobody_in(tmp_path: Path) -> None:
    async with local_api(tmp_path / "tailscaled.sock") as api:
        api.logins[PHONE] = "ann@example.org"
        api.hangs.clear()
        asked = TailscaleSettings(socket=str(api.path), program="/nowhere/x", timeout_s=0.05)
        async with asyncio.timeout(30):
            assert await Whois(asked, FakeClock()).login_at(PHONE) is None


async def test_who_comes_past_an_unknown_proxy_is_refused_before_it_says_a_word(
    tmp_path: Path,
) -> None:
    async with running_plane(tmp_path, auth=AuthSettings(token=TOKEN)) as plane:
        with pytest.raises(InvalidStatus) as refused:
            await try_in(plane, {"X-Forwarded-For": "203.0.113.9"})
        assert refused.value.response.status_code == 403
        error = json.loads(refused.value.response.body)["error"]
        assert error["type"] == "proxy_attribution_required"


@pytest.mark.parametrize(
    ("host", "comes_in"),
    [
        ("127.0.0.1", True),
        ("localhost:18789", True),
        ("gate.local", True),
        ("[::1]:18789", True),
        ("allowed.example", True),
        ("rebound.example", False),
        ("rebound.example.:18789", False),
        ("127.0.0.1.rebound.example", False),
    ],
)
async def test_on_this_machine_the_gateway_answers_to_its_own_names_only(
    tmp_path: Path, host: str, comes_in: bool
) -> None:
    settings = AuthSettings(token=TOKEN, allowed_origins=("https://allowed.example",))
    async with running_plane(tmp_path, auth=settings) as plane:
        socket = connect(f"ws://{host}/", host="127.0.0.1", port=plane.port, proxy=None)
        if comes_in:
            async with socket as client:
                assert "connect.challenge" in str(await client.recv())
        else:
            with pytest.raises(InvalidStatus) as refused:
                await socket
            assert refused.value.response.status_code == 403
            assert b"host not allowed" in refused.value.response.body


async def test_two_names_are_none(tmp_path: Path) -> None:
    async with running_plane(tmp_path, auth=AuthSettings(token=TOKEN)) as plane:
        with pytest.raises(InvalidStatus):
            await try_in(plane, {"Host": "rebound.example"})  # beside the true one


def test_from_elsewhere_the_name_is_the_operators_business() -> None:
    from portico.auth.peer import is_foreign_host

    rules = PeerRules(("127.0.0.1",))
    lan = peer_of("192.168.1.9", {"host": "gate.example"}, rules=rules)
    behind = peer_of(
        "127.0.0.1", {"host": "gate.example", "x-forwarded-for": "203.0.113.9"}, rules=rules
    )
    assert not is_foreign_host(lan, allowed=())
    assert not is_foreign_host(behind, allowed=())
