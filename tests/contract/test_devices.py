"""Devices at the door: proofs, silent approval, pairing, device tokens, lockout."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from portico.auth.service import AuthSettings
from portico.store.unusable import DatabaseAway
from portico.web.arrival import NoNodes
from portico.web.control_plane import SocketLimits
from tests.fakes.control_plane import TOKEN, Device, Plane, connect_params, running_plane

pytestmark = pytest.mark.anyio
REMOTE = {"X-Forwarded-For": "203.0.113.9"}  # not direct, so not local


async def _try(plane: Plane, device: Device, *, remote: bool = False, **changes: Any) -> Any:
    headers = REMOTE if remote else {}
    async with plane.socket(additional_headers=headers) as client:
        answer = await client.request("connect", device.params(client.nonce, **changes))
        if not answer["ok"]:
            return answer["error"], await client.closed()
        return answer["payload"]["auth"]


async def test_local_device_is_approved_silently_and_gets_the_same_token_again(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        device = Device()
        first = await _try(plane, device)
        assert first["method"] == "token"
        assert first["scopes"] == connect_params()["scopes"]
        assert len(first["deviceToken"]) == 43
        assert await _try(plane, device) == first
        (known,) = await plane.devices.list_approved()
        assert known.device.approved_via == "silent"
        assert known.tokens[0].token_hash != first["deviceToken"]


async def test_token_survives_a_restart(tmp_path: Path):
    device = Device()
    async with running_plane(tmp_path) as plane:
        first = await _try(plane, device)
    async with running_plane(tmp_path) as plane:
        assert await _try(plane, device) == first
        again = await _try(plane, device, auth={"deviceToken": first["deviceToken"]})
        assert again["method"] == "device-token"


async def test_another_gateway_secret_gives_another_token(tmp_path: Path):
    device = Device()
    async with running_plane(tmp_path) as plane:
        first = await _try(plane, device)
    auth = AuthSettings(token="another secret of the gateway")
    async with running_plane(tmp_path, auth=auth) as plane:
        by_device = await _try(plane, device, auth={"deviceToken": first["deviceToken"]})
        assert by_device["method"] == "device-token"  # what was issued stays good
        second = await _try(plane, device, auth={"token": "another secret of the gateway"})
        assert second["deviceToken"] != first["deviceToken"]


async def test_device_token_is_enough_even_from_elsewhere(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        device = Device()
        issued = await _try(plane, device)
        auth = {"deviceToken": issued["deviceToken"]}
        assert (await _try(plane, device, remote=True, auth=auth))["method"] == "device-token"
        as_token = {"token": issued["deviceToken"]}
        assert (await _try(plane, device, remote=True, auth=as_token))["method"] == "device-token"


async def test_device_token_of_another_device_is_refused(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        mine, other = Device(), Device()
        issued = await _try(plane, mine)
        await _try(plane, other)
        error, close = await _try(plane, other, auth={"deviceToken": issued["deviceToken"]})
        assert error["message"] == (
            "unauthorized: device token mismatch (rotate/reissue device token)"
        )
        assert error["details"]["code"] == "AUTH_DEVICE_TOKEN_MISMATCH"
        assert close == (1008, error["message"])


async def test_wrong_token_with_a_device_may_be_retried_with_the_device_token(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        error, _ = await _try(plane, Device(), auth={"token": "nope"})
        assert error["message"] == (
            "unauthorized: gateway token mismatch"
            " (set gateway.remote.token to match gateway.auth.token)"
        )
        assert error["details"] == {
            "code": "AUTH_TOKEN_MISMATCH",
            "authReason": "token_mismatch",
            "canRetryWithDeviceToken": True,
            "recommendedNextStep": "retry_with_device_token",
        }


async def test_device_without_any_secret_is_told_what_is_missing(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        error, _ = await _try(plane, Device(), auth={})
        assert error["details"]["code"] == "AUTH_TOKEN_MISSING"
        assert error["details"]["recommendedNextStep"] == "update_auth_configuration"


async def test_remote_device_waits_for_its_owner(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as owner:
        device = Device()
        error, close = await _try(plane, device, remote=True, scopes=["operator.read"])
        details = error["details"]
        assert error["code"] == "NOT_PAIRED"
        assert error["message"] == "pairing required: device is not approved yet"
        assert details["code"] == "PAIRING_REQUIRED"
        assert details["reason"] == "not-paired"
        assert details["deviceId"] == device.id
        assert details["requestedRole"] == "operator"
        assert details["requestedScopes"] == ["operator.read"]
        assert close == (1008, f"{error['message']} (requestId: {details['requestId']})")
        asked = await owner.event("device.pair.requested")
        assert asked["payload"]["requestId"] == details["requestId"]
        assert asked["payload"]["deviceId"] == device.id

        again, _ = await _try(plane, device, remote=True, scopes=["operator.read"])
        assert again["details"]["requestId"] == details["requestId"]  # refreshed, not doubled

        await plane.devices.approve(details["requestId"])
        resolved = await owner.event("device.pair.resolved")
        assert resolved["payload"]["decision"] == "approved"
        assert (await _try(plane, device, remote=True, scopes=["operator.read"]))["deviceToken"]
        assert await plane.devices.list_pending() == []

        more, _ = await _try(plane, device, remote=True, scopes=["operator.admin"])
        assert more["message"] == (
            "pairing required: device is asking for more scopes than currently approved"
        )
        assert more["details"]["reason"] == "scope-upgrade"
        assert more["details"]["approvedScopes"] == ["operator.read"]
        await plane.devices.reject(more["details"]["requestId"])
        assert (await owner.event("device.pair.resolved"))["payload"]["decision"] == "rejected"


async def test_remote_device_asks_for_another_role_or_has_changed(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        device = Device()
        await _try(plane, device)
        node = {"id": "node-host", "version": "1", "platform": "linux", "mode": "node"}
        error, _ = await _try(plane, device, remote=True, client=node, role="node", scopes=[])
        assert error["details"]["reason"] == "role-upgrade"
        moved = {"id": "cli", "version": "1", "platform": "darwin", "mode": "cli"}
        error, _ = await _try(plane, device, remote=True, client=moved)
        assert error["details"]["reason"] == "metadata-upgrade"
        assert (await _try(plane, device, client=moved))["deviceToken"]  # local: silently


async def test_removed_device_is_unknown(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        device = Device()
        issued = await _try(plane, device)
        assert await plane.devices.remove(device.id)
        auth = {"deviceToken": issued["deviceToken"]}
        error, _ = await _try(plane, device, auth=auth)
        assert error["details"]["code"] == "AUTH_DEVICE_TOKEN_MISMATCH"


@pytest.mark.parametrize(
    ("break_it", "code", "reason", "message"),
    [
        (
            {"id": "0" * 64},
            "DEVICE_AUTH_DEVICE_ID_MISMATCH",
            "device-id-mismatch",
            "device identity mismatch",
        ),
        (
            {"publicKey": "AAAA"},
            "DEVICE_AUTH_DEVICE_ID_MISMATCH",
            "device-id-mismatch",
            "device identity mismatch",
        ),
        (
            {"publicKey": "§§"},
            "DEVICE_AUTH_PUBLIC_KEY_INVALID",
            "device-public-key",
            "device public key invalid",
        ),
        (
            {"signedAt": 1_000_000},
            "DEVICE_AUTH_SIGNATURE_EXPIRED",
            "device-signature-stale",
            "device signature expired",
        ),
        (
            {"nonce": " "},
            "DEVICE_AUTH_NONCE_REQUIRED",
            "device-nonce-missing",
            "device nonce required",
        ),
        (
            {"nonce": "00000000-0000-0000-0000-000000000000"},
            "DEVICE_AUTH_NONCE_MISMATCH",
            "device-nonce-mismatch",
            "device nonce mismatch",
        ),
        (
            {"signature": "A" * 86},
            "DEVICE_AUTH_SIGNATURE_INVALID",
            "device-signature",
            "device signature invalid",
        ),
    ],
)
async def test_bad_proof(tmp_path: Path, break_it, code, reason, message):
    async with running_plane(tmp_path) as plane, plane.socket() as client:
        params = Device().params(client.nonce)
        params["device"] |= break_it
        answer = await client.request("connect", params)
        assert answer["error"] == {
            "code": "INVALID_REQUEST",
            "message": message,
            "details": {"code": code, "reason": reason},
        }
        assert await client.closed() == (1008, message)


async def test_proof_without_nonce_is_a_params_error(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.socket() as client:
        params = Device().params(client.nonce)
        del params["device"]["nonce"]
        text = "invalid connect params: at /device: must have required property 'nonce'"
        assert (await client.request("connect", params))["error"]["message"] == text


async def test_proof_of_the_second_version_is_good(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.socket() as client:
        device = Device()
        params = device.params(client.nonce)
        params["device"] = device.proof(params, client.nonce, version="v2")
        assert (await client.request("connect", params))["ok"]


async def test_recorded_proof_is_good_for_its_own_connection_only(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        async with plane.socket() as client:
            params = Device().params(client.nonce)
            assert (await client.request("connect", params))["ok"]
        async with plane.socket() as client:
            answer = await client.request("connect", params)
            assert answer["error"]["details"]["reason"] == "device-nonce-mismatch"


async def test_address_that_fails_too_often_is_locked_out(tmp_path: Path):
    auth = AuthSettings(token=TOKEN, trusted_proxies=("127.0.0.1",))
    async with running_plane(tmp_path, auth=auth) as plane:

        async def attempt(token: str, ip: str) -> Any:
            async with plane.socket(additional_headers={"X-Forwarded-For": ip}) as client:
                return await client.connect(auth={"token": token})

        wrong = [attempt("nope", "198.51.100.7") for _ in range(10)]
        codes = {a["error"]["details"]["code"] for a in await asyncio.gather(*wrong)}
        assert codes == {"AUTH_TOKEN_MISMATCH"}
        locked = (await attempt(TOKEN, "198.51.100.7"))["error"]
        assert locked["message"] == (
            "unauthorized: too many failed authentication attempts (retry later)"
        )
        assert locked["details"]["recommendedNextStep"] == "wait_then_retry"
        assert locked["retryable"] is True
        assert 0 < locked["retryAfterMs"] <= 300_000
        assert (await attempt(TOKEN, "198.51.100.8"))["ok"]


@pytest.mark.parametrize("beside", ["deviceToken", "bootstrapToken"])
async def test_a_guess_counts_whatever_else_is_said_with_it(tmp_path: Path, beside: str):
    auth = AuthSettings(mode="password", password="right", trusted_proxies=("127.0.0.1",))
    elsewhere = {"X-Forwarded-For": "198.51.100.7"}
    async with running_plane(tmp_path, auth=auth) as plane:

        async def attempt(password: str) -> str:
            async with plane.socket(additional_headers=elsewhere) as client:
                device = Device()
                params = device.params(client.nonce, auth={"password": password, beside: "x"})
                answer = await client.request("connect", params)
            return str(answer["error"]["details"]["code"])

        for number in range(12):
            await attempt(f"guess {number}")
        # Else the right one would be told from the wrong ones, as often as one likes.
        assert await attempt("wrong") == await attempt("right") == "AUTH_RATE_LIMITED"


async def test_all_addresses_of_one_ipv6_subscriber_are_one(tmp_path: Path):
    auth = AuthSettings(token=TOKEN, trusted_proxies=("127.0.0.1",))
    limits = SocketLimits(max_preauth_connections_per_ip=2)
    async with running_plane(tmp_path, auth=auth, limits=limits) as plane:

        def door(ip: str) -> Any:
            return plane.socket(additional_headers={"X-Forwarded-For": ip})

        for number in range(10):
            async with door(f"2001:db8:0:1::{number:x}") as client:
                await client.connect(auth={"token": "nope"})
        async with door("2001:db8:0:1:ffff::1") as client:
            answer = await client.connect()
            assert answer["error"]["details"]["code"] == "AUTH_RATE_LIMITED"
        async with door("2001:db8:0:2::1") as client:
            assert (await client.connect())["ok"]
        async with door("2001:db8:0:3::1"), door("2001:db8:0:3::2"):
            with pytest.raises(InvalidStatus):
                async with door("2001:db8:0:3::3"):
                    pass


async def test_who_comes_while_the_database_is_away_may_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def away(_device_id: str) -> None:
        raise DatabaseAway("connection was closed")

    async with running_plane(tmp_path) as plane:
        monkeypatch.setattr(plane.devices, "find", away)
        error, _ = await _try(plane, Device())
        assert error["details"]["code"] == "DATABASE_UNAVAILABLE"
        assert error["retryable"] is True


async def test_who_is_removed_while_it_comes_in_does_not(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        device = Device()
        assert (await _try(plane, device))["deviceToken"]

        class SlowDoor(NoNodes):
            async def expect(self, *_: Any) -> None:
                await plane.devices.remove(device.id)

        plane.plane.nodes = SlowDoor()
        error, closed = await _try(plane, device)
        assert error["message"] == closed[1] == "device pairing changed; connect again"


async def test_a_newer_system_of_an_app_is_no_other_device(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        device = Device()
        phone = {"id": "openclaw-ios", "version": "1", "platform": "iOS 26.1", "mode": "ui"}
        await _try(plane, device, client=phone, scopes=["operator.read"])
        newer = {**phone, "platform": "iOS 26.2"}
        assert (await _try(plane, device, remote=True, client=newer, scopes=[]))["deviceToken"]
        known = await plane.devices.find(device.id)
        assert known is not None
        assert known.device.platform == "iOS 26.2"
        other, _ = await _try(
            plane, device, remote=True, client={**phone, "platform": "Android 16"}, scopes=[]
        )
        assert other["details"]["reason"] == "metadata-upgrade"
