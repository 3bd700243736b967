"""The message path, wired as the gateway wires it, with ends that a test holds in its hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from sqlalchemy import text

from portico.agents.runtime import (
    Abilities,
    AgentEvent,
    AgentRuntime,
    Final,
    TextDelta,
    Turn,
    TurnRequest,
)
from portico.channels.contract import Channel, Outgoing, Receipt
from portico.channels.model import InboundMessage, Peer, QueueMode, ReplyRoute
from portico.events.hub import Hub, Subscription
from portico.ids import ConnId
from portico.inbox.model import Accepted, Admitted, Routing
from portico.inbox.policy import OPEN_DOOR, DoorPolicy
from portico.inbox.service import Inbox
from portico.outbox.life import RetryPolicy
from portico.outbox.service import Outbox
from portico.protocol.scopes import Scope
from portico.sessions import transcript
from portico.sessions.model import Entry
from portico.store import Store, Work, statement
from portico.tasks import Tasks
from portico.turns.budgeting import Budgets
from portico.turns.model import Enqueued, NewTurn, TurnLimits, TurnRow
from portico.turns.service import Turns
from tests.support.clock import FakeClock
from tests.support.waiting import eventually, loop_turns


class Puppet:
    """A runtime that says what the test tells it to say, run by run."""

    name = "puppet"

    def __init__(self, *, resumable: bool = True, steerable: bool = True) -> None:
        self.abilities = Abilities(resumable=resumable, steerable=steerable)
        self.turns: list[Turn] = []
        self.cleaned: list[str] = []
        self.steered: list[TurnRequest] = []
        self._lines: dict[str, asyncio.Queue[AgentEvent | BaseException | str]] = {}

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        self.turns.append(turn)
        lines = self._lines.setdefault(turn.run_id, asyncio.Queue())
        try:
            while True:
                line = await lines.get()
                if isinstance(line, BaseException):
                    raise line
                if line == "stop":
                    return
                if line == "steer":
                    self.steered.append(await turn.steering())
                elif not isinstance(line, str):
                    yield line
        finally:
            self.cleaned.append(turn.run_id)

    def begun(self, run_id: str) -> Turn | None:
        """The newest attempt at a run, once it has begun."""
        return next((turn for turn in reversed(self.turns) if turn.run_id == run_id), None)

    @property
    def order(self) -> list[str]:
        return [turn.run_id for turn in self.turns]

    def tell(self, run_id: str, *lines: AgentEvent | BaseException | str) -> None:
        queue = self._lines.setdefault(run_id, asyncio.Queue())
        for line in lines:
            queue.put_nowait(line)

    def finish(self, run_id: str, answer: str = "done") -> None:
        self.tell(run_id, TextDelta(answer), Final())


class Recorder:
    """A connection that follows everything."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.droppable: list[bool] = []

    def send_event(self, frame: bytes, *, droppable: bool) -> bool:
        self.frames.append(msgspec.json.decode(frame))
        self.droppable.append(droppable)
        return True

    def chat(self, run_id: str) -> list[dict[str, Any]]:
        return [
            frame["payload"]
            for frame in self.frames
            if frame["event"] == "chat" and frame["payload"]["runId"] == run_id
        ]

    def states(self, run_id: str) -> list[str]:
        return [payload["state"] for payload in self.chat(run_id)]

    def final(self, run_id: str) -> dict[str, Any] | None:
        ends = [p for p in self.chat(run_id) if p["state"] in {"final", "aborted", "error"}]
        return ends[-1] if ends else None


class Seen:
    """Stands for the session list's subscribers."""

    def __init__(self) -> None:
        self.announced: list[tuple[str, str]] = []
        self.entries: list[Entry] = []

    def announce(self, session_key: str, reason: str) -> None:
        self.announced.append((session_key, reason))

    def message(self, session_key: str, entry: Entry) -> None:
        self.entries.append(entry)

    def wrote(self, session_key: str, session_id: str, seq: int) -> None:
        """Entries are looked for in the transcript."""


class FakeChannel:
    """A provider with a ledger; the test says how each call ends."""

    def __init__(self, *, keyed: bool = False) -> None:
        self.keyed = keyed
        self.calls: list[Outgoing] = []
        self.ledger: list[Outgoing] = []
        self.plan: list[BaseException | str] = []
        self.gate: asyncio.Event | None = None

    async def send(self, message: Outgoing) -> Receipt:
        self.calls.append(message)
        if self.gate is not None:
            await self.gate.wait()
        step = self.plan.pop(0) if self.plan else "accept"
        if isinstance(step, BaseException):
            raise step
        if step == "hang":
            await asyncio.Event().wait()
        known = [sent.delivery_id for sent in self.ledger]
        if not (self.keyed and message.delivery_id in known):
            self.ledger.append(message)
        if step == "drop the answer":
            raise ConnectionResetError
        return Receipt(f"provider-{len(self.ledger)}")

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.ledger]


@dataclass
class Senders:
    channels: dict[str, Channel] = field(default_factory=dict)

    def find(self, channel: str, account: str) -> Channel | None:
        return self.channels.get(channel)

    def is_mailbox(self, channel: str) -> bool:
        return channel == "webchat"

    def pieces(self, channel: str, account: str, text: str) -> list[str]:
        return [text]


@dataclass
class Runtimes:
    runtime: AgentRuntime
    timeout_s: float = 60.0
    held: list[AgentRuntime] = field(default_factory=list)

    def runtime_for(self, agent_id: str) -> AgentRuntime:
        return self.runtime

    def timeout_s_for(self, agent_id: str) -> float:
        return self.timeout_s

    def hold(self, runtime: AgentRuntime) -> Callable[[], None]:
        self.held.append(runtime)
        return lambda: self.held.remove(runtime)


