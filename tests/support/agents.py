"""A whole gateway with agents that think, talked to by its operator and by strangers."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from portico.agents.runtime import TurnRequest
from portico.agents.tools.contract import ToolCall
from portico.agents.tools.policy import Rules
from portico.agents.tools.toolbox import Done
from portico.app import Gateway
from portico.auth.model import Principal
from portico.channels.model import Attachment, InboundMessage, Peer, PeerKind
from portico.inbox.model import Routing
from portico.inbox.policy import OPEN_DOOR
from portico.protocol import keys
from portico.protocol.scopes import Role, expand
from portico.rpc.call import Call
from portico.sessions.model import Entry
from portico.turns.model import TurnRow
from tests.fakes.provider import FakeProvider, Say
from tests.support.http import house, settings
from tests.support.path import FakeChannel

MAIN = "agent:main:main"
numbers = itertools.count(1)


def calls(*wanted: tuple[str, Mapping[str, Any]]) -> Say:
    """A model's wish to have tools called."""
    return Say(calls=tuple((name, json.dumps(arguments)) for name, arguments in wanted))


def configured(provider: FakeProvider, **more: Any) -> dict[str, Any]:
    """Settings of a gateway whose agents ask a fake provider; `more` are other sections."""
    lab = {
        "baseUrl": provider.url,
        "apiKey": "sk-lab",
        "models": [{"id": "m", "contextWindow": 100_000}],
    }
    agents = {"defaults": {"model": "lab/m"}, **more.pop("agents", {})}
    return settings(agents=agents, models={"providers": {"lab": lab}}, **more)


def operator(*scopes: str) -> Principal:
    granted = scopes or ("operator.admin", "operator.write", "operator.read")
    return Principal(
        role=Role.OPERATOR,
        granted=granted,
        scopes=expand(frozenset(granted)),
        method="token",
        subject="operator",
        local=True,
    )


@dataclass
class Town:
    """A started gateway, its model, and a channel that strangers write through."""

    gateway: Gateway
    client: httpx2.AsyncClient
    provider: FakeProvider
    channel: FakeChannel = field(default_factory=FakeChannel)

    async def ask(self, text: str, *, session: str = MAIN, files: Any = ()) -> TurnRow:
        """Say something as the operator and wait for the end of the turn."""
        run_id = f"run-{next(numbers)}"
        params = {
            "sessionKey": session,
            "message": text,
            "idempotencyKey": run_id,
            "attachments": list(files),
        }
        await self.call("chat.send", params)
        return await self.ended(run_id)

    async def hear(
        self,
        text: str,
        *,
        sender: str = "eve",
        kind: PeerKind = "direct",
        attachments: tuple[Attachment, ...] = (),
    ) -> TurnRow:
        """Let somebody nobody vouches for say something, and wait for the end of the turn."""
        peer = Peer(kind, sender if kind == "direct" else "room")
        key = keys.derive(
            agent_id="main",
            channel="fake",
            account="default",
            peer_kind=kind,
            peer_id=peer.id,
            dm_scope="per-channel-peer",
        )
        message = InboundMessage(
            channel="fake",
            account="default",
            event_key=f"event-{next(numbers)}",
            peer=peer,
            sender=sender,
            text=text,
            attachments=attachments,
        )
        accepted = await self.gateway.path.inbox.take(
            message, TurnRequest(text=text), Routing(key, "main"), policy=OPEN_DOOR
        )
        assert accepted.run_id is not None
        return await self.ended(accepted.run_id)

    async def ended(self, run_id: str) -> TurnRow:
        row = await self.gateway.path.turns.wait(run_id, 20)
        assert row is not None
        assert not row.is_open, row
        return row

    async def call(self, method: str, params: Mapping[str, Any], *scopes: str) -> Any:
        raw = msgspec.json.encode(params)
        result = await self.gateway.front.dispatcher.request(method, raw, Call(operator(*scopes)))
        return msgspec.json.decode(msgspec.json.encode(result))

    async def run(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        agent: str = "main",
        session: str = MAIN,
        **call: Any,
    ) -> Done:
        """Run one tool for an agent, with a call of the test's own making."""
        made = ToolCall(
            agent_id=agent, session_key=session, call_id=f"call-{next(numbers)}", **call
        )
        _, done = await self.gateway.conversation.toolbox.invoke(
            made, tool, arguments or {}, door=Rules("test")
        )
        return Done(msgspec.to_builtins(done.value), done.error, done.is_untrusted, done.media)

    async def entries(self, session: str) -> tuple[Entry, ...]:
        found = await self.gateway.conversation.sessions.find(session)
        if found is None:
            return ()
        return await self.gateway.conversation.sessions.history(
            found.session_id, limit=1_000, before=None
        )

    def offered(self, number: int = -1) -> set[str]:
        """Which tools a request to the model offered."""
        tools = self.provider.requests[number].get("tools", ())
        return {tool["function"]["name"] for tool in tools}

    def results(self, number: int = -1) -> list[str]:
        """What a request to the model said that tools had returned."""
        messages = self.provider.requests[number]["messages"]
        return [message["content"] for message in messages if message["role"] == "tool"]


@asynccontextmanager
async def town(folder: Path, **config: Any) -> AsyncIterator[Town]:
    """A gateway of agents that think; `config` are sections of its settings."""
    folder.mkdir(exist_ok=True)
    async with (
        FakeProvider(lambda _request: Say("ok")) as provider,
        house(folder, configured(provider, **config)) as opened,
    ):
        made = Town(opened.gateway, opened.client, provider)
        opened.gateway.conversation.senders.register("fake", "default", made.channel)
        await opened.gateway.conversation.agents.warm_up()  # the first import takes its time
        yield made
