"""What can go wrong with an agent that is a program, and what the person is told.

Guarantees: a person reads a sentence; exit codes and what the program wrote are for the log.
"""

from __future__ import annotations

from portico.agents.runtime import ErrorKind


class AcpTrouble(Exception):
    """A turn that cannot be answered.

    Attributes:
        message: for the person.
        detail: for the log.
        is_program: the program is no good any more.
    """

    message = "The agent's program failed. The operator can find out why in the log."
    kind: ErrorKind = "unknown"
    is_program = True

    def __init__(self, detail: str = "", message: str | None = None) -> None:
        super().__init__(detail or message or self.message)
        self.detail = detail
        if message is not None:
            self.message = message


class Unstartable(AcpTrouble):
    """The program is not there, did not begin, or does not speak the protocol."""

    message = "The agent's program could not be started. The operator can find out why in the log."


class Ended(AcpTrouble):
    """The program ended, or its pipes did, while it should have answered."""

    message = "The agent's program ended before it had answered. Please try again."


class Silent(AcpTrouble):
    """The program said nothing for too long."""

    message = "The agent's program does not answer."
    kind: ErrorKind = "timeout"


class Unruly(AcpTrouble):
    """The program broke the protocol beyond repair."""

    message = "The agent's program sent what cannot be understood. The operator can find out more."


class Refused(AcpTrouble):
    """The program lives, and answered with an error."""

    message = "The agent could not answer. The operator can find out why in the log."
    is_program = False


class Busy(AcpTrouble):
    """Every program that may run is busy."""

    message = "The agent is busy with other conversations. Please try again in a moment."
    kind: ErrorKind = "rate_limit"
    is_program = False