@dataclass
class Lanes:
    turns: Turns
    cap: int = 20
    drop: str = "summarize"

    def enqueue(self, message: Admitted) -> Work[Enqueued]:
        routing = message.routing
        return self.turns.enqueue(
            NewTurn(
                run_id=message.run_id,
                session_key=routing.session_key,
                agent_id=routing.agent_id,
                request=message.request,
                reply_route=message.reply_route,
                fingerprint=message.fingerprint,
                queue_mode=routing.queue_mode or "followup",
                cap=self.cap,
                drop=routing.drop or self.drop,  # type: ignore[arg-type]  # from the test
                expires_at=routing.expires_at,
            )
        )

    def begin(self, enqueued: Enqueued) -> None:
        self.turns.begin(enqueued)


class Path:
    """One owner: everything between a door and a provider, on a store that others may share."""

    def __init__(
        self,
        store: Store,
        *,
        owner: str = "me",
        alone: bool = True,
        clock: FakeClock | None = None,
        runtime: AgentRuntime | None = None,
        limits: TurnLimits | None = None,
        retry: RetryPolicy | None = None,
        policy: DoorPolicy = OPEN_DOOR,
        senders: Senders | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        self.store = store
        self.clock = clock or FakeClock()
        self.puppet = Puppet()
        self.runtimes = Runtimes(runtime or self.puppet)
        self.senders = senders or Senders()
        self.failures: list[tuple[str, BaseException]] = []
        self.tasks = Tasks(lambda name, error: self.failures.append((name, error)))
        self.hub = Hub(epoch=owner, window=10_000, window_bytes=10**8)
        self.events = Recorder()
        self.hub.subscribe(
            Subscription(ConnId("rec"), self.events, "operator", frozenset({Scope.READ}))
        )
        self.seen = Seen()
        self.outbox = Outbox(
            store=store,
            clock=self.clock,
            senders=self.senders,
            tasks=self.tasks,
            owner=owner,
            alone=alone,
            policy=retry or RetryPolicy(),
        )
        self.turns = Turns(
            store=store,
            clock=self.clock,
            hub=self.hub,
            runtimes=self.runtimes,
            outbox=self.outbox,
            changes=self.seen,
            tasks=self.tasks,
            owner=owner,
            alone=alone,
            limits=limits or TurnLimits(live_text_ms=5),
            budgets=budgets,
        )
        self.lanes = Lanes(self.turns)
        self.inbox = Inbox(
            store=store, clock=self.clock, lanes=self.lanes, policies=lambda _c, _a: policy
        )

    async def start(self) -> Path:
        await self.outbox.start()
        await self.turns.start()
        return self

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.crash()

    async def crash(self) -> None:
        """End at once: every task dies where it is, and the rows stay as they are."""
        await self.tasks.stop()

    async def sweep(self) -> None:
        await self.turns._sweep.look()

    async def say(
        self,
        run_id: str,
        text: str | None = None,
        *,
        session: str = "s",
        mode: QueueMode | None = None,
        channel: str = "webchat",
        peer: Peer | None = None,
        request: TurnRequest | None = None,
        **options: Any,
    ) -> Accepted:
        """Write a message. Its text is the run id unless given."""
        said = run_id if text is None else text
        expires_at = options.pop("expires_at", None)
        drop = options.pop("drop", None)
        return await self.inbox.accept(
            InboundMessage(
                channel=channel,
                account="default",
                event_key=options.pop("event_key", run_id),
                peer=peer or Peer("direct", "ann"),
                sender=options.pop("sender", "ann"),
                text=said,
                **options,
            ),
            request or TurnRequest(text=said),
            Routing(
                f"agent:main:{session}",
                "main",
                run_id,
                queue_mode=mode,
                drop=drop,
                expires_at=expires_at,
            ),
        )

    async def begun(self, run_id: str, attempt: int = 1) -> Turn:
        def is_begun() -> Turn | None:
            turn = self.puppet.begun(run_id)
            return turn if turn is not None and turn.attempt >= attempt else None

        return await eventually(is_begun)

    async def ended(self, run_id: str) -> TurnRow:
        row = await self.turns.wait(run_id, 20)
        assert row is not None
        assert not row.is_open, row
        return row

    async def state(self, run_id: str) -> str:
        row = await self.turns.find(run_id)
        return "absent" if row is None else row.state.value

    async def transcript(self, session: str = "s") -> list[tuple[str, str]]:
        """(role, text) of everything in a session's transcript."""
        return [(entry.role, plain(entry.content)) for entry in await self.entries(session)]

    async def entries(self, session: str = "s") -> list[Entry]:
        found = await self.store.read(transcript.find_session, f"agent:main:{session}")
        if found is None:
            return []
        return await self.store.read(transcript.history, found.session_id, limit=10_000)

    async def settled(self) -> None:
        await loop_turns()


def plain(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def route(peer: str = "ann", channel: str = "fake") -> ReplyRoute:
    return ReplyRoute(channel, "default", Peer("direct", peer))


async def rows(store: Store, sql: str) -> list[Any]:
    """What a plain SELECT returns."""
    query = statement(text(sql).columns())

    def work() -> Work[list[Any]]:
        return list((yield query()))

    return await store.read(work)


def replace_write(store: Any, write: Callable[..., Any]) -> None:
    """Put something between the path and the commits of its store."""
    store.write = write
