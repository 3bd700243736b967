"""What a gateway process inherits: descriptors, named in one environment variable.

Guarantees: an estate that does not fit (a descriptor that is not open) is refused before anything
is started; inherited descriptors are not passed on to programs that agents run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

VARIABLE: Final = "PORTICO_ESTATE"
MAX_REASON: Final = 500


class Estate(msgspec.Struct, frozen=True):
    """Descriptors by what they are.

    Attributes:
        link: one end of the socket pair to the predecessor.
        lock: the locked file; both processes hold the one lock.
        listeners: sockets that listen.
        place: where the first process of the line is told who runs now; -1: nobody keeps a place.
        owner: the predecessor's name in leases.
    """

    link: int
    lock: int
    listeners: tuple[int, ...]
    place: int
    owner: str


def take_estate(env: MutableMapping[str, str]) -> Estate | None:
    """Return what this process inherited, once; `None`: it begins a line of its own.

    Raises:
        OSError: a descriptor is not open.
    """
    text = env.pop(VARIABLE, None)
    if text is None:
        return None
    estate = msgspec.json.decode(text, type=Estate)
    for descriptor in (estate.link, estate.lock, *estate.listeners, estate.place):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)
    return estate


def report_failure(estate: Estate | None, why: BaseException) -> None:
    """Tell the predecessor why this process does not come up."""
    if estate is None:
        return
    reason = str(why).strip() or type(why).__name__
    line = msgspec.json.encode({"say": "failed", "reason": reason[:MAX_REASON]}) + b"\n"
    with contextlib.suppress(OSError):
        os.write(estate.link, line)


def sockets_of(estate: Estate) -> list[socket.socket]:
    """Return the inherited listening sockets."""
    found = [socket.socket(fileno=descriptor) for descriptor in estate.listeners]
    for listener in found:
        listener.setblocking(False)
    return found


@dataclass(frozen=True, slots=True)
class Successor:
    """A process that was started to take over, and our end of the pair."""

    process: subprocess.Popen[bytes]
    end: socket.socket

    def kill(self) -> None:
        """End it at once, with everything it started in its group."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)


def start_successor(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    lock: int,
    listeners: Sequence[int],
    place: int,
    owner: str,
) -> Successor:
    """Start the next process of the line; it is in a process group of its own.

    A Ctrl-C in the terminal then reaches only the process that keeps the place, which passes it on.

    Raises:
        OSError: it cannot be started.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    given = Estate(theirs.fileno(), lock, tuple(listeners), place, owner)
    passed = [one for one in (given.link, lock, *listeners, place) if one >= 0]
    variables = {**env, VARIABLE: msgspec.json.encode(given).decode()}
    try:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            command, env=variables, pass_fds=passed, stdin=subprocess.DEVNULL, process_group=0
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Successor(process, ours)
