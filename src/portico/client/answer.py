"""One answer of an agent, while it is being written.

Theory of operation: the message goes out with an idempotency key, which is the run's id. Its `chat`
events bring the text piece by piece. When events are missing, what was shown cannot be trusted to
be all: the answer then waits for the end of the run and takes the text from the transcript.

Guarantees: every piece is given once and in order; the pieces together are `text`; an answer that
was interrupted by a lost connection is complete all the same.

Source: OpenClaw gateway protocol, `chat.send`, `chat` event, `agent.wait`, `chat.history`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

from portico.client.errors import RunFailed
from portico.client.messages import text_of
from portico.client.model import Event, Gap
from portico.client.streams import EventStream

_ENDS: Final = frozenset({"final", "aborted", "error"})
_WAIT_STEP_MS: Final = 20_000
_NOT_OVER: Final = frozenset({"timeout", "pending"})
_LOOK_BACK: Final = 20


class Gateway(Protocol):
    """What an answer needs of the client."""

    async def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = ...,
    ) -> Any:
        """Call a method."""
        ...

    def events(self, *names: str, limit: int | None = None) -> EventStream:
        """Follow events."""
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the text. `replaces`: it stands in place of all that came before."""

    text: str
    replaces: bool = False


class Answer:
    """The answer to one message. Iterate it for its pieces, or await `whole()`.

    Attributes:
        run_id: the run's id: the idempotency key the message was sent with, until the gateway says
            that another run takes the message up.
        text: what is written so far, and at the end all of it.
        state: `waiting`, `running`, then `final`, `aborted` or `error`.
    """

    def __init__(self, gateway: Gateway, params: dict[str, Any]) -> None:
        self._gateway = gateway
        self._params = params
        self._stream: EventStream | None = None
        self.run_id: str = params["idempotencyKey"]
        self.text = ""
        self.state = "waiting"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        """Return the next piece.

        Raises:
            RunFailed: the run was stopped, or failed.
            ClientError: the message could not be sent, or the gateway is lost.
        """
        if self._stream is None:
            self._stream = self._gateway.events("chat")
            await self._send(self._stream)
        while self.state not in _ENDS:
            piece = self._take(await anext(self._stream))
            if piece is _MISSING:
                piece = await self._catch_up()
            if piece is not None and piece.text:
                return piece
        raise StopAsyncIteration

    async def whole(self) -> str:
        """Wait for the end and return the whole text.

        Raises:
            RunFailed: the run was stopped, or failed.
        """
        async for _ in self:
            pass
        return self.text

    async def abort(self) -> None:
        """Stop the run; the iteration then ends with `RunFailed`."""
        asked = {"sessionKey": self._params["sessionKey"], "runId": self.run_id}
        await self._gateway.call("chat.abort", asked)

    async def _send(self, stream: EventStream) -> None:
        sent = await self._gateway.call("chat.send", self._params)
        if not isinstance(sent, dict) or "runId" not in sent:  # a command, obeyed at once
            self.state = "final"
            return
        self.state = "running"
        self.run_id = str(sent["runId"])
        if sent.get("status") == "in_flight":  # said before: its events may be over
            stream.put(Gap("the message was sent before"))

    def _take(self, item: Event | Gap) -> Piece | None:
        if isinstance(item, Gap):
            return _MISSING
        payload = item.payload
        if payload.get("runId") != self.run_id:
            return None
        state = payload.get("state")
        if state == "delta":
            return self._delta(payload)
        if state not in _ENDS:
            return None
        if state != "final":
            self._fail(state, str(payload.get("errorMessage") or "no reason given"))
        return self._finish(text_of(payload.get("message")))

    def _delta(self, payload: dict[str, Any]) -> Piece:
        text = str(payload.get("deltaText", ""))
        if payload.get("replace"):
            return self._become(text)
        self.text += text
        return Piece(text)

    def _become(self, text: str) -> Piece:
        shown, self.text = self.text, text
        if text.startswith(shown):
            return Piece(text[len(shown) :])
        return Piece(text, replaces=True)

    def _finish(self, text: str) -> Piece:
        self.state = "final"
        return self._become(text) if text else Piece("")

    def _fail(self, state: str, reason: str) -> None:
        self.state = state
        raise RunFailed(state, reason, self.text)

    async def _catch_up(self) -> Piece:
        """After missing events: wait for the end, and take the text from the transcript."""
        done = await self._wait_for_end()
        if done.get("status") not in {"ok", None}:
            state = "aborted" if done.get("stopReason") == "aborted" else "error"
            self._fail(state, str(done.get("error") or done.get("status")))
        asked = {"sessionKey": self._params["sessionKey"], "limit": _LOOK_BACK}
        history = await self._gateway.call("chat.history", asked)
        said = [one for one in history["messages"] if one.get("role") == "assistant"]
        ours = [one for one in said if _run_of(one) == self.run_id]
        return self._finish("\n\n".join(text_of(one) for one in ours or said[-1:]))

    async def _wait_for_end(self) -> dict[str, Any]:
        waiting = {"runId": self.run_id, "timeoutMs": _WAIT_STEP_MS}
        while True:
            done = await self._gateway.call("agent.wait", waiting, timeout_s=None)
            if done.get("status") not in _NOT_OVER or "endedAt" in done:
                return dict(done)


def _run_of(message: dict[str, Any]) -> str | None:
    mark = message.get("__openclaw")
    return mark.get("runId") if isinstance(mark, dict) else None


_MISSING: Final = Piece("")
