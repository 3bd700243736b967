"""Nodes by their names, and using one: what the commands of `portico nodes` share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from portico.cli.command import Remote
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import note, print_json
from portico.cli.target import connected
from portico.client import ClientError, Event, EventStream
from portico.tasks import Tasks

PROGRESS: Final = "node.invoke.progress"
MAX_BEHIND: Final = 1_024


async def call(
    method: str, params: dict[str, Any], to: Remote, *, timeout_s: float | None = None
) -> Any:
    """Call one method over a connection of its own."""
    async with connected(to) as client:
        return await client.request(method, params, timeout_s=timeout_s or to.timeout_s)


async def find_node_id(named: str, to: Remote) -> str:
    """Return the id of a node."""
    nodes = (await call("node.list", {}, to))["nodes"]
    return str(the_one(nodes, named)["nodeId"])


def the_one(nodes: list[dict[str, Any]], named: str) -> dict[str, Any]:
    """Return the node of an id, the beginning of one, or a name."""
    same = [one for one in nodes if one["nodeId"] == named]
    same = same or [one for one in nodes if (one.get("displayName") or "") == named]
    same = same or [one for one in nodes if len(named) >= 4 and one["nodeId"].startswith(named)]
    if len(same) == 1:
        return same[0]
    said = f"{len(same)} nodes are called" if same else "There is no node or request called"
    raise Failure(
        f"{said} {named}.",
        code="nodes.unknown",
        next_step="See which there are: portico nodes list",
        exit_code=ExitCode.REFUSED,
    )


class LiveOutput:
    """Shows what one command says while it runs, each piece once.

    Args:
        key: the idempotency key the command is called with.
        show: takes a piece and its number.
    """

    def __init__(self, key: str, show: Callable[[int, str], None]) -> None:
        self._key = key
        self._show = show
        self._next = 0
        self.has_gap = False

    @property
    def is_shown(self) -> bool:
        """Whether the command has said anything."""
        return self._next > 0

    async def follow(self, stream: EventStream) -> None:
        """Show what comes, until the stream ends."""
        async for event in stream:
            if not isinstance(event, Event):
                self.has_gap = True
            elif event.payload.get("idempotencyKey") == self._key:
                self._take(event.payload["seq"], event.payload["chunk"])

    def _take(self, seq: int, chunk: str) -> None:
        self.has_gap = self.has_gap or seq != self._next
        self._next = seq + 1
        self._show(seq, chunk)


def as_line(seq: int, chunk: str) -> None:
    """Print a piece as one line of JSON."""
    print_json({"seq": seq, "chunk": chunk}, indent=None)


def as_text(_seq: int, chunk: str) -> None:
    """Print a piece as it is."""
    print(chunk, end="", flush=True)


def as_aside(_seq: int, chunk: str) -> None:
    """Print a piece beside the answer, on stderr."""
    print(chunk, end="", file=sys.stderr, flush=True)


async def invoke(
    request: dict[str, Any], to: Remote, *, timeout_s: float, live: LiveOutput | None = None
) -> dict[str, Any]:
    """Have a node do something and return its answer; show meanwhile what it says."""
    async with connected(to) as client:
        stream, tasks = client.events(PROGRESS, limit=MAX_BEHIND), Tasks(_not_shown)
        following = None if live is None else tasks.start(live.follow(stream), name="nodes.follow")
        try:
            answer = await client.request("node.invoke", request, timeout_s=timeout_s)
            stream.end()
            if following is not None:
                await following
        finally:
            await tasks.stop()
    if live is not None and live.is_shown and live.has_gap:
        note("Some output could not be shown while it came; --no-live shows it whole, at the end.")
    return dict(answer)


def _not_shown(_name: str, error: BaseException) -> None:
    # The request fails for the same reason and says so; anything else is a fault.
    if not isinstance(error, ClientError):
        raise error
