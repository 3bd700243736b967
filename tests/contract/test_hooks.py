"""Hooks over the HTTP of a whole gateway: who may, what is asked, and that it is asked once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from portico.automation.hooks.signature import sign
from tests.support.http import House, Scripted, house, settings
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

SECRET = "a-token-of-hooks-0123456789"
GITHUB = "secret-of-github"
STRIPE = "whsec_secret"
HOOKS: dict[str, Any] = {
    "enabled": True,
    "token": SECRET,
    "maxBodyBytes": 2_048,
    "presets": ["gmail"],
    "mappings": [
        {
            "match": {"path": "ci", "source": "build"},
            "name": "CI",
            "messageTemplate": "Build {{id}} of {{repo.name}}: {{state}}",
            "sessionKey": "hook:ci:{{repo.name}}",
            "idempotencyKey": "{{id}}",
            "deliver": False,
        },
        {"match": {"path": "bell"}, "action": "wake", "textTemplate": "{{what}} rang."},
        {
            "match": {"path": "safe"},
            "messageTemplate": "{{x}}",
            "allowUnsafeExternalContent": True,
        },
        {
            "match": {"path": "github", "headers": {"X-GitHub-Event": "push"}},
            "messageTemplate": "{{pusher.name}} pushed to {{ref}}",
            "verify": {"type": "github", "secret": GITHUB},
        },
        {
            "match": {"path": "stripe"},
            "messageTemplate": "{{type}}",
            "verify": {"type": "stripe", "secret": STRIPE},
        },
    ],
}


class Sender:
    """A program that posts."""

    def __init__(self, inside: House, runtime: Scripted) -> None:
        self.inside, self.runtime = inside, runtime
        self.headers = {"Authorization": f"Bearer {SECRET}"}

    async def post(self, path: str, body: Any, **headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        client = self.inside.client
        client.headers.pop("authorization", None)
        return await client.post(path, content=content, headers={**self.headers, **named})

    async def asked(self, count: int = 1) -> list[Any]:
        """What the agent was asked, when it was so often."""
        await eventually(lambda: len(self.runtime.seen) >= count)
        assert len(self.runtime.seen) == count
        return self.runtime.seen


@asynccontextmanager
async def sending(folder: Path, **hooks: Any) -> AsyncIterator[Sender]:
    runtime = Scripted()
    config = settings(hooks={**HOOKS, **hooks})
    async with house(folder, config, runtime=runtime) as inside:
        yield Sender(inside, runtime)


@pytest.fixture
async def sender(tmp_path: Path) -> AsyncIterator[Sender]:
    async with sending(tmp_path) as opened:
        yield opened


async def test_an_agent_is_asked(sender: Sender) -> None:
    answer = await sender.post("/hooks/agent", {"message": "Look at the mail.", "name": "Mail"})
    assert answer.status_code == 200
    assert answer.json()["ok"] is True
    assert answer.json()["runId"].startswith("run_")
    (request,) = await sender.asked()
    assert (request.text, request.sender_name) == ("Look at the mail.", "Mail")
    assert request.is_untrusted
    assert "not by a person" in request.system_prompt
    alias = await sender.post("/.openclaw/hooks/agent/", {"message": "Again."})
    assert alias.status_code == 200
    await sender.asked(2)


async def test_the_same_delivery_is_asked_once(sender: Sender) -> None:
    body = {"message": "Once."}
    first = await sender.post("/hooks/agent", body, Idempotency_Key="k1")
    again = await sender.post("/hooks/agent", body, X_OpenClaw_Idempotency_Key="k1")
    also = await sender.post("/hooks/agent", {**body, "idempotencyKey": "k1"})
    assert first.json() == again.json() == also.json()
    other = await sender.post("/hooks/agent", {"message": "Other."}, Idempotency_Key="k1")
    assert (other.status_code, other.json()["ok"]) == (409, False)
    await sender.asked(1)


async def test_a_sender_can_wait_for_the_end(sender: Sender) -> None:
    done = await sender.post("/hooks/agent", {"message": "x", "waitForCompletion": True})
    assert done.json()["completion"] == {"status": "ok", "replyDisposition": "visible"}


async def test_the_same_event_wakes_once(sender: Sender) -> None:
    body = {"text": "It rains.", "mode": "now"}
    first = await sender.post("/hooks/wake", body, Idempotency_Key="w1")
    again = await sender.post("/hooks/wake", {**body, "idempotencyKey": "w1"})
    assert first.json() == again.json()
    other = await sender.post("/hooks/wake", {"text": "It snows."}, Idempotency_Key="w1")
    assert other.status_code == 409
    long = await sender.post("/hooks/wake", body, Idempotency_Key="x" * 300)
    assert long.status_code == 400
    await sender.asked(1)
    await sender.post("/hooks/wake", body, Idempotency_Key="w2")
    await sender.asked(2)


async def test_sessions_of_deliveries_are_forgotten(tmp_path: Path) -> None:
    async with sending(tmp_path, sessionRetention="1h", defaultSessionKey=None) as sender:
        await sender.post("/hooks/agent", {"message": "x", "waitForCompletion": True})
        await sender.post(
            "/hooks/agent",
            {"message": "x", "sessionMode": "persistent", "waitForCompletion": True},
        )
        gateway = sender.inside.gateway
        retention = gateway.features.automation.hook_retention
        assert await retention.forget_sessions() == 0
        retention.keep_ms = -1_000
        assert await retention.forget_sessions() == 1
        assert await retention.forget_sessions() == 0
        main = await gateway.conversation.sessions.find("agent:main:main")
        assert main is not None
        retention.keep_ms = None
        assert await retention.forget_sessions() == 0


async def test_an_agent_is_woken(sender: Sender) -> None:
    done = await sender.post("/hooks/wake", {"text": "It rains.", "mode": "now"})
    assert done.json() == {"ok": True, "mode": "now", "eventOutcome": "queued"}
    (request,) = await sender.asked()
    assert request.text == "[system event] It rains."
    assert request.is_untrusted


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/hooks/agent", b"{", 400),
        ("/hooks/agent", b"[]", 400),
        ("/hooks/agent", {}, 400),
        ("/hooks/agent", {"message": ""}, 400),
        ("/hooks/agent", {"message": "x", "agentId": "nobody"}, 400),
        ("/hooks/agent", {"message": "x", "sessionKey": "main"}, 400),
        ("/hooks/agent", {"message": "x", "channel": "pigeon", "to": "1"}, 400),
        ("/hooks/agent", {"message": "x", "timeoutSeconds": -1}, 400),
        ("/hooks/agent", {"message": "x" * 3_000}, 413),
        ("/hooks/wake", {"text": "x", "mode": "soon"}, 400),
        ("/hooks/wake", {}, 400),
        ("/hooks/nothing", {}, 404),
        ("/hooks/", {}, 404),
        ("/hooks/ci", {"source": "other"}, 204),
        ("/hooks/ci", b"\xff", 400),
        ("/hooks/bell", {}, 200),
        ("/hooks/safe", {}, 204),
    ],
)
async def test_what_becomes_of_odd_bodies(
    sender: Sender, path: str, body: Any, status: int
) -> None:
    answer = await sender.post(path, body)
    assert answer.status_code == status
    if status >= 400:
        assert answer.json()["ok"] is False
        assert answer.json()["error"]


async def test_who_has_no_token_is_refused_and_then_waits(tmp_path: Path) -> None:
    async with sending(tmp_path, maxFailures=3) as sender:
        get = await sender.inside.client.get("/hooks/agent", headers=sender.headers)
        assert (get.status_code, get.headers["allow"]) == (405, "POST")
        in_url = await sender.post(f"/hooks/agent?token={SECRET}", {"message": "x"})
        assert in_url.status_code == 400
        good = sender.headers
        for wrong in ({}, {"Authorization": "Bearer wrong"}, {"x-openclaw-token": "no"}):
            sender.headers = wrong
            assert (await sender.post("/hooks/agent", {"message": "x"})).status_code == 401
        sender.headers = good
        locked = await sender.post("/hooks/agent", {"message": "x"})
        assert locked.status_code == 429
        assert int(locked.headers["retry-after"]) > 0
        assert sender.runtime.seen == []


async def test_the_token_counts_in_its_other_header(sender: Sender) -> None:
    sender.headers = {"x-openclaw-token": SECRET}
    assert (await sender.post("/hooks/agent", {"message": "x"})).status_code == 200


async def test_a_mapping_says_what_is_asked(sender: Sender) -> None:
    body = {"source": "build", "id": 7, "repo": {"name": "a:b"}, "state": "{{token}}"}
    first = await sender.post("/hooks/ci", body)
    again = await sender.post("/hooks/ci", {**body, "state": "retold"})
    assert first.json() == again.json()
    (request,) = await sender.asked()
    assert request.text == "Build 7 of a:b: {{token}}"
    assert request.is_untrusted
    row = await sender.inside.gateway.path.turns.find(first.json()["runId"])
    assert row is not None
    assert row.session_key == "agent:main:hook:ci:a_b"


async def test_a_mapping_can_be_vouched_for(sender: Sender) -> None:
    await sender.post("/hooks/safe", {"x": "mine"})
    (request,) = await sender.asked()
    assert not request.is_untrusted


async def test_github(sender: Sender) -> None:
    sender.headers = {}
    body = json.dumps({"ref": "main", "pusher": {"name": "Ann"}}).encode()
    signed = {"X_Hub_Signature_256": f"sha256={sign(GITHUB, body)}", "X_GitHub_Delivery": "d1"}
    pushed = await sender.post("/hooks/github", body, X_GitHub_Event="push", **signed)
    again = await sender.post("/hooks/github", body, X_GitHub_Event="push", **signed)
    ping = await sender.post("/hooks/github", body, X_GitHub_Event="ping", **signed)
    assert (pushed.status_code, ping.status_code) == (200, 204)
    assert pushed.json() == again.json()
    forged = await sender.post("/hooks/github", body + b" ", X_GitHub_Event="push", **signed)
    assert forged.status_code == 401
    elsewhere = await sender.post("/hooks/agent", body, **signed)
    assert elsewhere.status_code == 401
    (request,) = await sender.asked()
    assert request.text == "Ann pushed to main"
    with_token = await sender.post("/hooks/github", body, Authorization=f"Bearer {SECRET}")
    assert with_token.status_code == 404  # the token is no signature


async def test_stripe(sender: Sender) -> None:
    sender.headers = {}
    body = json.dumps({"id": "evt_1", "type": "invoice.paid"}).encode()
    now_s = sender.inside.gateway.ground.clock.now_ms() // 1000

    def header(at_s: int) -> str:
        return f"t={at_s},v1={sign(STRIPE, f'{at_s}.'.encode() + body)}"

    paid = await sender.post("/hooks/stripe", body, Stripe_Signature=header(now_s))
    again = await sender.post("/hooks/stripe", body, Stripe_Signature=header(now_s - 5))
    assert paid.json() == again.json()
    old = await sender.post("/hooks/stripe", body, Stripe_Signature=header(now_s - 3_600))
    assert old.status_code == 401
    (request,) = await sender.asked()
    assert request.text == "invoice.paid"


async def test_gmail(sender: Sender) -> None:
    mail = {"id": "m1", "from": "Bo", "subject": "Tea", "snippet": "At five?", "body": "Bo"}
    await sender.post("/hooks/gmail", {"source": "gmail", "messages": [mail]})
    await sender.post("/hooks/gmail", {"source": "gmail", "messages": [mail]})
    (request,) = await sender.asked()
    assert request.text == "New email from Bo\nSubject: Tea\nAt five?\nBo"
    assert request.is_untrusted


async def test_a_body_may_name_a_session_where_that_is_allowed(tmp_path: Path) -> None:
    allowed = {"allowRequestSessionKey": True, "allowedSessionKeyPrefixes": ["hook:"]}
    async with sending(tmp_path, **allowed, allowedAgentIds=["main"]) as sender:
        named = {"message": "x", "sessionKey": "hook:mine"}
        done = await sender.post("/hooks/agent", named)
        row = await sender.inside.gateway.path.turns.find(done.json()["runId"])
        assert row is not None
        assert row.session_key == "agent:main:hook:mine"
        for key in ("main", "agent:main:main", "agent:fox:hook:x"):
            refused = await sender.post("/hooks/agent", {"message": "x", "sessionKey": key})
            assert refused.status_code == 400
        persistent = {"message": "x", "sessionMode": "persistent"}
        assert (await sender.post("/hooks/agent", persistent)).status_code == 400


async def test_there_are_no_hooks_unless_they_are_configured(tmp_path: Path) -> None:
    async with sending(tmp_path, enabled=False) as sender:
        assert (await sender.post("/hooks/agent", {"message": "x"})).status_code == 404


async def test_hooks_follow_the_configuration(tmp_path: Path) -> None:
    async with sending(tmp_path) as sender:
        gateway, new = sender.inside.gateway, "another-token-0123456789"
        text = json.dumps(settings(hooks={"enabled": True, "token": new}))
        await gateway.ground.live.replace(lambda _: text)
        assert (await sender.post("/hooks/agent", {"message": "x"})).status_code == 401
        sender.headers = {"Authorization": f"Bearer {new}"}
        assert (await sender.post("/hooks/agent", {"message": "x"})).status_code == 200
        assert (await sender.post("/hooks/ci", {"source": "build"})).status_code == 404


async def test_an_answer_is_sent_where_the_sender_says(sender: Sender) -> None:
    body = {"message": "x", "channel": "webchat", "waitForCompletion": True}
    done = await sender.post("/hooks/agent", body)
    row = await sender.inside.gateway.path.turns.find(done.json()["runId"])
    assert row is not None
    assert (row.reply_route.channel, row.reply_route.peer.id) == ("webchat", "agent:main:main")
    kept = await sender.post("/hooks/agent", {"message": "y", "deliver": False})
    row = await sender.inside.gateway.path.turns.find(kept.json()["runId"])
    assert row is not None
    assert row.reply_route.channel == "hook"
