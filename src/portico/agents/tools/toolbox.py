"""The tools of one turn, and of an operator who calls one himself: offered, checked, run.

Guarantees:
    - A tool runs only when every layer of the policy allows it at the moment of the call.
    - Once a turn has read untrusted text (a stranger's message, a page, a tool result that may
      hold either, or a transcript with any of them) it keeps only what the `untrusted` layer
      leaves, to its end. Nothing it reads can widen that again.
    - A call ends within its time, with a value or an error; what went wrong inside a tool goes to
      the log, not to the model.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import msgspec
import structlog

from portico.agents.runtime import ToolSays, Turn, nobody_follows
from portico.agents.tools.contract import Tool, ToolCall, ToolError, ToolOutput, is_shared
from portico.agents.tools.policy import Rules, allowed, refusing
from portico.agents.tools.reading import Reading
from portico.agents.tools.registry import ToolRegistry
from portico.channels.model import Attachment, ReplyRoute
from portico.protocol.errors import Forbidden, GatewayError, InvalidRequest

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """What one call may take and give.

    Attributes:
        timeout_s: the longest call of a tool that says nothing else.
        max_result_chars: how much of a result a model is shown.
    """

    timeout_s: float = 120.0
    max_result_chars: int = 50_000


_STRANGERS = Rules("untrusted", profile="untrusted")


@dataclass(frozen=True, slots=True)
class Layers:
    """One agent's policy for turns from one channel.

    Attributes:
        always: the gateway's layer, the agent's, the channel's.
        untrusted: comes on top once untrusted text was read.
    """

    always: tuple[Rules, ...] = ()
    untrusted: Rules = _STRANGERS

    def now(self, *, is_untrusted: bool) -> tuple[Rules, ...]:
        """Return the layers that count."""
        return (*self.always, self.untrusted) if is_untrusted else self.always


LayersFor = Callable[[str, str | None], Layers]
"""From an agent's id and the channel a turn came through to the policy."""

Narrowing = Callable[[ReplyRoute], Rules | None]
"""From where a turn came from to a layer of its conversation; `None`: it has none."""


class ToolNotFound(InvalidRequest):
    """There is no such tool, or not for this caller: the two are not told apart."""

    http_status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"Tool not available: {name}", details={"code": "TOOL_NOT_FOUND"})


