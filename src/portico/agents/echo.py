"""The `echo` runtime: answers with what it was told. Needs nothing, so it is the default.

For tests and demonstrations a message may begin with a line of directives:

    /sim words=50 delay_ms=20 tools=2 think=hello
    the text to echo

    words=N      answer with N numbered words instead of the text
    delay_ms=N   wait before every chunk
    tools=N      make N simulated tool calls first (no side effects)
    unsafe=N     the same, but declared as having side effects
    think=TEXT   reason visibly first
    error=KIND   fail: refusal | timeout | rate_limit | context_length | budget | unknown
    raise=1      break the runtime contract by raising
    hang=1       never answer (until cancelled or timed out)
    empty=1      finish without any text
    client_tool=NAME  ask the caller to run its tool NAME, with the text as its argument
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator
from typing import get_args

from portico.agents.runtime import (
    Abilities,
    AgentEvent,
    ErrorKind,
    Failed,
    Final,
    ModelUsed,
    TextDelta,
    ThinkingDelta,
    ToolCallRequested,
    ToolFinished,
    ToolStarted,
    Turn,
    Usage,
)

DIRECTIVE = "/sim"
MAX_WORDS = 100_000
MAX_TOOLS = 100
MAX_CHUNKS = 200


class EchoRuntime:
    """Echoes, in streamed chunks."""

    name = "echo"
    abilities = Abilities(resumable=True, is_metered=False)

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Answer `Echo: <text>`, or what the directives ask for."""
        directives, text = parse_directives(turn.request.text)
        if "raise" in directives:
            raise RuntimeError("asked to raise")
        if "hang" in directives:
            await asyncio.Event().wait()
        delay_s = _number(directives, "delay_ms", 3_600_000) / 1000
        if "think" in directives:
            yield ThinkingDelta(directives["think"])
        async for event in _tools(directives, delay_s):
            yield event
        if "error" in directives:
            yield _failure(directives["error"])
            return
        quiet = "empty" in directives or "client_tool" in directives
        answer = "" if quiet else _answer(directives, text)
        for chunk in _chunks(answer):
            if delay_s:
                await asyncio.sleep(delay_s)
            yield TextDelta(chunk)
        prompt, words = len(text.split()), len(answer.split())
        client_tool = directives.get("client_tool")
        if client_tool:
            yield ToolCallRequested("call_1", client_tool, {"text": text})
        yield ModelUsed(Usage(input=prompt, output=words, context=prompt), "portico", "echo")
        yield Final(stop_reason="toolUse" if client_tool else "stop")


def parse_directives(text: str) -> tuple[dict[str, str], str]:
    """Split a message into its directives and the text to echo."""
    first, _, rest = text.partition("\n")
    if first != DIRECTIVE and not first.startswith(f"{DIRECTIVE} "):
        return {}, text
    try:
        words = shlex.split(first.removeprefix(DIRECTIVE))
    except ValueError:  # an unbalanced quote: then it is not a directive line
        return {}, text
    pairs = (word.partition("=") for word in words)
    return {name: value for name, _, value in pairs}, rest


def _number(directives: dict[str, str], name: str, most: int) -> int:
    value = directives.get(name, "0")
    return min(int(value), most) if value.isdecimal() else 0


def _answer(directives: dict[str, str], text: str) -> str:
    count = _number(directives, "words", MAX_WORDS)
    if count:
        return " ".join(f"word{number}" for number in range(count))
    return f"Echo: {text}"


def _chunks(text: str) -> list[str]:
    words = text.split(" ")
    size = -(-len(words) // MAX_CHUNKS)
    groups = [" ".join(words[start : start + size]) for start in range(0, len(words), size)]
    return [group if index == 0 else f" {group}" for index, group in enumerate(groups) if text]


async def _tools(directives: dict[str, str], delay_s: float) -> AsyncIterator[AgentEvent]:
    for name, side_effects in (("tools", False), ("unsafe", True)):
        for number in range(_number(directives, name, MAX_TOOLS)):
            call_id = f"{name}-{number + 1}"
            yield ToolStarted(call_id, "simulated", {"number": number + 1}, side_effects)
            await asyncio.sleep(delay_s)
            yield ToolFinished(call_id, "simulated", {"ok": True, "number": number + 1})


def _failure(kind: str) -> Failed:
    known: ErrorKind = kind if kind in get_args(ErrorKind) else "unknown"  # type: ignore[assignment]  # checked by the membership test
    return Failed("A simulated failure, as asked for.", known)
