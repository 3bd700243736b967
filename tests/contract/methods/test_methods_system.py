"""health, status, presence, log, agents, models, send and deliveries."""

from __future__ import annotations

from pathlib import Path

from portico.agents.echo import EchoRuntime
from portico.agents.service import Agent
from portico.channels.contract import Outgoing, Receipt, Rejected, Transient
from tests.support.house import House, open_house, principal
from tests.support.waiting import eventually

READER = principal("operator.read")


async def test_health_is_made_once_a_minute_unless_probed(house: House):
    watcher = house.connect()
    await house.say("w1", "hi", "k1")
    first = await house.call("health")
    assert (first["ok"], first["defaultAgentId"]) == (True, "main")
    assert first["sessions"]["count"] == 1
    assert first["sessions"]["recent"][0]["key"] == "agent:main:w1"
    assert first["agents"][0]["sessions"]["count"] == 1
    await house.say("w2", "hi", "k2")
    assert await house.call("health") == first
    assert (await house.call("health", {"probe": True}))["sessions"]["count"] == 2
    events = [e for e in watcher.events if e["event"] == "health"]
    assert len(events) == 2
    assert events[1]["stateVersion"]["health"] == events[0]["stateVersion"]["health"] + 1
    assert events[1]["payload"]["sessions"] == {"path": "[redacted]", "count": 2, "recent": []}
    assert house.health.last["sessions"]["recent"] == []


async def test_readers_see_health_without_paths_and_keys(house: House):
    await house.say("w1", "hi", "k1")
    shown = await house.call("health", by=READER)
    assert shown["sessions"] == {"path": "[redacted]", "count": 1, "recent": []}
    status = await house.call("status", by=READER)
    assert status["sessions"]["recent"] == []
    assert "portico.sqlite" not in str(status)


async def test_status_counts_what_happened(house: House):
    await house.say("w1", "hi", "k1")
    await house.refusal(
        "agent", {"sessionKey": "w1", "message": "/sim error=timeout\nx", "idempotencyKey": "k2"}
    )
    status = await house.call("status")
    assert status["runtimeVersion"] == "1.2.3"
    assert status["tasks"]["byStatus"]["succeeded"] == 1
    assert status["tasks"]["byStatus"]["failed"] == 1
    assert (status["tasks"]["total"], status["tasks"]["failures"]) == (2, 1)
    assert status["sessions"]["byAgent"][0]["recent"][0]["key"] == "agent:main:w1"
    assert status["processMemory"]["rssBytes"] > 1_000_000


async def test_presence_and_system_events(house: House):
    assert [e["mode"] for e in await house.call("system-presence")] == ["gateway"]
    beacon = {"text": "Node: laptop", "deviceId": "d1", "host": "laptop", "lastInputSeconds": 3}
    assert await house.call("system-event", beacon) == {"ok": True}
    shown = await house.call("system-presence")
    assert (shown[1]["host"], shown[1]["lastInputSeconds"]) == ("laptop", 3)
    assert await house.sessions.find("agent:main:main") is None
    await house.call("system-event", {"text": "the door is open"})
    page = await house.call("chat.history", {"sessionKey": "main"})
    assert page["messages"][0]["role"] == "system"
    assert page["messages"][0]["content"][0]["text"] == "the door is open"
    assert (await house.refusal("system-event", {"text": ""}))["code"] == "INVALID_REQUEST"


async def test_last_heartbeat_and_config(house: House):
    assert await house.call("last-heartbeat") is None
    assert (await house.call("config.get"))["hash"] == "h"


async def test_the_log_is_followed_with_a_cursor_and_masked(house: House):
    assert (await house.call("logs.tail"))["lines"] == []
    house.log_file.write_text('{"n":1}\n{"token":"abcdefgh"}\n')
    tail = await house.call("logs.tail")
    assert tail["lines"] == ['{"n":1}', '{"token":"[redacted]"}']
    assert tail["cursor"] == tail["size"] == house.log_file.stat().st_size
    with house.log_file.open("a") as file:
        file.write('{"n":3}\n{"half')
    more = await house.call("logs.tail", {"cursor": tail["cursor"]})
    assert (more["lines"], more["reset"]) == (['{"n":3}'], False)
    house.log_file.write_text('{"n":9}\n')
    rotated = await house.call("logs.tail", {"cursor": more["cursor"]})
    assert (rotated["lines"], rotated["reset"]) == (['{"n":9}'], True)