ErrorCode = Literal["NOT_AVAILABLE", "INVALID_ARGUMENTS", "REFUSED", "TIMEOUT", "FAILED"]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a call.

    Attributes:
        value: JSON; of an error a sentence.
        error: of what kind, when it could not be done.
        is_untrusted: it may hold text from outside.
        media: pictures and files that came with it.
    """

    value: Any
    error: ErrorCode | None = None
    is_untrusted: bool = False
    media: tuple[Attachment, ...] = ()

    @property
    def is_error(self) -> bool:
        """Whether it could not be done."""
        return self.error is not None


class TurnTools:
    """What one turn may call, which changes with what it reads."""

    def __init__(
        self,
        call: ToolCall,
        tools: Mapping[str, Tool],
        layers: Layers,
        limits: ToolLimits,
        *,
        say: ToolSays = nobody_follows,
    ) -> None:
        self._call = call
        self._say = say
        self._tools = tools
        self._layers = layers
        self._limits = limits
        self._reading = Reading()
        self._called: Counter[str] = Counter()
        self.is_untrusted = call.is_untrusted

    def read(self, text: str, *, is_untrusted: bool = False) -> None:
        """Note what people or instructions tell the model, and whether somebody vouches for it."""
        self.is_untrusted = self.is_untrusted or is_untrusted
        self._reading.written(text)

    def returned(self, text: str, *, is_untrusted: bool = False) -> None:
        """Note what a tool tells the model, now or in an earlier turn."""
        self.is_untrusted = self.is_untrusted or is_untrusted
        self._reading.returned(text)

    def said(self, value: Any, *, is_untrusted: bool = False) -> None:
        """Note what the model says, or is told that it said: text or arguments."""
        self.is_untrusted = self.is_untrusted or is_untrusted
        self._reading.said(value)

    @property
    def may_recall(self) -> bool:
        """Whether the model may be shown what the agent keeps for its operator."""
        if is_shared(self._call.origin):
            return False
        return not self.is_untrusted or self.find("memory_search") is not None

    def offered(self) -> list[Tool]:
        """Return what may be called now."""
        layers = self._layers.now(is_untrusted=self.is_untrusted)
        return allowed(layers, self._tools.values())

    def find(self, name: str) -> Tool | None:
        """Return a tool that may be called now, or `None`."""
        tool = self._tools.get(name)
        layers = self._layers.now(is_untrusted=self.is_untrusted)
        return tool if tool is not None and refusing(layers, tool) is None else None

    async def call(self, call_id: str, name: str, arguments: Mapping[str, Any] | None) -> Done:
        """Run a tool; never raises for what a tool or a model does wrong."""
        tool = self.find(name)
        if tool is None:
            return Done(self._why_not(name), "NOT_AVAILABLE")
        if arguments is None:
            return Done("The arguments are not a JSON object.", "INVALID_ARGUMENTS")
        self.said(arguments)
        call = replace(
            self._call,
            call_id=call_id,
            is_untrusted=self.is_untrusted,
            has_read=self._reading.has,
            earlier=self._called[name],
            say=partial(self._say, call_id),
        )
        self._called[name] += 1
        done = await run(tool, call, arguments, self._limits)
        if not done.is_error:
            self.returned(as_text(done.value), is_untrusted=done.is_untrusted)
        return done

    def _why_not(self, name: str) -> str:
        tool = self._tools.get(name)
        layers = self._layers.always
        if tool is not None and self.is_untrusted and refusing(layers, tool) is None:
            return (
                f"{name} is not available here, because this turn has read text from outside. "
                "The person can ask for it again in a new message of their own."
            )
        return "There is no such tool."


CUT = "\n[cut here]"


class Toolbox:
    """Every agent's tools."""

    def __init__(
        self, registry: ToolRegistry, layers_for: LayersFor, limits: ToolLimits | None = None
    ) -> None:
        self.registry = registry
        self._layers_for = layers_for
        self._limits = limits or ToolLimits()
        self._narrowing: Narrowing = lambda _origin: None

    async def open(self, turn: Turn) -> TurnTools:
        """Return the tools of a turn that begins."""
        origin = turn.origin
        call = ToolCall(
            agent_id=turn.agent_id,
            session_key=turn.session_key,
            call_id="",
            session_id=turn.session_id or None,
            run_id=turn.run_id,
            origin=origin,
            sender=turn.request.sender or None,
            is_untrusted=turn.request.is_untrusted,
        )
        layers = self._layers_for(turn.agent_id, origin.channel if origin else None)
        own = self._narrowing(origin) if origin is not None else None
        if own is not None:
            layers = replace(layers, always=(*layers.always, own))
        return TurnTools(call, await self.registry.every(), layers, self._limits, say=turn.say)

    def narrow(self, narrowing: Narrowing) -> None:
        """Let conversations take tools away, besides the other layers."""
        self._narrowing = narrowing

    def obey(self, layers_for: LayersFor) -> None:
        """Let another policy count from now on; turns that have begun keep theirs."""
        self._layers_for = layers_for

    def limit(self, limits: ToolLimits) -> None:
        """Let calls take and give so much from now on."""
        self._limits = limits

    async def effective(
        self, agent_id: str, channel: str | None, *, is_untrusted: bool = False
    ) -> list[Tool]:
        """Return what an agent may call in a turn from a channel."""
        layers = self._layers_for(agent_id, channel).now(is_untrusted=is_untrusted)
        return allowed(layers, (await self.registry.every()).values())

    def profile_of(self, agent_id: str) -> str:
        """Return the narrowest profile an agent is given; `full` when none is."""
        named = [rules.profile for rules in self._layers_for(agent_id, None).always]
        return next((profile for profile in reversed(named) if profile), "full")

    async def invoke(
        self, call: ToolCall, name: str, arguments: Mapping[str, Any], *, door: Rules
    ) -> tuple[Tool, Done]:
        """Run a tool for an operator, under the agent's policy and the door's.

        Raises:
            ToolNotFound: no layer may refuse it, and one does; or there is none.
            Forbidden: the caller lacks the scope.
        """
        tool = (await self.registry.every()).get(name)
        layers = (door, *self._layers_for(call.agent_id, None).always)
        if tool is None or refusing(layers, tool) is not None:
            raise ToolNotFound(name)
        if call.principal is not None and tool.scope not in call.principal.scopes:
            raise Forbidden.missing_scope(tool.scope)
        return tool, await run(tool, call, arguments, self._limits)


