"""What a command is, who gives it, and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from portico.agents.runtime import TurnRequest
from portico.channels.model import QueueMode, ReplyRoute
from portico.inbox.model import Giver
from portico.protocol.scopes import Scope

if TYPE_CHECKING:
    from portico.chat.commands.book import CommandBook

Category = Literal["session", "options", "status", "management", "tools"]
Audience = Literal["everyone", "direct", "owner"]
"""Which admitted senders of channels may use a command: all; all where nobody else is meant, and
owners anywhere; owners."""


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument, for people and for completion.

    Attributes:
        choices: all it can be; empty: anything.
    """

    name: str
    description: str
    choices: tuple[str, ...] = ()
    is_required: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as `commands.list` shows it."""
        shown: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "type": "string",
        }
        if self.is_required:
            shown["required"] = True
        if self.choices:
            shown["choices"] = [{"value": one, "label": one} for one in self.choices]
        return shown


class Refused(Exception):
    """A command is not carried out; the text is for the person who gave it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a command comes to.

    Attributes:
        text: Markdown for the person; empty: nothing is said.
        then: what the agent is asked after it.
        queue_mode: how that waits when the session is busy; `None`: as configured.
        afterwards: done once the answer is on disk, and not again after a crash.
    """

    text: str = ""
    then: str | None = None
    queue_mode: QueueMode | None = None
    afterwards: Callable[[], None] | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One command that was given, and everything its answer needs.

    Attributes:
        command: its name; empty: no command, but a message that waits for those before it.
        text: the message as it came; `arguments` is the part after the command's name.
        fingerprint: of the message, for the turn that may come of it.
    """

    run_id: str
    session_key: str
    agent_id: str
    channel: str
    command: str
    arguments: str
    text: str
    giver: Giver
    request: TurnRequest
    reply_route: ReplyRoute
    fingerprint: str
    queue_mode: QueueMode | None = None
    given_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A command as the method that answers it gets it."""

    order: Order
    book: CommandBook

    @property
    def text(self) -> str:
        """Its arguments."""
        return self.order.arguments

    @property
    def giver(self) -> Giver:
        """Who gives it."""
        return self.order.giver

    @property
    def key(self) -> str:
        """The session it was given in."""
        return self.order.session_key

    @property
    def is_owner(self) -> bool:
        """Whether an administrator gives it."""
        return Scope.ADMIN in self.order.giver.scopes


Answer: TypeAlias = Callable[[Asked], Awaitable[Reply | str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command.

    Attributes:
        scope: what a client of the control plane needs for it.
        audience: which senders of channels may use it.
        holds: what is said in the session after it waits until it is done.
        takes_files: files that come with it go on to the agent.
        is_recorded: the exchange is kept in the transcript, for people.
        is_audited: who used it is on record.
        timeout_s: how long it may take.
    """

    name: str
    description: str
    answer: Answer
    category: Category
    aliases: tuple[str, ...] = ()
    args: tuple[Arg, ...] = ()
    scope: Scope = Scope.READ
    audience: Audience = "everyone"
    holds: bool = False
    takes_files: bool = False
    is_recorded: bool = True
    is_audited: bool = False
    timeout_s: float = 30.0

    def refusal(self, giver: Giver) -> str | None:
        """Say why somebody may not use it; `None`: he may."""
        if not giver.is_sender:
            return None if self.scope in giver.scopes else f"/{self.name} needs {self.scope}."
        if self.audience == "everyone" or Scope.ADMIN in giver.scopes:
            return None
        if self.audience == "direct":
            return None if giver.is_alone else f"In a group only an owner may use /{self.name}."
        return (
            f"Only an owner of this gateway may use /{self.name}: "
            f"`commands.ownerAllowFrom` does not name {giver.subject}."
        )

    def as_json(self, *, with_args: bool = True) -> dict[str, Any]:
        """Return it as `commands.list` shows it."""
        shown: dict[str, Any] = {
            "name": self.name,
            "nativeName": self.name,
            "textAliases": [f"/{one}" for one in (self.name, *self.aliases)],
            "description": self.description,
            "category": self.category,
            "source": "native",
            "scope": "both",
            "acceptsArgs": bool(self.args),
        }
        if with_args and self.args:
            shown["args"] = [one.as_json() for one in self.args]
        return shown