async def test_agents_models_and_identity(tmp_path: Path):
    agents = [
        Agent("main", EchoRuntime()),
        Agent("fox", EchoRuntime(), name="Fox", emoji="🦊", avatar="https://x/y.png", model="a/b"),
    ]
    async with open_house(tmp_path, agents=agents) as house:
        listed = await house.call("agents.list")
        assert (listed["defaultId"], listed["mainKey"]) == ("main", "main")
        assert [agent["id"] for agent in listed["agents"]] == ["main", "fox"]
        assert listed["agents"][1]["identity"]["emoji"] == "🦊"
        identity = await house.call("agent.identity.get", {"sessionKey": "agent:fox:main"})
        assert (identity["name"], identity["avatarStatus"]) == ("Fox", "remote")
        unknown = await house.refusal("agent.identity.get", {"agentId": "no"})
        assert unknown["details"]["code"] == "UNKNOWN_AGENT_ID"
        models = (await house.call("models.list", {"agentId": "fox"}))["models"]
        assert [(m["provider"], m["id"], m.get("tags")) for m in models] == [
            ("a", "b", ["default"]),
            ("portico", "echo", None),
        ]
        only = await house.call("models.list", {"provider": "portico"})
        assert [m["id"] for m in only["models"]] == ["echo"]


class Pigeon:
    """A channel that does what it is told."""

    keyed = False

    def __init__(self, *answers: Exception | str) -> None:
        self.answers = [*answers]
        self.sent: list[Outgoing] = []

    async def send(self, message: Outgoing) -> Receipt:
        self.sent.append(message)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Receipt(answer)


async def test_send_to_a_session_is_read_there(house: House):
    watcher = house.connect()
    params = {"to": "w1", "message": "hello", "channel": "webchat", "idempotencyKey": "s1"}
    sent = await house.call("send", params)
    assert (sent["runId"], sent["channel"]) == ("s1", "webchat")
    assert sent["conversationId"] == "agent:main:w1"
    assert await house.call("send", params) == sent
    page = await house.call("chat.history", {"sessionKey": "w1"})
    assert [m["content"][0]["text"] for m in page["messages"]] == ["hello"]
    assert page["messages"][0]["__openclaw"]["id"] == sent["messageId"]
    assert [e["state"] for e in watcher.named("chat")] == ["final"]


async def test_send_refuses_what_cannot_be_sent(house: House):
    base = {"to": "x", "idempotencyKey": "s1"}
    empty = await house.refusal("send", base)
    assert empty["message"] == "invalid send params: text or media is required"
    unknown = await house.refusal("send", {**base, "message": "m", "channel": "pigeon"})
    assert unknown["message"] == "unsupported channel: pigeon"
    bad = await house.refusal("send", {**base, "message": "m", "to": "agent:"})
    assert bad["code"] == "UNAVAILABLE"
    assert bad["details"]["state"] == "failed"


async def test_a_failed_delivery_can_be_sent_again_or_discarded(house: House):
    pigeon = Pigeon(Rejected("no such roof"), "msg-1", Transient("wind"))
    house.senders.register("pigeon", "default", pigeon)
    params = {"to": "roof", "message": "coo", "channel": "pigeon", "idempotencyKey": "s1"}
    failed = await house.refusal("send", params)
    delivery_id = failed["details"]["deliveryId"]
    listed = await house.call("deliveries.list", {"state": "failed"})
    assert [d["deliveryId"] for d in listed["deliveries"]] == [delivery_id]
    assert listed["counts"] == {"failed": 1}
    assert listed["deliveries"][0]["lastError"] == "Rejected: no such roof"
    await house.call("deliveries.resend", {"deliveryId": delivery_id})
    shown = await eventually(lambda: settled(house, delivery_id))
    assert (shown["state"], shown["receipt"]) == ("sent", {"messageId": "msg-1"})
    nothing = await house.refusal("deliveries.discard", {"deliveryId": delivery_id})
    assert "nothing to decide" in nothing["message"]
    waiting = await house.refusal("send", {**params, "idempotencyKey": "s2"})
    assert waiting["details"]["code"] == "OUTBOUND_DELIVERY_QUEUED"
    discarded = {"deliveryId": waiting["details"]["deliveryId"]}
    assert (await house.call("deliveries.discard", discarded))["state"] == "discarded"
    assert (await house.refusal("deliveries.get", {"deliveryId": "no"}))["message"] == (
        "unknown delivery: no"
    )


async def settled(house: House, delivery_id: str) -> dict | None:
    shown = await house.call("deliveries.get", {"deliveryId": delivery_id})
    return shown if shown["state"] == "sent" else None


async def test_every_method_of_the_conversation_is_advertised(house: House):
    wanted = """
        health status system-presence system-event last-heartbeat set-heartbeats wake
        config.get logs.tail
        commands.list usage.cost usage.status budgets.status budgets.reset
        chat.send chat.history chat.abort chat.inject chat.startup chat.metadata
        agent agent.wait agent.identity.get agents.list models.list send
        sessions.list sessions.preview sessions.describe sessions.resolve sessions.create
        sessions.send sessions.patch sessions.reset sessions.delete sessions.compact
        sessions.usage.timeseries sessions.usage.logs
        sessions.abort sessions.usage sessions.subscribe sessions.unsubscribe
        sessions.messages.subscribe sessions.messages.unsubscribe
        deliveries.list deliveries.get deliveries.resend deliveries.discard
    """
    assert set(wanted.split()) <= set(house.registry.advertised())
