"""How a feature declares a tool: the twin of an RPC method, called by agents.

A feature's `tools.py` has a class, constructed with the feature's services; each decorated method
of it is one tool. From that one declaration come the description and the JSON Schema a model is
shown, validation of what it wrote, policy, `tools.catalog`, `tools.invoke`, `POST /tools/invoke`
and the tool over MCP.

    class MemorySearch(ToolArgs, frozen=True):
        query: Annotated[str, msgspec.Meta(min_length=1, description="Words to look for.")]

    class MemoryTools:
        def __init__(self, memory: Memory) -> None: ...

        @tool("memory_search", group="memory", changes=False)
        async def search(self, call: ToolCall, args: MemorySearch) -> list[Found]:
            '''Search the notes in the workspace.'''

Guarantees: a declaration without docstring or annotations fails when it is read, not when it is
called. What a tool raises never ends a turn: it is told to whoever called.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from portico.auth.model import Principal
from portico.channels.model import Attachment, ReplyRoute
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import describe_value

F = TypeVar("F", bound=Callable[..., Any])


class ToolArgs(msgspec.Struct, forbid_unknown_fields=True, rename="camel", frozen=True):
    """Base of every tool's arguments: closed, camelCase. Describe fields with `msgspec.Meta`."""


class ToolError(Exception):
    """The tool could not do it. The text is for the model and may reach the person."""


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """A result that has more than a JSON value.

    Attributes:
        media: pictures and files the model is shown besides, when it can see them.
        is_untrusted: whether this one holds text from outside; `None`: as the tool declares.
    """

    value: Any
    media: tuple[Attachment, ...] = ()
    is_untrusted: bool | None = None


def _has_read_nothing(_text: str) -> bool:
    return False


def _nobody_follows(_said: str) -> None:
    """Nobody watches the tool run."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call in progress: in whose name, for which conversation.

    Attributes:
        origin: where the message that made the turn came from, and its answer goes.
        principal: the operator who calls the tool himself; `None`: the agent does.
        is_untrusted: what led to the call was written by somebody the operator does not vouch for.
        has_read: whether a text stands, word for word, in what the turn has read, and not only
            because the model said it first.
        earlier: how often the turn has called this tool before.
        say: shows who follows the run a piece of what the tool says while it runs. It does not
            reach the model: what counts is the result.
    """

    agent_id: str
    session_key: str
    call_id: str
    session_id: str | None = None
    run_id: str | None = None
    origin: ReplyRoute | None = None
    sender: str | None = None
    principal: Principal | None = None
    is_untrusted: bool = False
    has_read: Callable[[str], bool] = _has_read_nothing
    earlier: int = 0
    say: Callable[[str], None] = _nobody_follows

    @property
    def is_among_strangers(self) -> bool:
        """Whether strangers led to the call, and more than one person reads what comes of it."""
        return self.is_untrusted and is_shared(self.origin)


def is_shared(origin: ReplyRoute | None) -> bool:
    """Whether more than one person reads a conversation."""
    return origin is not None and origin.peer.kind != "direct"


Run = Callable[[ToolCall, Mapping[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Something that can be done.

    Attributes:
        parameters: JSON Schema of the arguments.
        run: does it and returns a JSON value or a `ToolOutput`.
        group: what it is listed under and what `group:<name>` means in a policy.
        changes: it changes something outside; a turn that called it is not run again.
        is_untrusted: its results may hold text from outside: pages, other people's messages.
        scope: what an operator who calls it himself needs.
        timeout_s: the longest a call may take; `None`: the configured default.
        source: `core`, or who brought it: `mcp:<server>`.
    """

    name: str
    description: str
    run: Run
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    group: str = "other"
    changes: bool = True
    is_untrusted: bool = False
    scope: Scope = Scope.WRITE
    timeout_s: float | None = None
    source: str = "core"


@dataclass(frozen=True, slots=True)
class _Declaration:
    name: str
    group: str
    changes: bool
    is_untrusted: bool
    scope: Scope
    timeout_s: float | None


def tool(
    name: str,
    *,
    group: str,
    changes: bool = True,
    is_untrusted: bool = False,
    scope: Scope = Scope.WRITE,
    timeout_s: float | None = None,
) -> Callable[[F], F]:
    """Declare the decorated method of a feature class as the tool `name`; see `Tool`."""
    declaration = _Declaration(name, group, changes, is_untrusted, scope, timeout_s)

    def mark(function: F) -> F:
        function.__tool__ = declaration  # type: ignore[attr-defined]  # read by tools_of
        return function

    return mark


def tools_of(feature: object) -> Iterator[Tool]:
    """Yield every declared tool of a feature object.

    Raises:
        TypeError: a declaration is incomplete.
    """
    for attribute in vars(type(feature)).values():
        declared = getattr(attribute, "__tool__", None)
        if isinstance(declared, _Declaration):
            yield _tool(declared, attribute, attribute.__get__(feature))


def _tool(declared: _Declaration, function: Callable[..., Any], bound: Callable[..., Any]) -> Tool:
    if not function.__doc__:
        raise TypeError(f"tool {declared.name} has no docstring")
    hints = typing.get_type_hints(function, include_extras=True)
    if "args" not in hints or not inspect.iscoroutinefunction(function):
        raise TypeError(f"tool {declared.name} must be async, with annotated args")
    args_type = hints["args"]

    async def run(call: ToolCall, given: Mapping[str, Any]) -> Any:
        return await bound(call, decoded(args_type, given, name=declared.name))

    return Tool(
        name=declared.name,
        description=inspect.cleandoc(function.__doc__),
        run=run,
        parameters=schema_of(args_type),
        group=declared.group,
        changes=declared.changes,
        is_untrusted=declared.is_untrusted,
        scope=declared.scope,
        timeout_s=declared.timeout_s,
    )


def decoded(args_type: type[Any], given: Mapping[str, Any], *, name: str) -> Any:
    """Return arguments as their type.

    Raises:
        InvalidRequest: with every problem and its path.
    """
    try:
        return msgspec.convert(given, args_type)
    except msgspec.ValidationError as error:
        problems = describe_value(args_type, dict(given)) or [str(error)]
        raise InvalidRequest(f"invalid {name} arguments: {'; '.join(problems)}") from None


def schema_of(args_type: type[Any]) -> dict[str, Any]:
    """Return the JSON Schema of an arguments type, as models are shown it: inline, untitled."""
    (schema,), definitions = msgspec.json.schema_components(
        (args_type,), ref_template="#/$defs/{name}"
    )
    top = definitions.pop(args_type.__name__, schema)
    shown = {key: value for key, value in top.items() if key not in {"title", "description"}}
    return {**shown, "$defs": definitions} if definitions else shown