async def run(tool: Tool, call: ToolCall, arguments: Mapping[str, Any], limits: ToolLimits) -> Done:
    """Run one call; what goes wrong is a result too."""
    limit_s = tool.timeout_s or limits.timeout_s
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            result = await tool.run(call, arguments)
    except (ToolError, GatewayError) as error:
        kind: ErrorCode = "INVALID_ARGUMENTS" if isinstance(error, InvalidRequest) else "REFUSED"
        return Done(str(error) or type(error).__name__, kind)
    except TimeoutError as error:
        if limit.expired():
            return Done(f"{tool.name} did not finish within {limit_s:g} s.", "TIMEOUT")
        return _failed(tool, call, error)
    except Exception as error:  # noqa: BLE001  # whatever it is, the turn goes on
        return _failed(tool, call, error)
    output = result if isinstance(result, ToolOutput) else ToolOutput(result)
    value = shortened(_plain(output.value), limits.max_result_chars)
    is_untrusted = tool.is_untrusted if output.is_untrusted is None else output.is_untrusted
    return Done(value, is_untrusted=is_untrusted, media=output.media)


def _failed(tool: Tool, call: ToolCall, error: Exception) -> Done:
    log.error("tool.failed", tool=tool.name, run_id=call.run_id, exc_info=error)
    return Done(f"{tool.name} failed. The operator can find the reason in the log.", "FAILED")


def _plain(value: Any) -> Any:
    """Return a result as the JSON value it stands for."""
    return value if isinstance(value, str) else msgspec.to_builtins(value, str_keys=True)


def shortened(value: Any, max_chars: int) -> Any:
    """Return a value that fits: as it is, with its longest text cut, or the beginning of it all."""
    text = as_text(value)
    excess = len(text) - max_chars
    if excess <= 0:
        return value
    if isinstance(value, dict):
        name, longest = max(
            ((name, item) for name, item in value.items() if isinstance(item, str)),
            key=lambda item: len(item[1]),
            default=("", ""),
        )
        if len(longest) > excess + len(CUT) + 1:
            return {**value, name: f"{longest[: -(excess + len(CUT) + 1)]}{CUT}"}
    return f"{text[:max_chars]}{CUT}"


def as_content(done: Done) -> dict[str, Any]:
    """Return a result as clients of the control plane know it: parts to show, and the value.

    Source: OpenClaw gateway protocol, "tools.invoke".
    """
    content: list[dict[str, Any]] = [{"type": "text", "text": _as_lines(done.value)}]
    content += (
        {"type": "image", "data": item.content, "mimeType": item.mime_type or "image/png"}
        for item in done.media
        if item.type == "image" and item.content
    )
    return {"content": content, "details": done.value}


def _as_lines(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.format(as_text(value), indent=2)


def as_text(value: Any) -> str:
    """Return a result as the text a model is shown."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value, enc_hook=repr).decode()
