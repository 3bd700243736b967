"""From a request of this API to what is asked of an agent.

What the agent's runtime gets in `extensions`, when the caller says it: `openai.tools` (functions:
name, description, parameters, strict), `openai.tool_choice`, `openai.parallel_tool_calls`,
`openai.response_format`, `openai.sampling` (temperature, top_p, max_tokens, stop, seed …).

Source: OpenAI API reference, "Chat", "Responses"; OpenClaw gateway protocol, "OpenAI-compatible".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from portico.agents.client_tools import tool_choice
from portico.auth.model import Principal
from portico.protocol.errors import Forbidden
from portico.protocol.scopes import Scope
from portico.web.messages.parts import Part
from portico.web.openai.conversation import from_chat, from_items
from portico.web.openai.model import ChatRequest, FunctionTool
from portico.web.openai.problem import Refused
from portico.web.openai.responses_model import ResponsesRequest
from portico.web.openai.service import Ask, OpenAIRuns, idempotency_key
from portico.web.openai.target import Target, Targets, header

MAX_TOOLS = 512
_CHAT_SAMPLING = (
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "stop",
)


class Reader:
    """Reads requests.

    Args:
        max_images: how many a chat message may have.
        max_urls: how many addresses of images and files a Responses message may have.
    """

    def __init__(
        self, *, targets: Targets, runs: OpenAIRuns, max_images: int, max_urls: int
    ) -> None:
        self._targets = targets
        self._runs = runs
        self._max_images = max_images
        self._max_urls = max_urls

    def chat(
        self, asked: ChatRequest, headers: Mapping[str, str], principal: Principal | None
    ) -> Ask:
        """Read a chat completion.

        Raises:
            InvalidRequest: it cannot be understood.
        """
        if asked.n not in {None, 1}:
            raise Refused("`n` must be 1: an agent answers once", param="n")
        target = self._targets.resolve(headers, model=asked.model, user=asked.user, prefix="openai")
        conversation = from_chat(asked.messages or ())
        images = sum(part["type"] == "image" for part in conversation.parts)
        if images > self._max_images:
            raise Refused(f"a message may have {self._max_images} images", param="messages")
        limit = asked.max_completion_tokens or asked.max_tokens
        sampling = {name: getattr(asked, name) for name in _CHAT_SAMPLING}
        return Ask(
            kind="chatcmpl",
            target=target,
            conversation=conversation,
            user=(asked.user or "").strip() or None,
            agent_model=wanted_model(headers, principal),
            thinking=asked.reasoning_effort,
            extensions=_extensions(
                tools=[tool.function for tool in asked.tools or () if _is_function(tool.type)],
                tool_choice=asked.tool_choice,
                parallel_tool_calls=asked.parallel_tool_calls,
                response_format=asked.response_format,
                sampling={**sampling, "max_tokens": limit},
            ),
            idempotency_key=idempotency_key(headers),
        )

    async def response(
        self, asked: ResponsesRequest, headers: Mapping[str, str], principal: Principal | None
    ) -> Ask:
        """Read a response.

        Raises:
            InvalidRequest: it cannot be understood.
        """
        for name in ("background", "conversation"):
            if getattr(asked, name):
                raise Refused(f"`{name}` is not supported by this gateway", param=name)
        target = await self._response_target(asked, headers)
        conversation = from_items(
            asked.input or (),
            instructions=asked.instructions,
            goes_on=bool(asked.previous_response_id),
        )
        if sum(map(_is_address, conversation.parts)) > self._max_urls:
            raise Refused(f"a message may have {self._max_urls} addresses", param="input")
        effort = (asked.reasoning or {}).get("effort")
        sampling = {"temperature": asked.temperature, "top_p": asked.top_p}
        return Ask(
            kind="resp",
            target=target,
            conversation=conversation,
            user=(asked.user or "").strip() or None,
            agent_model=wanted_model(headers, principal),
            thinking=effort if isinstance(effort, str) else None,
            extensions=_extensions(
                tools=[tool for tool in asked.tools or () if _is_function(tool.type)],
                tool_choice=asked.tool_choice,
                parallel_tool_calls=asked.parallel_tool_calls,
                response_format=(asked.text or {}).get("format"),
                sampling={**sampling, "max_tokens": asked.max_output_tokens},
            ),
            idempotency_key=idempotency_key(headers),
        )

    async def _response_target(self, asked: ResponsesRequest, headers: Mapping[str, str]) -> Target:
        target = self._targets.resolve(
            headers, model=asked.model, user=asked.user, prefix="openresponses"
        )
        if not asked.previous_response_id:
            return target
        before = await self._runs.previous(asked.previous_response_id)
        chosen = self._targets.chosen(headers, asked.model)
        if chosen not in {None, before.agent_id}:
            raise Refused(f'the previous response is of agent "{before.agent_id}"', param="model")
        return Target(before.agent_id, target.model, before.session_key)


def check_scopes(
    headers: Mapping[str, str], principal: Principal | None, needs: Scope
) -> Principal | None:
    """Return the caller with no more than the scopes it says it wants.

    Callers that proved the shared secret have them all, whatever they say.

    Raises:
        Forbidden: what it wants is not enough for what it asks.
    """
    wanted = header(headers, "scopes")
    if principal is None or principal.method != "none" or not wanted:
        return principal
    capped = principal.capped(frozenset(wanted.replace(",", " ").split()))
    if needs not in capped.scopes:
        raise Forbidden.missing_scope(needs)
    return capped


def wanted_model(headers: Mapping[str, str], principal: Principal | None) -> str | None:
    """Return the model a header asks the agent to use; `None`: its own.

    Raises:
        Forbidden: it takes an administrator.
    """
    model = header(headers, "model")
    if model and principal is not None and Scope.ADMIN not in principal.scopes:
        raise Forbidden.missing_scope(Scope.ADMIN)
    if len(model) > 256 or not model.isprintable():
        raise Refused("the model in the header is not valid", param="model")
    return model or None


def _is_function(kind: str) -> bool:
    if kind != "function":
        raise Refused(f"tools of type `{kind[:40]}` are not supported", param="tools")
    return True


def _is_address(part: Part) -> bool:
    return "source_url" in part or "url" in part


def _extensions(
    *,
    tools: Sequence[FunctionTool | None],
    tool_choice: str | Mapping[str, Any] | None,
    sampling: Mapping[str, Any],
    **others: Any,
) -> dict[str, Any]:
    if len(tools) > MAX_TOOLS:
        raise Refused(f"at most {MAX_TOOLS} tools can be offered", param="tools")
    if any(tool is None or not tool.name for tool in tools):
        raise Refused("a tool has no function name", param="tools")
    offered = [_tool(tool) for tool in tools if tool is not None]
    _check_choice(tool_choice, {tool["name"] for tool in offered})
    said = {name: value for name, value in sampling.items() if value is not None}
    found = {
        "tools": offered or None,
        "tool_choice": tool_choice,
        "sampling": said or None,
        **others,
    }
    return {f"openai.{name}": value for name, value in found.items() if value is not None}


def _check_choice(given: str | Mapping[str, Any] | None, offered: set[str]) -> None:
    mode, names = tool_choice(given)
    if missing := sorted(names - offered):
        raise Refused(f"`tool_choice` names no offered tool: {missing[0]}", param="tool_choice")
    if mode == "required" and not offered:
        raise Refused("`tool_choice` is `required`, but there are no tools", param="tool_choice")


def _tool(tool: FunctionTool) -> dict[str, Any]:
    described = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {name: value for name, value in described.items() if value is not None}
