"""Every command of the gateway: declared with `@command`, looked up by any of its names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from portico.chat.commands.model import Answer, Arg, Audience, Category, Command
from portico.chat.commands.reading import read
from portico.inbox.model import Giver
from portico.protocol.scopes import Scope

_DECLARED = "__portico_command__"
F = TypeVar("F", bound=Callable[..., Any])


def command(  # one keyword for each fact about a command
    name: str,
    description: str,
    *,
    category: Category,
    aliases: tuple[str, ...] = (),
    args: tuple[Arg, ...] = (),
    scope: Scope = Scope.READ,
    audience: Audience = "everyone",
    holds: bool = False,
    takes_files: bool = False,
    is_recorded: bool = True,
    is_audited: bool = False,
    timeout_s: float = 30.0,
) -> Callable[[F], F]:
    """Declare the method below as a command; see `Command` for what the arguments mean."""

    def declare(method: F) -> F:
        def make(answer: Answer) -> Command:
            return Command(
                name=name,
                description=description,
                answer=answer,
                category=category,
                aliases=aliases,
                args=args,
                scope=scope,
                audience=audience,
                holds=holds,
                takes_files=takes_files,
                is_recorded=is_recorded,
                is_audited=is_audited,
                timeout_s=timeout_s,
            )

        setattr(method, _DECLARED, make)
        return method

    return declare


class CommandBook:
    """Looks commands up. They are in the order in which they were declared."""

    def __init__(self, features: Iterable[object]) -> None:
        """Collect the commands of some objects.

        Raises:
            TypeError: a name is taken.
        """
        self._commands: list[Command] = []
        self._named: dict[str, Command] = {}
        for feature in features:
            for one in _declared_by(feature):
                self._add(one)

    def _add(self, one: Command) -> None:
        self._commands.append(one)
        for name in (one.name, *one.aliases):
            if name in self._named:
                raise TypeError(f"the command /{name} is declared twice")
            self._named[name] = one

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands)

    def find(self, name: str) -> Command | None:
        """Return the command of a name or alias."""
        return self._named.get(name)

    def spoken(self, text: str, *, is_addressed: bool = False) -> tuple[Command, str] | None:
        """Return the command a message is, and its arguments; `None`: it is for the agent.

        A command that takes no arguments and is given some is none.
        """
        said = read(text, is_addressed=is_addressed)
        found = None if said is None else self.find(said.name)
        if said is None or found is None or (said.arguments and not found.args):
            return None
        return found, said.arguments

    def open_to(self, giver: Giver) -> list[Command]:
        """Return what somebody may use."""
        return [one for one in self._commands if one.refusal(giver) is None]


def _declared_by(feature: object) -> Iterator[Command]:
    for name in vars(type(feature)):
        method = getattr(feature, name)
        make = getattr(method, _DECLARED, None)
        if make is not None:
            yield make(method)
