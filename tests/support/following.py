"""A model agent that follows a script, step by step, in a whole gateway.

    script = Script(calls("skill_read", name="task-capture"), says("Done."))
    async with following(folder, script) as led:
        assert await led.say("Remember the milk") == "Done."

A step is given what the model was sent and returns its reply, so that it can use what tools said.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from portico.app import Gateway
from portico.rpc.call import Call
from tests.fakes.provider import FakeProvider, Reply, Say
from tests.support.house import ALL_SCOPES, principal
from tests.support.http import house, listening, settings

Step = Callable[["Sent"], Reply]
Agents = Mapping[str, "Script"]


@dataclass
class Sent:
    """One request to the model."""

    messages: list[dict[str, Any]]
    tools: list[str]

    @property
    def instructions(self) -> str:
        """What the model is told before everything else."""
        return "\n".join(str(m["content"]) for m in self.messages if m["role"] == "system")

    @property
    def asked(self) -> str:
        """The newest message of the person."""
        return str([m for m in self.messages if m["role"] == "user"][-1]["content"])

    @property
    def results(self) -> list[Any]:
        """What tools have said in this turn, JSON decoded."""
        last = max(i for i, m in enumerate(self.messages) if m["role"] == "user")
        found = [m["content"] for m in self.messages[last:] if m["role"] == "tool"]
        return [_decoded(text) for text in found]


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def says(text: str | Callable[[Sent], str]) -> Step:
    """Answer."""
    return lambda sent: Say(text if isinstance(text, str) else text(sent))


def calls(tool: str, given: Callable[[Sent], dict[str, Any]] | None = None, **args: Any) -> Step:
    """Call one tool, which must be offered."""

    def step(sent: Sent) -> Reply:
        assert tool in sent.tools, f"{tool} is not among {sent.tools}"
        return Say(calls=((tool, json.dumps(args if given is None else given(sent))),))

    return step


@dataclass
class Script:
    """The steps of one agent; what it was sent is kept."""

    steps: deque[Step] = field(default_factory=deque)
    sent: list[Sent] = field(default_factory=list)

    def __init__(self, *steps: Step) -> None:
        self.steps, self.sent = deque(steps), []

    def then(self, *steps: Step) -> None:
        """Go on with these."""
        self.steps.extend(steps)

    def take(self, request: dict[str, Any]) -> Reply:
        names = [tool["function"]["name"] for tool in request.get("tools") or ()]
        self.sent.append(Sent(request["messages"], names))
        if not self.steps:
            return Say("The script has ended.")
        try:
            return self.steps.popleft()(self.sent[-1])
        except Exception as error:  # noqa: BLE001 - into the answer, where a test sees it
            return Say(f"The script failed: {error!r}")


@dataclass
class Led:
    """A gateway whose agents follow scripts."""

    gateway: Gateway
    turns: int = 0
    url: str = ""

    async def call(self, name: str, params: Mapping[str, Any] | None = None) -> Any:
        """Call a method as the operator."""
        call = Call(principal(*ALL_SCOPES))
        result = await self.gateway.front.dispatcher.request(
            name, msgspec.json.encode(params or {}), call
        )
        return msgspec.json.decode(msgspec.json.encode(result))

    async def say(self, text: str, session: str = "agent:main:main") -> str:
        """Write to an agent as the operator; return its answer."""
        self.turns += 1
        params = {"sessionKey": session, "message": text, "idempotencyKey": f"led-{self.turns}"}
        answer = await self.call("agent", params)
        return "\n".join(one["text"] for one in answer["result"]["payloads"])


@asynccontextmanager
async def following(
    folder: Path, script: Script, *, others: Agents | None = None, **config: Any
) -> AsyncIterator[Led]:
    """Start a gateway; `main` follows the script, other agents theirs."""
    scripts = {"main": script, **(others or {})}
    async with FakeProvider(lambda request: scripts[request["model"]].take(request)) as provider:
        lab = {
            "baseUrl": provider.url,
            "apiKey": "k",
            "models": [{"id": name} for name in scripts],
        }
        agents = {
            "list": [
                {"id": name, "model": f"lab/{name}", "workspace": str(folder / "work" / name)}
                for name in scripts
            ]
        }
        given = settings(models={"providers": {"lab": lab}}, **{"agents": agents, **config})
        (folder / "portico.json").write_text(json.dumps(given))
        async with house(folder, given) as inside, listening(inside.gateway) as url:
            yield Led(inside.gateway, url=url)
