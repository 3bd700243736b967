"""Pairing over the wire: who sees and decides what, and what follows from it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portico.audit.model import Wanted
from portico.auth.devices import Devices
from portico.auth.peer import peer_of
from portico.auth.service import AuthSettings
from portico.devices.setup_code import decode
from portico.protocol.connect import ConnectParams
from portico.protocol.errors import GatewayError
from tests.fakes.clock import FakeClock
from tests.fakes.control_plane import TOKEN, Client, Device
from tests.support.pairing import NODE, PairingPlane, pairing_plane

pytestmark = pytest.mark.anyio
PAIRING = ["operator.pairing"]
READ_PAIRING = ["operator.read", "operator.pairing"]
REMOVED = (4001, "device removed")


async def ok(client: Client, method: str, **params: Any) -> Any:
    answer = await client.request(method, params)
    assert answer["ok"], answer
    return answer["payload"]


async def refusal(client: Client, method: str, **params: Any) -> str:
    answer = await client.request(method, params)
    assert not answer["ok"], answer
    return str(answer["error"]["message"])


async def paired(plane: PairingPlane, scopes: list[str]) -> tuple[Device, dict[str, Any]]:
    """Pair a device from this machine; return it with what it holds."""
    device = Device()
    auth = await plane.try_in(device, remote=False, scopes=scopes)
    return device, {"deviceToken": auth["deviceToken"]}


async def asked(plane: PairingPlane, device: Device, **changes: Any) -> str:
    error = await plane.try_in(device, **changes)
    return str(error["details"]["requestId"])


async def test_a_device_asks_and_is_let_in(tmp_path: Path) -> None:
    async with pairing_plane(tmp_path) as plane, plane.plane.client() as owner:
        device = Device()
        request_id = await asked(plane, device, scopes=["operator.read"])
        listed = await ok(owner, "device.pair.list")
        (pending,) = listed["pending"]
        assert (pending["requestId"], pending["deviceId"]) == (request_id, device.id)
        assert pending["platform"] == "linux"
        approved = await ok(owner, "device.pair.approve", requestId=request_id)
        assert approved["requestId"] == request_id
        assert approved["device"]["deviceId"] == device.id
        assert approved["device"]["approvedVia"] == "owner"
        assert "token" not in str(approved["device"]["tokens"][0].keys())
        async with plane.device(device, scopes=["operator.read"]):
            (known,) = (await ok(owner, "device.pair.list"))["paired"]
            assert known["connected"] is True
            assert known["tokens"][0]["scopes"] == ["operator.read"]
        assert await refusal(owner, "device.pair.approve", requestId=request_id) == (
            "unknown requestId"
        )
        (change,) = await plane.audit.list(Wanted(action="device.approved"))
        assert (change.actor, change.target) == ("gateway-client", device.id)
        assert change.details["scopes"] == ["operator.read"]


async def test_a_rejected_device_may_ask_again(tmp_path: Path) -> None:
    async with (
        pairing_plane(tmp_path) as plane,
        plane.plane.client() as owner,
        plane.plane.client() as watcher,
    ):
        device = Device()
        first = await asked(plane, device)
        assert await ok(owner, "device.pair.reject", requestId=first) == {
            "requestId": first,
            "deviceId": device.id,
        }
        assert (await watcher.event("device.pair.resolved"))["payload"]["decision"] == "rejected"
        assert await refusal(owner, "device.pair.approve", requestId=first) == "unknown requestId"
        assert await asked(plane, device) != first


async def test_nobody_gives_what_they_do_not_hold(tmp_path: Path) -> None:
    async with pairing_plane(tmp_path) as plane:
        request_id = await asked(plane, Device(), scopes=["operator.read", "operator.admin"])
        async with plane.plane.client(scopes=READ_PAIRING) as clerk:
            assert await refusal(clerk, "device.pair.approve", requestId=request_id) == (
                "missing scope: operator.admin"
            )
            assert len((await ok(clerk, "device.pair.list"))["pending"]) == 1  # nothing happened
        node = await asked(plane, Device(), client=NODE, role="node", scopes=[])
        async with plane.plane.client(scopes=READ_PAIRING) as clerk:
            assert await refusal(clerk, "device.pair.approve", requestId=node) == (
                "device pairing approval denied"
            )
        async with plane.plane.client() as owner:
            await ok(owner, "device.pair.approve", requestId=node)
            assert plane.nodes.heard[0][0] == "approved"


async def test_a_device_sees_and_changes_only_itself(tmp_path: Path) -> None:
    async with pairing_plane(tmp_path) as plane:
        mine, auth = await paired(plane, READ_PAIRING)
        other, _ = await paired(plane, READ_PAIRING)
        theirs = await asked(plane, Device(), scopes=["operator.read"])
        async with plane.device(mine, auth=auth, scopes=READ_PAIRING) as client:
            listed = await ok(client, "device.pair.list")
            assert [one["deviceId"] for one in listed["paired"]] == [mine.id]
            assert listed["pending"] == []
            for method, params, what in (
                ("device.pair.approve", {"requestId": theirs}, "pairing approval"),
                ("device.pair.reject", {"requestId": theirs}, "pairing rejection"),
                ("device.pair.remove", {"deviceId": other.id}, "pairing removal"),
                ("device.pair.remove", {"deviceId": "0" * 64}, "pairing removal"),
                ("device.pair.rename", {"deviceId": other.id, "label": "x"}, "pairing rename"),
                ("device.token.rotate", {"deviceId": other.id, "role": "operator"}, None),
                ("device.token.revoke", {"deviceId": other.id, "role": "operator"}, None),
            ):
                text = await refusal(client, method, **params)
                verb = {"rotate": "rotation", "revoke": "revocation"}.get(method[13:], "")
                assert text == f"device {what or f'token {verb}'} denied"
            renamed = await ok(client, "device.pair.rename", deviceId=mine.id, label=" Desk ")
            assert renamed == {"deviceId": mine.id, "label": "Desk"}
        async with plane.plane.client() as owner:
            assert len((await ok(owner, "device.pair.list"))["paired"]) == 2


async def test_a_device_may_not_widen_itself(tmp_path: Path) -> None:
    async with pairing_plane(tmp_path) as plane:
        device, auth = await paired(plane, READ_PAIRING)
        wider = await asked(plane, device, auth=auth, scopes=[*READ_PAIRING, "operator.admin"])
        async with plane.device(device, auth=auth, scopes=READ_PAIRING) as client:
            assert await refusal(client, "device.pair.approve", requestId=wider) == (
                "missing scope: operator.admin"
            )
            assert await refusal(
                client,
                "device.token.rotate",
                deviceId=device.id,
                role="operator",
                scopes=["operator.admin"],
            ) == ("device token rotation denied")


async def test_rotation_hands_the_token_to_its_own_device_only(tmp_path: Path) -> None:
    async with pairing_plane(tmp_path) as plane, plane.plane.client() as owner:
        device, auth = await paired(plane, READ_PAIRING)
        async with plane.device(device, auth=auth, scopes=READ_PAIRING) as client:
            withheld = await ok(owner, "device.token.rotate", deviceId=device.id, role="operator")
            assert withheld["tokenDelivery"] == "withheld-cross-device"
            assert "token" not in withheld
            assert await client.closed() == REMOVED
        gone = await plane.try_in(device, auth=auth, scopes=READ_PAIRING)
        assert gone["details"]["code"] == "AUTH_DEVICE_TOKEN_MISMATCH"

        again = await plane.try_in(device, scopes=READ_PAIRING)  # by the gateway's secret
        auth = {"deviceToken": again["deviceToken"]}
        async with plane.device(device, auth=auth, scopes=READ_PAIRING) as client:
            own = await ok(
                client,
                "device.token.rotate",
                deviceId=device.id,
                role="operator",
                scopes=["operator.read"],
            )
            assert own["tokenDelivery"] == "in-band"
            assert own["scopes"] == ["operator.read"]
            assert await client.closed() == REMOVED  # after the answer
        auth = {"deviceToken": own["token"]}
        assert (await plane.try_in(device, auth=auth, scopes=["operator.read"]))["deviceToken"]
        narrowed = await plane.try_in(device, auth=auth, scopes=READ_PAIRING)
        assert narrowed["details"]["reason"] == "scope-upgrade"


@pytest.mark.parametrize("verb", ["revoke", "remove"])
async def test_what_is_taken_away_ends_at_once(tmp_path: Path, verb: str) -> None:
    async with pairing_plane(tmp_path) as plane, plane.plane.client() as owner:
        device, auth = await paired(plane, READ_PAIRING)
        async with (
            plane.device(device, auth=auth, scopes=READ_PAIRING) as one,
            plane.device(device, auth=auth, scopes=["operator.read"]) as two,
        ):
            if verb == "revoke":
                answer = await ok(owner, "device.token.revoke", deviceId=device.id, role="operator")
                assert answer["role"] == "operator"
                assert answer["revokedAtMs"] > 0
            else:
                assert await ok(owner, "device.pair.remove", deviceId=device.id) == {
                    "deviceId": device.id
                }
            assert await one.closed() == REMOVED
            assert await two.closed() == REMOVED
        error = await plane.try_in(device, auth=auth, scopes=["operator.read"])
        assert error["details"]["code"] == "AUTH_DEVICE_TOKEN_MISMATCH"
        known = (await ok(owner, "device.pair.list"))["paired"]
        assert [one["roles"] for one in known] == ([[]] if verb == "revoke" else [])
        repeated = await refusal(
            owner,
            "device.token.revoke" if verb == "revoke" else "device.pair.remove",
            **{"deviceId": device.id, **({"role": "operator"} if verb == "revoke" else {})},
        )
        assert repeated == (
            "device token revocation denied" if verb == "revoke" else "unknown deviceId"
        )


async def test_what_another_process_takes_away_ends_soon(tmp_path: Path) -> None:
    async with pairing_plane(tmp_path) as plane:
        device, auth = await paired(plane, READ_PAIRING)
        other, other_auth = await paired(plane, READ_PAIRING)
        elsewhere = Devices(plane.plane.store, plane.plane.clock, _nobody, secret=TOKEN)
        async with (
            plane.device(device, auth=auth, scopes=["operator.read"]) as reader,
            plane.device(device, auth=auth, scopes=READ_PAIRING) as clerk,
            plane.device(other, auth=other_auth, scopes=READ_PAIRING) as stays,
        ):
            await plane.patrol.look()
            assert (await clerk.request("test.echo", {"text": "x"}))["ok"]
            await elsewhere.rotate(device.id, "operator", ("operator.read",))
            await plane.patrol.look()
            assert await clerk.closed() == REMOVED
            await elsewhere.remove(device.id)
            await plane.patrol.look()
            assert await reader.closed() == REMOVED
            assert (await stays.request("test.echo", {"text": "x"}))["ok"]


def _nobody(_name: str, _payload: Any) -> None:
    return None


async def test_a_device_may_end_itself(tmp_path: Path) -> None:
    async with pairing_plane(tmp_path) as plane:
        device, auth = await paired(plane, READ_PAIRING)
        async with plane.device(device, auth=auth, scopes=READ_PAIRING) as client:
            assert await ok(client, "device.pair.remove", deviceId=device.id)
            assert await client.closed() == REMOVED


async def test_a_clerk_does_not_revoke_an_administrator(tmp_path: Path) -> None:
    async with pairing_plane(tmp_path) as plane:
        device, _ = await paired(plane, ["operator.admin"])
        async with plane.plane.client(scopes=READ_PAIRING) as clerk:
            for verb, noun in (("rotate", "rotation"), ("revoke", "revocation")):
                text = await refusal(
                    clerk, f"device.token.{verb}", deviceId=device.id, role="operator"
                )
                assert text == f"device token {noun} denied"


async def test_a_node_is_closed_by_its_role_and_its_book_hears(tmp_path: Path) -> None:
    async with pairing_plane(tmp_path) as plane, plane.plane.client() as owner:
        device = Device()
        await plane.try_in(device, remote=False, client=NODE, role="node", scopes=[])
        operator = {"id": "cli", "version": "1", "platform": "linux", "mode": "cli"}
        async with (
            plane.device(device, remote=False, client=NODE, role="node", scopes=[]) as node,
            plane.device(device, remote=False, client=operator, scopes=["operator.read"]) as own,
        ):
            await ok(owner, "device.pair.rename", deviceId=device.id, label="Attic")
            await ok(owner, "device.token.revoke", deviceId=device.id, role="node")
            assert await node.closed() == REMOVED
            assert (await own.request("test.echo", {"text": "still here"}))["ok"]
        await ok(owner, "device.pair.remove", deviceId=device.id)
        assert [(heard[0], *heard[2:]) for heard in plane.nodes.heard] == [
            ("approved", "silent"),
            ("renamed", "Attic"),
            ("revoked",),
            ("removed",),
        ]


async def test_events_tell_what_a_new_list_shows(tmp_path: Path) -> None:
    async with pairing_plane(tmp_path) as plane, plane.plane.client() as owner:
        device, _ = await paired(plane, READ_PAIRING)
        assert (await owner.event("device.pair.changed"))["payload"] == {}
        await ok(owner, "device.pair.rename", deviceId=device.id, label="Desk")
        request_id = await asked(plane, device, scopes=["operator.admin"])
        assert (await owner.event("device.pair.requested"))["payload"]["requestId"] == request_id
        (known,) = (await ok(owner, "device.pair.list"))["paired"]
        assert known["label"] == "Desk"
        text = await refusal(owner, "device.pair.rename", deviceId=device.id, label="   ")
        assert text == "label required"


class TestScopeUpgrades:
    async def test_approved(self, tmp_path: Path) -> None:
        async with pairing_plane(tmp_path) as plane, plane.plane.client() as owner:
            device, auth = await paired(plane, ["operator.read"])
            async with plane.device(device, auth=auth, scopes=["operator.read"]) as client:
                wanted = ["operator.read", "operator.write"]
                request = await ok(client, "device.scopes.requestUpgrade", scopes=wanted)
                await client.send(
                    {
                        "type": "req",
                        "id": "w",
                        "method": "device.scopes.waitUpgrade",
                        "params": request,
                    }
                )
                (pending,) = (await ok(owner, "device.pair.list"))["pending"]
                assert pending["scopes"] == wanted
                await ok(owner, "device.pair.approve", **request)
                decided = await client.receive()
                while decided.get("id") != "w":
                    decided = await client.receive()
                payload = decided["payload"]
                assert (payload["status"], payload["scopes"]) == ("approved", wanted)
                late = await ok(client, "device.scopes.waitUpgrade", **request)
                assert late == payload
            auth = {"deviceToken": payload["deviceToken"]}
            assert (await plane.try_in(device, auth=auth, scopes=wanted))["scopes"] == wanted

    async def test_rejected_and_somebody_elses(self, tmp_path: Path) -> None:
        async with pairing_plane(tmp_path) as plane, plane.plane.client() as owner:
            device, auth = await paired(plane, ["operator.read"])
            other, other_auth = await paired(plane, ["operator.read"])
            async with plane.device(device, auth=auth, scopes=[]) as client:
                request = await ok(
                    client, "device.scopes.requestUpgrade", scopes=["operator.admin"]
                )
                async with plane.device(other, auth=other_auth, scopes=[]) as stranger:
                    assert await refusal(stranger, "device.scopes.waitUpgrade", **request) == (
                        "scope upgrade expired or not found"
                    )
                await ok(owner, "device.pair.reject", **request)
                assert await ok(client, "device.scopes.waitUpgrade", **request) == {
                    "status": "rejected",
                    **request,
                }

    async def test_what_cannot_be_asked(self, tmp_path: Path) -> None:
        async with pairing_plane(tmp_path) as plane, plane.plane.client() as owner:
            assert "requires a paired browser identity" in await refusal(
                owner, "device.scopes.requestUpgrade", scopes=["operator.read"]
            )
            device, auth = await paired(plane, ["operator.read"])
            async with plane.device(device, auth=auth, scopes=["operator.read"]) as client:
                for scopes, text in (
                    (["operator.read", "root"], "unknown operator scope"),
                    (["operator.pairing"], "must include the connection's current scopes"),
                    (["operator.read", "operator.read"], "duplicate"),
                ):
                    assert text in await refusal(
                        client, "device.scopes.requestUpgrade", scopes=scopes
                    )


class TestSetupCodes:
    async def test_a_device_comes_with_a_code_and_gets_its_tokens(self, tmp_path: Path) -> None:
        async with pairing_plane(tmp_path) as plane, plane.plane.client() as owner:
            made = await ok(owner, "device.pair.setupCode", bootstrapProfile="limited")
            assert made["access"] == "limited"
            assert made["qrDataUrl"].startswith("data:image/png;base64,")
            token = bootstrap_token(made)
            assert token not in str(await plane.audit.list(Wanted()))
            device = Device()
            auth = await plane.try_in(
                device, client=NODE, role="node", scopes=[], auth={"bootstrapToken": token}
            )
            assert (auth["method"], auth["role"]) == ("bootstrap-token", "node")
            (operator,) = auth["deviceTokens"]
            assert operator["role"] == "operator"
            assert "operator.admin" not in operator["scopes"]
            done = (await owner.event("device.pair.setup.completed"))["payload"]
            assert (done["setupId"], done["deviceId"]) == (made["setupId"], device.id)
            status = await ok(owner, "device.pair.setupStatus", setupId=made["setupId"])
            assert status == {"completion": done}
            assert plane.nodes.heard == [("approved", device.id, "bootstrap")]
            again = await plane.try_in(
                device,
                client=NODE,
                role="node",
                scopes=[],
                auth={"deviceToken": auth["deviceToken"]},
            )
            assert again["method"] == "device-token"
            both = {"deviceToken": operator["deviceToken"]}
            scopes = operator["scopes"]
            assert (await plane.try_in(device, auth=both, scopes=scopes))["scopes"] == scopes

    async def test_a_code_works_once(self, tmp_path: Path) -> None:
        async with pairing_plane(tmp_path) as plane, plane.plane.client() as owner:
            made = await ok(owner, "device.pair.setupCode", bootstrapProfile="node")
            auth = {"bootstrapToken": bootstrap_token(made)}
            comers = [
                plane.try_in(Device(), client=NODE, role="node", scopes=[], auth=auth)
                for _ in range(4)
            ]
            answers = await asyncio.gather(*comers)
            winners = [answer for answer in answers if "deviceToken" in answer]
            losers = [answer for answer in answers if "deviceToken" not in answer]
            assert len(winners) == 1
            assert {one["details"]["code"] for one in losers} == {"AUTH_BOOTSTRAP_TOKEN_INVALID"}
            assert all(one["message"].startswith("unauthorized: setup code") for one in losers)
            assert len(await plane.plane.devices.list_approved()) == 1

    async def test_a_code_gives_no_more_than_it_was_made_for(self, tmp_path: Path) -> None:
        async with pairing_plane(tmp_path) as plane, plane.plane.client() as owner:
            made = await ok(owner, "device.pair.setupCode", bootstrapProfile="node")
            auth = {"bootstrapToken": bootstrap_token(made)}
            wrong_role = await plane.try_in(Device(), scopes=["operator.admin"], auth=auth)
            assert wrong_role["details"]["code"] == "AUTH_BOOTSTRAP_TOKEN_INVALID"
            made = await ok(owner, "device.pair.setupCode", bootstrapProfile="limited")
            auth = {"bootstrapToken": bootstrap_token(made)}
            wished = ["operator.admin", "operator.read"]
            limited = await plane.try_in(Device(), scopes=wished, auth=auth)
            assert limited["scopes"] == ["operator.read"]

    async def test_an_expired_code(self, tmp_path: Path) -> None:
        clock = FakeClock()
        async with pairing_plane(tmp_path, clock=clock) as plane, plane.plane.client() as owner:
            made = await ok(owner, "device.pair.setupCode")
            assert made["expiresAtMs"] == clock.now_ms() + 600_000
            clock.advance(600_000)
            auth = {"bootstrapToken": bootstrap_token(made)}
            device = Device()
            async with plane.plane.socket() as client:
                params = device.params(client.nonce, client=NODE, role="node", scopes=[], auth=auth)
                params["device"] = device.proof(params, client.nonce, signed_at=clock.now_ms())
                answer = await client.request("connect", params)
            assert answer["error"]["details"]["code"] == "AUTH_BOOTSTRAP_TOKEN_INVALID"
            assert await ok(owner, "device.pair.setupStatus", setupId=made["setupId"]) == {}

    async def test_full_access_needs_an_address_nobody_reads_along(self, tmp_path: Path) -> None:
        async with pairing_plane(tmp_path) as plane, plane.plane.client() as owner:
            full = await ok(owner, "device.pair.setupCode")
            assert full["access"] == "full"
            assert "accessDowngraded" not in full
            lan = await ok(owner, "device.pair.setupCode", publicUrl="http://192.168.1.5:18789")
            assert lan["gatewayUrl"] == "ws://192.168.1.5:18789"
            assert (lan["access"], lan["accessDowngraded"]) == ("limited", True)
            assert lan["urlSource"] == "request.publicUrl"
            own = await ok(owner, "device.pair.setupCode", publicUrl="https://192.168.1.5:18789/")
            assert decode(own["setupCode"], now_ms=0).tls_fingerprint == "ab" * 32
            for url in (
                "ws://gateway.example",
                "http://100.64.1.2",
                "ws://a:b@192.168.1.5",
                "ftp://192.168.1.5",
            ):
                text = await refusal(owner, "device.pair.setupCode", publicUrl=url)
                assert "wss://" in text or "not a gateway's address" in text

    async def test_guessing_is_limited(self, tmp_path: Path) -> None:
        settings = AuthSettings(token=TOKEN, trusted_proxies=("127.0.0.1",))
        async with pairing_plane(tmp_path, auth=settings) as plane:
            guess: dict[str, Any] = {"client": NODE, "role": "node", "scopes": []}
            guesses = [
                plane.try_in(Device(), **guess, auth={"bootstrapToken": f"guess{number}"})
                for number in range(10)
            ]
            codes = {answer["details"]["code"] for answer in await asyncio.gather(*guesses)}
            assert codes == {"AUTH_BOOTSTRAP_TOKEN_INVALID"}
            locked = await plane.try_in(Device(), **guess, auth={"bootstrapToken": "one more"})
            assert locked["details"]["code"] == "AUTH_RATE_LIMITED"
            with_secret = await plane.try_in(Device(), **guess)  # counted apart
            assert with_secret["details"]["code"] == "PAIRING_REQUIRED"

    async def test_only_administrators_make_codes(self, tmp_path: Path) -> None:
        async with (
            pairing_plane(tmp_path) as plane,
            plane.plane.client(scopes=READ_PAIRING) as clerk,
        ):
            assert await refusal(clerk, "device.pair.setupCode") == "missing scope: operator.admin"

    async def test_a_gateway_without_secret_makes_none(self, tmp_path: Path) -> None:
        async with (
            pairing_plane(tmp_path, auth=AuthSettings(mode="none")) as plane,
            plane.plane.client() as owner,
        ):
            assert "auth is not configured" in await refusal(owner, "device.pair.setupCode")

    async def test_as_many_codes_wait_as_may(self, tmp_path: Path) -> None:
        async with pairing_plane(tmp_path) as plane, plane.plane.client() as owner:
            for _ in range(50):
                await ok(owner, "device.pair.setupCode", includeQr=False)
            answer = await owner.request("device.pair.setupCode", {"includeQr": False})
            assert answer["error"]["details"]["code"] == "TOO_MANY_SETUP_CODES"
            assert answer["error"]["retryable"] is True


async def test_a_new_node_of_a_trusted_network_is_let_in(tmp_path: Path) -> None:
    settings = AuthSettings(
        token=TOKEN,
        trusted_proxies=("127.0.0.1",),
        auto_approve_cidrs=("203.0.113.0/24", "127.0.0.0/8"),
        auto_approve_local=False,
    )
    async with pairing_plane(tmp_path, auth=settings) as plane:
        node: dict[str, Any] = {"client": NODE, "role": "node", "scopes": []}
        # What a proxy on this machine says of an address, any program of this machine could say.
        forged = await plane.try_in(Device(), **node)
        assert forged["details"]["code"] == "PAIRING_REQUIRED"
        device = Device()
        assert (await plane.try_in(device, remote=False, **node))["deviceToken"]
        (known,) = await plane.plane.devices.list_approved()
        assert known.device.approved_via == "trusted-cidr"
        operator = await plane.try_in(Device(), remote=False, scopes=["operator.read"])
        assert operator["details"]["code"] == "PAIRING_REQUIRED"
        upgrade = await plane.try_in(device, remote=False, scopes=["operator.read"])
        assert upgrade["details"]["reason"] == "role-upgrade"


async def test_the_machines_own_tailscale_address_is_this_machine_where_that_is_wanted(
    tmp_path: Path,
) -> None:
    settings = AuthSettings(token=TOKEN, auto_approve_tailnet=True, trusted_proxies=("100.64.0.9",))
    async with pairing_plane(tmp_path, auth=settings) as plane:
        door = plane.plane.authenticator
        door._own_addresses = lambda: ("100.64.0.7", "192.0.2.7")

        async def comes(ip: str, **headers: str) -> str:
            device = Device()
            params = msgspec.convert(device.params("nonce-of-the-challenge"), ConnectParams)
            peer = peer_of(ip, {"host": "gw", **headers}, rules=door.peer_rules)
            try:
                await door.authenticate(params, peer, "nonce-of-the-challenge")
            except GatewayError as refused:
                return str((refused.details or {}).get("code"))
            return "in"

        assert await comes("100.64.0.7") == "in"
        for ip in ("100.64.0.8", "192.0.2.7"):
            assert await comes(ip) == "PAIRING_REQUIRED", ip
        passed_on = {"x-forwarded-for": "100.64.0.7"}
        assert await comes("100.64.0.9", **passed_on) == "PAIRING_REQUIRED"
        door.configure(replace(settings, auto_approve_tailnet=False))
        assert await comes("100.64.0.7") == "PAIRING_REQUIRED"


def bootstrap_token(made: dict[str, Any]) -> str:
    return decode(made["setupCode"], now_ms=0).bootstrap_token
