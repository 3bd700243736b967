"""Orders: commands that were given, carried out at once and answered once.

Guarantees:
    - An order is committed with its message. It ends in one transaction with its answer: the
      entries for people, the delivery, the turn that follows. After a crash it is carried out
      again; it is answered once.
    - A running turn is not waited for. What changes something is carried out in the order in which
      it was given, and what is said in the session after it waits until it is done.
    - Whatever goes wrong, there is an answer.

Not here: what commands do; who may write at all (the inbox).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import structlog

from portico.audit.service import Audit
from portico.channels.model import InboundMessage
from portico.chat.commands import store as order_store
from portico.chat.commands.book import CommandBook
from portico.chat.commands.model import Asked, Command, Order, Refused, Reply
from portico.chat.commands.reading import unescaped
from portico.chat.commands.rules import CommandRules
from portico.chat.commands.store import OrderRow
from portico.clock import Clock
from portico.events.hub import Hub
from portico.inbox.model import Admitted, LanePort, Routing
from portico.protocol.errors import GatewayError, Overloaded
from portico.sessions import mutations, transcript
from portico.sessions.changes import SessionChanges
from portico.sessions.model import Entry
from portico.store import Store, Work
from portico.store.patience import until_written
from portico.tasks import Tasks
from portico.turns.ending import Outbox

log = structlog.get_logger()

LEASE_S = 60.0
SWEEP_S = 5.0
PATIENCE_S = 30.0
MAX_IN_SESSION = 50  # orders that wait
MAX_OPEN = 1_000
MAX_ATTEMPTS = 3
AT_ONCE = 500
FAILED = "That did not work; the log of the gateway says why."
GIVEN_UP = "The gateway was restarted while it did that, several times. It was given up."
NOT_IN_TIME = "That took too long and was given up."


@dataclass(frozen=True, slots=True)
class Ended:
    """A committed end.

    Attributes:
        turn: what the lane port's `enqueue` returned for what the agent is asked.
    """

    entries: tuple[Entry, ...] = ()
    delivers: bool = False
    turn: Any = None


class Orders:
    """Takes commands out of the stream of messages, and carries them out."""

    def __init__(
        self,
        book: CommandBook,
        rules: CommandRules,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        tasks: Tasks,
        lanes: LanePort,
        outbox: Outbox,
        changes: SessionChanges,
        audit: Audit,
        owner: str,
        alone: bool,
    ) -> None:
        self.book = book
        self.rules = rules
        self._store = store
        self._clock = clock
        self._hub = hub
        self._tasks = tasks
        self._lanes = lanes
        self._outbox = outbox
        self._changes = changes
        self._audit = audit
        self._owner = owner
        self._alone = alone
        self._open: dict[str, Order] = {}
        self._attempts: dict[str, int] = {}
        self._lines: dict[str, deque[Order]] = {}  # by session, what is carried out one by one

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Carry out what a dead owner left, then look for more of it from time to time."""
        await self._adopt(alone=self._alone)
        self._tasks.start(self._keep_sweeping(), name="commands.sweep")

    async def outlive(self, owner: str) -> None:
        """Take over from a process that is gone for certain."""
        await self._store.write(order_store.lapse, owner)
        await self._adopt(alone=False)

    async def find(self, run_id: str) -> OrderRow | None:
        """Return a command that was given, and how far it is."""
        return await self._store.read(order_store.find, run_id)

    async def forget(self, *, before_ms: int) -> int:
        """Delete what was done before a time, some at a time; return how many."""
        total = 0
        while count := await self._store.write(
            order_store.forget, before_ms=before_ms, count=AT_ONCE
        ):
            total += count
        return total

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                if self._open:
                    until = self._lease_until()
                    await self._store.write(
                        order_store.keep, [*self._open], owner=self._owner, lease_until=until
                    )
                await self._adopt(alone=False)
            except Exception as error:  # the database may be away; the next sweep tries again
                log.error("commands.sweep_failed", exc_info=error)

    async def _adopt(self, *, alone: bool) -> None:
        found: list[OrderRow] = await self._store.write(
            order_store.adopt,
            self._owner,
            alone=alone,
            lease_until=self._lease_until(),
            now=self._clock.now_ms(),
            count=AT_ONCE,
        )
        for row in found:
            log.info("command.adopted", run_id=row.order.run_id, attempts=row.attempts)
            self._attempts[row.order.run_id] = row.attempts
            self.begin(row.order)

    def _lease_until(self) -> int:
        return self._clock.now_ms() + int(LEASE_S * 1000)

    # -- taking ----------------------------------------------------------------------------------

    def take(self, message: InboundMessage, admitted: Admitted, *, now: int) -> Work[Order | None]:
        """The work that takes a message as a command, or behind one; `None`: it is for the agent.

        Raises:
            Overloaded: too many wait.
        """
        giver = admitted.routing.giver or self.rules.giver_of(message)
        if giver is None:
            return None
        found = self._spoken(message)
        if found is None and not self._holds(admitted.routing.session_key):
            return None
        if self._is_full(admitted.routing.session_key):
            raise Overloaded
        name, arguments = ("", "") if found is None else (found[0].name, found[1])
        text = admitted.request.text
        order = Order(
            run_id=admitted.run_id,
            session_key=admitted.routing.session_key,
            agent_id=admitted.routing.agent_id,
            channel=admitted.channel,
            command=name,
            arguments=arguments,
            text=text if name else unescaped(text),
            giver=giver,
            request=admitted.request,
            reply_route=admitted.reply_route,
            fingerprint=admitted.fingerprint,
            queue_mode=admitted.routing.queue_mode,
            given_at=now,
        )
        until = self._lease_until()
        yield from order_store.put(order, owner=self._owner, lease_until=until, now=now)
        return order

    def as_text(self, message: InboundMessage, admitted: Admitted) -> Admitted:
        """Return a message as the agent is to read it: without the slash that kept it from us."""
        if admitted.routing.giver is None and self.rules.giver_of(message) is None:
            return admitted
        plain = unescaped(admitted.request.text)
        if plain == admitted.request.text:
            return admitted
        return replace(admitted, request=msgspec.structs.replace(admitted.request, text=plain))

    def _spoken(self, message: InboundMessage) -> tuple[Command, str] | None:
        if message.parts:
            return None
        found = self.book.spoken(message.text, is_addressed=message.mentioned is True)
        return None if found and message.attachments and not found[0].takes_files else found

    def _holds(self, session_key: str) -> bool:
        return session_key in self._lines

    def _is_full(self, session_key: str) -> bool:
        in_session = sum(one.session_key == session_key for one in self._open.values())
        return len(self._open) >= MAX_OPEN or in_session >= MAX_IN_SESSION

    # -- carrying out ----------------------------------------------------------------------------

    def begin(self, order: Order) -> None:
        """Carry out what was committed."""
        if order.run_id in self._open:
            return
        self._open[order.run_id] = order
        command = self.book.find(order.command)
        if command is not None and not command.holds:
            self._tasks.start(self._obey(order), name=f"command:{order.run_id}")
            return
        line = self._lines.setdefault(order.session_key, deque())
        line.append(order)
        if len(line) == 1:
            name = f"commands:{order.session_key}"
            self._tasks.start(self._keep_line(order.session_key, line), name=name)

    async def _keep_line(self, session_key: str, line: deque[Order]) -> None:
        try:
            while line:
                await self._obey(line[0])
                line.popleft()
        finally:
            del self._lines[session_key]

    async def _obey(self, order: Order) -> None:
        """Carry out an order; when its end cannot be committed, the sweep finds it again."""
        try:
            command = self.book.find(order.command)
            reply = await self._reply(command, order)
            ended = await self._end(command, order, reply)
            if ended is not None:
                self._tell(order, reply, ended)
        except Exception as error:
            log.error("command.end_lost", run_id=order.run_id, exc_info=error)
        finally:
            self._open.pop(order.run_id, None)
            self._attempts.pop(order.run_id, None)

    async def _reply(self, command: Command | None, order: Order) -> Reply:
        if command is None:
            return Reply(then=order.text, queue_mode=order.queue_mode)
        if self._attempts.get(order.run_id, 1) > MAX_ATTEMPTS:
            return Reply(text=GIVEN_UP)
        if (refusal := command.refusal(order.giver)) is not None:
            await self._record(command, order, is_refused=True)
            return Reply(text=refusal)
        try:
            async with asyncio.timeout(command.timeout_s):
                answer = await command.answer(Asked(order=order, book=self.book))
        except Refused as refused:
            return Reply(text=str(refused))
        except GatewayError as error:
            return Reply(text=error.message)
        except TimeoutError:
            return Reply(text=NOT_IN_TIME)
        except Exception as error:
            log.error("command.failed", command=command.name, exc_info=error)
            return Reply(text=FAILED)
        await self._record(command, order, is_refused=False)
        return Reply(text=answer) if isinstance(answer, str) else answer

    async def _record(self, command: Command, order: Order, *, is_refused: bool) -> None:
        if command.is_audited:
            await self._audit.record(
                f"command.{command.name}",
                actor=order.giver.subject,
                target=order.session_key,
                outcome="refused" if is_refused else "done",
            )

    async def _end(self, command: Command | None, order: Order, reply: Reply) -> Ended | None:
        def delayed(error: Exception) -> None:
            log.warning("command.write_delayed", run_id=order.run_id, error=repr(error)[:300])

        async def write(said: Reply) -> Ended | None:
            now = self._clock.now_ms()
            return await self._store.write(self._ended, command, order, said, now)

        try:
            return await until_written(
                lambda: write(reply), patience_s=PATIENCE_S, on_delay=delayed, final=(Overloaded,)
            )
        except Overloaded as full:
            return await write(Reply(text=full.message))

    def _ended(
        self, command: Command | None, order: Order, reply: Reply, now: int
    ) -> Work[Ended | None]:
        if not (yield from order_store.end(order.run_id, answer=reply.text, now=now)):
            return None
        entries: tuple[Entry, ...] = ()
        delivers, turn = False, None
        if reply.text:
            if command is not None and command.is_recorded:
                entries = yield from _write_down(order, reply.text, now)
            delivers = yield from self._outbox.enqueue(
                order.reply_route,
                reply.text,
                run_id=order.run_id,
                session_key=order.session_key,
                now=now,
            )
        if reply.then is not None:
            turn = yield from self._lanes.enqueue(_admitted(order, reply))
        return Ended(entries, delivers, turn)

    def _tell(self, order: Order, reply: Reply, ended: Ended) -> None:
        for entry in ended.entries:
            self._changes.message(order.session_key, entry)
        if reply.text:
            self._publish(order, reply.text)
        if ended.delivers:
            self._outbox.wake()
        if ended.turn is not None:
            self._lanes.begin(ended.turn)
        elif ended.entries:
            self._changes.announce(order.session_key, "send")
        if reply.afterwards is not None:
            reply.afterwards()

    def _publish(self, order: Order, text: str) -> None:
        self._hub.publish(
            "chat",
            {
                "runId": order.run_id,
                "sessionKey": order.session_key,
                "agentId": order.agent_id,
                "seq": 0,
                "state": "final",
                "stopReason": "stop",
                "message": {
                    "role": "assistant",
                    "content": [{"type": "text", "text": text}],
                    "timestamp": self._clock.now_ms(),
                },
            },
            session_key=order.session_key,
            droppable=False,
        )


def _write_down(order: Order, answer: str, now: int) -> Work[tuple[Entry, ...]]:
    """Keep the exchange for people: agents are not told of it."""
    key, found = order.session_key, []
    yield from mutations.ensure(
        key, agent_id=order.agent_id, created_via="operator", now=order.given_at
    )
    meta = {"key": order.run_id, "sender": order.giver.subject, "senderName": order.giver.name}
    said = ((transcript.COMMAND, order.text, meta), (transcript.COMMAND_ANSWER, answer, _BY_US))
    for role, text, beside in said:
        content = [{"type": "text", "text": text}]
        found.append(
            (
                yield from transcript.append(
                    key, role=role, content=content, now=now, run_id=order.run_id, meta=beside
                )
            )
        )
    return tuple(found)


_BY_US = {"provider": "portico", "model": "gateway-command", "stopReason": "stop"}


def _admitted(order: Order, reply: Reply) -> Admitted:
    request = msgspec.structs.replace(order.request, text=reply.then or "")
    routing = Routing(
        order.session_key,
        order.agent_id,
        run_id=order.run_id,
        queue_mode=reply.queue_mode or order.queue_mode,
    )
    return Admitted(
        order.run_id, routing, request, order.reply_route, order.fingerprint, order.channel
    )
