"""Commands in a real process: over the WebSocket, and on Telegram."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway import GatewayProcess, Operator, Refused
from tests.fakes.telegram import TOKEN, FakeTelegram
from tests.support.waiting import eventually

KEY = "agent:main:commands"
PATIENCE_S = 30


def ask(operator: Operator, text: str) -> Any:
    """Send a message and return the event that ends its run."""
    run_id = str(uuid.uuid4())
    operator.call("chat.send", sessionKey=KEY, message=text, idempotencyKey=run_id)
    waited = operator.call("agent.wait", runId=run_id, timeoutMs=PATIENCE_S * 1000)
    assert waited["status"] == "ok", waited
    operator.call("health")  # what was told before has arrived
    return next(
        event["payload"]
        for event in operator.events
        if event["event"] == "chat"
        and event["payload"]["runId"] == run_id
        and event["payload"]["state"] == "final"
    )


@pytest.mark.node
def test_commands_over_the_websocket(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path / "state").start()
    with Operator(gateway) as operator:
        listed = operator.call("commands.list", sessionKey=KEY, scope="text", includeArgs=True)
        names = {one["name"] for one in listed["commands"]}
        assert {"help", "status", "model", "stop", "new", "approve"} <= names
        operator.call("chat.send", sessionKey=KEY, message="/sim hang=1\nx", idempotencyKey="hangs")
        said = ask(operator, "/status")["message"]["content"][0]["text"]
        assert "Now: answering for" in said
        assert operator.call("chat.send", sessionKey=KEY, message="/stop", idempotencyKey="s")[
            "runIds"
        ] == ["hangs"]
        said = ask(operator, "/think off")["message"]["content"][0]["text"]
        assert said == "Thinking: off."
    gateway.kill()
    gateway.start()
    with Operator(gateway, scopes=("operator.read", "operator.write")) as operator:
        history = operator.call("chat.history", sessionKey=KEY)
        texts = [one["content"] for one in history["messages"] if one["role"] == "user"]
        assert [{"type": "text", "text": "/think off"}] in texts
        with pytest.raises(Refused, match="missing scope"):
            operator.call("chat.send", sessionKey=KEY, message="/restart", idempotencyKey="r")
    assert gateway.stop() == 0
    assert gateway.tracebacks() == []


async def test_commands_on_telegram(tmp_path: Path) -> None:
    async with FakeTelegram() as telegram:
        ann, boss = telegram.person("Ann"), telegram.person("Boss")
        group = telegram.group("Friends")
        account = {
            "botToken": TOKEN,
            "apiRoot": telegram.url,
            "pollSeconds": 1,
            "dmPolicy": "open",
            "allowFrom": ["*"],
            "groupPolicy": "open",
            "groups": {"*": {"requireMention": True}},
        }
        config = {
            "channels": {"telegram": account},
            "commands": {"ownerAllowFrom": [f"telegram:{boss.id}"]},
            "session": {"dmScope": "per-channel-peer"},
        }
        gateway = GatewayProcess(tmp_path / "state", config=config)
        await asyncio.to_thread(gateway.start)
        try:
            await eventually(lambda: telegram.commands, within_s=PATIENCE_S)
            menu = {one["command"] for one in telegram.commands}
            assert {"help", "status", "think"} <= menu
            telegram.says(ann, "/sim hang=1\nx")
            telegram.says(ann, "/status")
            await eventually(lambda: telegram.texts(ann), within_s=PATIENCE_S)
            assert "Now: answering" in telegram.texts(ann)[0]
            telegram.says(ann, "/agents")
            await eventually(lambda: len(telegram.texts(ann)) == 2, within_s=PATIENCE_S)
            assert f"telegram:{ann.id}" in telegram.texts(ann)[1]
            telegram.says(boss, "/agents")
            await eventually(lambda: telegram.texts(boss), within_s=PATIENCE_S)
            assert "main" in telegram.texts(boss)[0]
            telegram.says(ann, "/status", to=group)  # to nobody
            telegram.says(ann, "/status@other_bot", to=group)
            telegram.says(ann, "/status@portico_bot", to=group)
            await eventually(lambda: telegram.texts(group), within_s=PATIENCE_S)
            await eventually(lambda: telegram.waiting == 0, within_s=PATIENCE_S)
            assert len(telegram.texts(group)) == 1
        finally:
            await asyncio.to_thread(gateway.kill)
        assert gateway.tracebacks() == []
