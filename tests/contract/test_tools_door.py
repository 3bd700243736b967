"""`POST /tools/invoke` where it takes a gateway of the test's own making."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from portico.agents.tools.contract import ToolArgs, ToolCall, tool
from tests.support.http import House, house, settings


class Nothing(ToolArgs, frozen=True):
    pass


class Broken:
    @tool("broken", group="other")
    async def broken(self, call: ToolCall, args: Nothing) -> Any:
        """Break."""
        raise OSError("the disk at /secret is full")


async def invoke(inside: House, body: Any, **headers: str) -> tuple[int, Any]:
    answer = await inside.client.post("/tools/invoke", json=body, headers=headers)
    return answer.status_code, answer.json()


async def test_what_breaks_inside_is_not_told(tmp_path: Path) -> None:
    async with house(tmp_path, settings()) as inside:
        inside.gateway.conversation.toolbox.registry.add(Broken())
        status, told = await invoke(inside, {"tool": "broken"})
        assert (status, told["ok"], told["error"]["type"]) == (500, False, "failed")
        assert "secret" not in told["error"]["message"]


async def test_without_authentication_foreign_pages_call_nothing(tmp_path: Path) -> None:
    config = {"gateway": {"auth": {"mode": "none"}}}
    async with house(tmp_path, config, headers={}) as inside:
        body = {"tool": "session_status"}
        assert (await invoke(inside, body))[0] == 200
        for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
            status, told = await invoke(inside, body, **headers)
            assert (status, told["ok"]) == (403, False)


async def test_agent_and_session_are_chosen_by_the_caller(tmp_path: Path) -> None:
    config = settings(agents={"list": [{"id": "main"}, {"id": "b", "tools": {"deny": ["read"]}}]})
    async with house(tmp_path, config) as inside:
        _, told = await invoke(inside, {"tool": "session_status", "sessionKey": "agent:b:x"})
        details = told["result"]["details"]
        assert (details["sessionKey"], details["agentId"]) == ("agent:b:x", "b")
        assert (await invoke(inside, {"tool": "read", "agentId": "main"}))[0] == 200
        assert (await invoke(inside, {"tool": "read", "agentId": "b"}))[0] == 404
        assert (await invoke(inside, {"tool": "read", "agentId": "nobody"}))[0] == 400
