"""Channels over the control plane, in a whole gateway with a partner behind a webhook."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portico.agents.runtime import AgentRuntime
from portico.config.edit import Change
from portico.protocol.errors import GatewayError
from portico.protocol.scopes import ALL_SCOPES
from portico.rpc.call import Call
from tests.contract.shapes import Number, misfits
from tests.fakes.webhook_partner import SECRET, Partner
from tests.support.house import principal
from tests.support.http import House, house, listening, settings
from tests.support.path import rows
from tests.support.waiting import eventually

MAYBE_TIME = (int, None)
ACCOUNT = {
    "accountId": str,
    "name?": str,
    "enabled?": bool,
    "configured?": bool,
    "linked?": bool,
    "running?": bool,
    "connected?": bool,
    "reconnectAttempts?": int,
    "lastConnectedAt?": MAYBE_TIME,
    "lastError?": (str, None),
    "healthState?": str,
    "lastStartAt?": MAYBE_TIME,
    "lastStopAt?": MAYBE_TIME,
    "lastInboundAt?": MAYBE_TIME,
    "lastOutboundAt?": MAYBE_TIME,
    "lastTransportActivityAt?": MAYBE_TIME,
    "lastProbeAt?": MAYBE_TIME,
    "dmPolicy?": str,
    "allowFrom?": [str],
}
# Source: OpenClaw gateway protocol, channels.status, and channels.pairing.list.
STATUS = {
    "ts": Number,
    "channelOrder": [str],
    "channelLabels": dict,
    "channelMeta?": [{"id": str, "label": str, "detailLabel": str}],
    "channels": dict,
    "channelDefaultAccountId": dict,
    "statusIssues?": [{"channel": str, "accountId": str, "kind": str, "message": str}],
}
REQUESTS = {
    "accounts": [{"channel": str, "channelLabel": str, "accountId": str, "notifySupported": bool}],
    "requests": [
        {
            "requestId": str,
            "channel": str,
            "channelLabel": str,
            "accountId": str,
            "senderId": str,
            "senderLabel": str,
            "metadata?": dict,
            "createdAt": str,
            "lastSeenAt": str,
            "expiresAt": str,
            "notifySupported": bool,
        }
    ],
    "commandOwnerConfigured": bool,
    "limits": {"pendingPerAccount": int, "ttlMs": int},
}


class Room:
    """A gateway, its partner, and an operator."""

    def __init__(self, there: House, partner: Partner) -> None:
        self.gateway = there.gateway
        self.partner = partner

    async def call(self, name: str, **params: Any) -> Any:
        call = Call(principal(*ALL_SCOPES), None, lambda _early: None)
        raw = msgspec.json.encode(params)
        result = await self.gateway.front.dispatcher.request(name, raw, call)
        return msgspec.json.decode(msgspec.json.encode(result))

    async def refusal(self, name: str, **params: Any) -> str:
        with pytest.raises(GatewayError) as refused:
            await self.call(name, **params)
        return refused.value.message

    async def account(self, account: str = "default") -> dict[str, Any]:
        shown = await self.call("channels.status", channel="webhook")
        return next(
            one for one in shown["channelAccounts"]["webhook"] if one["accountId"] == account
        )

    async def connected(self, account: str = "default") -> dict[str, Any]:
        async def is_connected() -> dict[str, Any] | None:
            shown = await self.account(account)
            return shown if shown["connected"] else None

        return await eventually(is_connected)


@asynccontextmanager
async def room(
    folder: Path, *, runtime: AgentRuntime | None = None, **webhook: Any
) -> AsyncIterator[Room]:
    async with Partner("") as partner:
        written = settings(channels={"webhook": {**partner.settings(), **webhook}})
        file = folder / "portico.json"  # what an edit changes
        file.write_text(json.dumps(written))
        file.chmod(0o600)
        async with (
            house(folder, written, runtime=runtime) as there,
            listening(there.gateway) as url,
        ):
            partner.door = f"{url}/integrations/webhook/default"
            yield Room(there, partner)


async def test_status_shows_every_channel_as_the_protocol_says(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.connected()
        shown = await here.call("channels.status", probe=True)
        assert misfits(STATUS, shown) == []
        assert shown["channelOrder"] == ["webhook", "webchat", "http"]
        assert shown["channelLabels"]["webhook"] == "Webhook"
        for accounts in shown["channelAccounts"].values():
            assert misfits([ACCOUNT], accounts) == []
        (account,) = shown["channelAccounts"]["webhook"]
        assert account["probe"] == {"ok": True, "status": 204}
        assert account["application"]["webhookPath"] == "/integrations/webhook/default"
        assert (account["healthState"], account["dmPolicy"]) == ("healthy", "pairing")
        assert shown["channels"]["webhook"]["connected"] is True
        assert SECRET not in json.dumps(shown)


async def test_accounts_stop_and_start(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.connected()
        assert await here.call("channels.stop", channel="webhook") == {
            "channel": "webhook",
            "accountId": "default",
            "stopped": True,
        }
        assert (await here.account())["healthState"] == "stopped"
        assert await here.partner.post("k", b"{}") == 503
        started = await here.call("channels.start", channel="webhook")
        assert (started["started"], started["outcome"]) == (True, "started")
        again = await here.call("channels.start", channel="webhook", accountId="default")
        assert again["outcome"] == "already-running"


async def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        assert await here.refusal("channels.start", channel="nope") == "unknown channel: nope"
        assert "built in" in await here.refusal("channels.stop", channel="webchat")
        unknown = await here.refusal("channels.stop", channel="webhook", accountId="x")
        assert unknown == "unknown account of webhook: x"
        for login in ("web.login.start", "web.login.wait"):
            assert await here.refusal(login) == "web login provider is not available"
        assert await here.refusal("web.login.start", channel="webhook") == (
            "web login provider is not available"
        )
        out = await here.call("channels.logout", channel="webhook")
        assert (out["cleared"], out["loggedOut"]) == (False, False)


async def test_a_broken_account_says_what_is_wrong(tmp_path: Path) -> None:
    accounts = {"good": {}, "bad": {"url": "nowhere"}}
    async with room(tmp_path, accounts=accounts) as here:
        await here.connected("good")
        bad = await here.account("bad")
        assert (bad["configured"], bad["healthState"]) == (False, "misconfigured")
        (issue,) = (await here.call("channels.status"))["statusIssues"]
        assert (issue["accountId"], issue["kind"]) == ("bad", "config")
        assert "channels.webhook.accounts.bad.url" in issue["message"]


async def test_a_stranger_is_paired_and_then_answered(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.connected()
        await here.partner.say("hello", sender="ann")
        (answer,) = await eventually(here.partner.sent)
        assert answer.to == "ann"
        listed = await here.call("channels.pairing.list")
        assert misfits(REQUESTS, listed) == []
        assert listed["requests"][0]["senderLabel"] == "Ann"
        found = re.search(r"code: (\S+)", answer.text)
        assert found is not None
        redeemed = await here.call(
            "channels.pairing.redeem",
            channel="webhook",
            accountId="default",
            code=found[1],
            notify=True,
        )
        assert (redeemed["senderId"], redeemed["notification"]) == ("ann", "sent")
        await eventually(lambda: len(here.partner.sent()) == 2)
        await here.partner.say("hello again", sender="ann")
        await eventually(lambda: len(here.partner.sent()) == 3)
        assert here.partner.sent()[-1].text == "Echo: hello again"
        (person,) = (await here.call("channels.pairing.approved"))["approved"]
        assert person["senderId"] == "ann"
        revoked = await here.call(
            "channels.pairing.revoke", channel="webhook", accountId="default", senderId="ann"
        )
        assert revoked == {"senderId": "ann", "changed": True}
        kept = await rows(
            here.gateway.ground.store, "SELECT state FROM inbox_messages ORDER BY message_id"
        )
        assert [row[0] for row in kept] == ["refused", "queued"]


async def test_requests_are_approved_and_dismissed_by_id(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.connected()
        for name in ("ann", "bob"):
            await here.partner.say("hello", sender=name)
        await eventually(lambda: len(here.partner.sent()) == 2)
        asked = (await here.call("channels.pairing.list", channel="webhook"))["requests"]
        ids = {one["senderId"]: one["requestId"] for one in asked}
        where = {"channel": "webhook", "accountId": "default"}
        approved = await here.call(
            "channels.pairing.approve", **where, requestId=ids["ann"], bootstrapCommandOwner=True
        )
        assert approved == {
            "requestId": ids["ann"],
            "senderId": "ann",
            "notification": "not-requested",
            "commandOwnerBootstrap": "unavailable",
        }
        dismissed = await here.call("channels.pairing.dismiss", **where, requestId=ids["bob"])
        assert dismissed["senderId"] == "bob"
        assert (await here.call("channels.pairing.list"))["requests"] == []
        assert "unknown pairing request" in await here.refusal(
            "channels.pairing.approve", **where, requestId=ids["ann"]
        )


async def test_what_is_no_message_is_listed(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.connected()
        key = await here.partner.tell_event()
        await eventually(lambda: here.partner.is_acknowledged(key))
        (event,) = (await here.call("channels.events", channel="webhook"))["events"]
        assert (event["event"]["kind"], event["accountId"]) == ("reaction", "default")


async def test_an_edited_configuration_is_followed(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.connected()
        path = ("channels", "webhook", "accounts", "second")
        await here.gateway.ground.live.edit(lambda _now: [Change(path, {})])
        await here.connected("second")
        door = here.partner.door.replace("default", "second")
        here.partner.door = door
        assert await here.partner.post("k1", b'{"from": {"id": "ann"}, "text": "hi"}') == 200
        await here.gateway.ground.live.edit(lambda _now: [Change.removal("channels", "webhook")])
        shown = await here.call("channels.status")
        assert shown["channelOrder"] == ["webchat", "http"]
        assert await here.partner.post("k2", b"{}") == 404
