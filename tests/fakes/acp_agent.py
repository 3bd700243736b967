"""A well-behaved agent that speaks the Agent Client Protocol, made with its SDK.

What it does stands in the prompt, one word and its arguments; anything else it repeats. Sessions
are kept in the folder `ACP_STORE` names, when there is one, and can then be loaded.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from acp import PROTOCOL_VERSION, run_agent, schema

STORE = os.environ.get("ACP_STORE")
OPTIONS = [
    schema.PermissionOption(option_id=f"the-{kind}", name=kind, kind=kind)
    for kind in ("allow_once", "allow_always", "reject_once", "reject_always")
]


class Sample:
    def __init__(self) -> None:
        self.client: Any = None
        self.said: dict[str, list[str]] = {}
        self.cancelled: dict[str, asyncio.Event] = {}
        self.calls = 0

    def on_connect(self, conn: Any) -> None:
        self.client = conn

    async def initialize(self, protocol_version: int, **_: Any) -> schema.InitializeResponse:
        return schema.InitializeResponse(
            protocol_version=PROTOCOL_VERSION,
            agent_capabilities=schema.AgentCapabilities(
                load_session=STORE is not None,
                prompt_capabilities=schema.PromptCapabilities(image=True, embedded_context=True),
            ),
            agent_info=schema.Implementation(name="sample", version="1"),
        )

    async def authenticate(self, method_id: str, **_: Any) -> schema.AuthenticateResponse:
        os.environ["LOGGED_IN"] = method_id
        return schema.AuthenticateResponse()

    async def new_session(self, cwd: str, **_: Any) -> schema.NewSessionResponse:
        session_id = f"sample-{os.getpid()}-{len(self.said)}"
        self.said[session_id] = []
        return schema.NewSessionResponse(session_id=session_id)

    async def load_session(self, session_id: str, **_: Any) -> schema.LoadSessionResponse:
        kept = self._file(session_id)
        if not kept.is_file():
            raise ValueError("no such session")
        self.said[session_id] = json.loads(kept.read_text())
        telling = self._replay(session_id)
        if os.environ.get("ACP_TELLS_LATE"):
            self.telling = asyncio.create_task(telling)
        else:  # as the protocol has it
            await telling
        return schema.LoadSessionResponse()

    async def _replay(self, session_id: str) -> None:
        for text in list(self.said[session_id]):
            await asyncio.sleep(0.02)
            await self._say(session_id, f"replayed {text}")

    async def cancel(self, session_id: str, **_: Any) -> None:
        if session_id in self.cancelled:
            self.cancelled[session_id].set()

    async def prompt(self, session_id: str, prompt: list[Any], **_: Any) -> schema.PromptResponse:
        text = next((b.text for b in reversed(prompt) if b.type == "text"), "")
        self.said[session_id].append(text)
        if STORE is not None:
            self._file(session_id).write_text(json.dumps(self.said[session_id]))
        word, rest = text.partition(" ")[::2]
        act = getattr(self, f"do_{word}", None)
        stop: Any
        if act is None:
            stop = await self._echo(session_id, text)
        else:
            stop = await act(session_id, rest, prompt)
        usage = schema.Usage(input_tokens=11, output_tokens=7, total_tokens=18)
        return schema.PromptResponse(stop_reason=stop or "end_turn", usage=usage)

    async def _echo(self, session_id: str, text: str) -> Any:
        await self._say(session_id, "You said: ")
        await self._say(session_id, text)

    async def do_think(self, session_id: str, rest: str, _: Any) -> None:
        block = schema.TextContentBlock(type="text", text="hm")
        chunk = schema.AgentThoughtChunk(session_update="agent_thought_chunk", content=block)
        await self.client.session_update(session_id, chunk)
        entries = [
            schema.PlanEntry(content="look", priority="high", status="completed"),
            schema.PlanEntry(content="leap", priority="low", status="in_progress"),
        ]
        plan = schema.AgentPlanUpdate(session_update="plan", entries=entries)
        await self.client.session_update(session_id, plan)
        await self._say(session_id, "thought")

    async def do_tool(self, session_id: str, rest: str, _: Any) -> None:
        kind, _, ending = rest.partition(" ")
        await self._tool(session_id, kind, ending or "completed")
        await self._say(session_id, "used")

    async def do_permit(self, session_id: str, rest: str, _: Any) -> None:
        kind, _, command = rest.partition(" ")
        self.calls += 1
        call = schema.ToolCallUpdate(
            tool_call_id=f"call-{self.calls}",
            title=f"Run {command}" if command else "Do it",
            kind=kind,  # type: ignore[arg-type]  # one of them
            raw_input={"command": command} if command else {"path": "/x", "content": "y" * 5000},
        )
        answer = await self.client.request_permission(
            session_id=session_id, tool_call=call, options=OPTIONS
        )
        outcome = answer.outcome
        if outcome.outcome == "cancelled":
            await self._say(session_id, "not answered")
            return
        if "allow" in outcome.option_id:
            Path("acted").write_text(command)
        await self._say(session_id, f"chosen {outcome.option_id}")

    async def do_wait(self, session_id: str, rest: str, _: Any) -> str:
        self.cancelled[session_id] = asyncio.Event()
        await self._say(session_id, "waiting")
        await self.cancelled[session_id].wait()
        return "cancelled"

    async def do_stop(self, session_id: str, rest: str, _: Any) -> str:
        return rest

    async def do_fail(self, session_id: str, rest: str, _: Any) -> None:
        raise RuntimeError("planted failure")

    async def do_exit(self, session_id: str, rest: str, _: Any) -> None:
        print("planted last words", file=sys.stderr, flush=True)
        os._exit(int(rest))

    async def do_tell(self, session_id: str, rest: str, prompt: list[Any]) -> None:
        facts = {
            "pid": os.getpid(),
            "session": session_id,
            "cwd": str(Path.cwd()),
            "env": dict(os.environ),
            "said": self.said[session_id],
            "blocks": [block.model_dump(mode="json", exclude_none=True) for block in prompt],
        }
        await self._say(session_id, json.dumps(facts))

    async def _tool(self, session_id: str, kind: str, status: str) -> None:
        self.calls += 1
        call_id = f"call-{self.calls}"
        start = schema.ToolCallStart(
            session_update="tool_call",
            tool_call_id=call_id,
            title=f"A {kind}",
            kind=kind,  # type: ignore[arg-type]  # one of them
            status="pending",
            raw_input={"of": kind},
        )
        await self.client.session_update(session_id, start)
        block = schema.TextContentBlock(type="text", text="result")
        end = schema.ToolCallProgress(
            session_update="tool_call_update",
            tool_call_id=call_id,
            status=status,  # type: ignore[arg-type]  # one of them
            content=[schema.ContentToolCallContent(type="content", content=block)],
        )
        await self.client.session_update(session_id, end)

    async def _say(self, session_id: str, text: str) -> None:
        block = schema.TextContentBlock(type="text", text=text)
        chunk = schema.AgentMessageChunk(session_update="agent_message_chunk", content=block)
        await self.client.session_update(session_id, chunk)

    @staticmethod
    def _file(session_id: str) -> Path:
        return Path(STORE or ".") / f"{session_id}.json"


if __name__ == "__main__":
    sample: Any = Sample()  # has what is called; the SDK's protocol names more
    asyncio.run(run_agent(sample))
