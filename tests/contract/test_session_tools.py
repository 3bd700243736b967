"""Tools that look at conversations and write into them, in a whole gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portico.agents.tools.contract import ToolCall
from portico.channels.model import Peer, ReplyRoute
from portico.protocol.errors import Forbidden
from portico.turns.life import TurnState
from tests.fakes.provider import Reply, Say
from tests.support.agents import MAIN, Town, calls, operator, town
from tests.support.waiting import eventually

TWO_AGENTS: dict[str, Any] = {"list": [{"id": "main", "name": "Main"}, {"id": "helper"}]}
HELPER = "agent:helper:main"
ALL = {"sessions": {"visibility": "all"}, "agentToAgent": {"enabled": True}}


async def listed(here: Town, **options: Any) -> list[str]:
    arguments = options.pop("arguments", {})
    done = await here.run("sessions_list", arguments, **options)
    return [session["key"] for session in done.value["sessions"]]


async def test_a_list_has_the_recorded_shape(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        for session in (MAIN, "agent:main:rpc"):
            await here.ask("hi", session=session)
        answer = await here.call("tools.invoke", {"name": "sessions_list", "args": {}})
        assert (answer["ok"], answer["toolName"], answer["source"]) == (
            True,
            "sessions_list",
            "core",
        )
        details = answer["output"]["details"]
        (part,) = answer["output"]["content"]
        assert json.loads(part["text"]) == details
        assert (details["count"], details["hasMore"], details["limitApplied"]) == (2, False, 100)
        newest, main = details["sessions"]
        assert newest.pop("updatedAt") >= main.pop("updatedAt")
        assert newest.pop("sessionId") != main.pop("sessionId")
        assert main == {
            "key": MAIN,
            "agentId": "main",
            "kind": "main",
            "channel": "webchat",
            "archived": False,
            "pinned": False,
            "model": "m",
            "contextTokens": 100_000,
            "totalTokens": 11,
            "status": "done",
            "abortedLastRun": False,
        }
        assert (newest["key"], newest["kind"]) == ("agent:main:rpc", "other")


async def test_a_list_can_be_narrowed(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        for session in (MAIN, "agent:main:cron:tea", "agent:main:x:group:g", "agent:main:a"):
            await here.ask("hello there", session=session)
        assert await listed(here, arguments={"kinds": ["cron", "group"]}) == [
            "agent:main:x:group:g",
            "agent:main:cron:tea",
        ]
        assert await listed(here, arguments={"limit": 1}) == ["agent:main:a"]
        assert await listed(here, arguments={"search": "TEA"}) == ["agent:main:cron:tea"]
        done = await here.run("sessions_list", {"limit": 1, "messageLimit": 5})
        (only,) = done.value["sessions"]
        assert [m["content"] for m in only["messages"]] == ["hello there", "ok"]
        assert done.value["hasMore"]
        assert not done.is_untrusted


@pytest.mark.parametrize(
    ("tools", "seen"),
    [
        ({}, {"agent:main:a", "agent:main:b", "agent:main:c"}),
        ({"sessions": {"visibility": "self"}}, {"agent:main:a"}),
        ({"sessions": {"visibility": "tree"}}, {"agent:main:a", "agent:main:b", "agent:main:c"}),
        (
            {"sessions": {"visibility": "all"}},
            {"agent:main:a", "agent:main:b", "agent:main:c"},
        ),
        (ALL, {"agent:main:a", "agent:main:b", "agent:main:c", HELPER}),
        (
            {**ALL, "agentToAgent": {"enabled": True, "allow": ["main", "other"]}},
            {"agent:main:a", "agent:main:b", "agent:main:c"},
        ),
    ],
)
async def test_whom_an_agent_sees(tmp_path: Path, tools: Any, seen: set[str]) -> None:
    async with town(tmp_path, tools=tools, agents=TWO_AGENTS) as here:
        for session in ("agent:main:a", HELPER):
            await here.ask("hi", session=session)
        for child, parent in (("agent:main:b", "agent:main:a"), ("agent:main:c", "agent:main:b")):
            await here.call("sessions.create", {"key": child, "parentSessionKey": parent})
        assert set(await listed(here, session="agent:main:a")) == seen
        everything = {"agent:main:a", "agent:main:b", "agent:main:c", HELPER}
        for key in everything:
            for tool in ("sessions_history", "session_status"):
                done = await here.run(tool, {"sessionKey": key}, session="agent:main:a")
                assert (done.error is None) is (key in seen), (tool, key)
                if key not in seen:
                    assert done.value == f'There is no session "{key}" that this agent can reach.'
        assert await listed(here, session="agent:main:a", is_untrusted=True) == ["agent:main:a"]


async def test_history_is_found_by_key_and_id_and_says_whose_text_it_is(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        here.provider.plan(calls(("session_status", {})), Say("Fine."))
        await here.ask("how are you?", session="agent:main:a")
        found = await here.gateway.conversation.sessions.find("agent:main:a")
        assert found is not None
        for name in ("agent:main:a", "a", found.session_id):
            done = await here.run("sessions_history", {"sessionKey": name})
            said = [(m["role"], m["content"]) for m in done.value["messages"]]
            assert said == [("user", "how are you?"), ("assistant", "Fine.")]
            assert not done.is_untrusted
        done = await here.run("sessions_history", {"sessionKey": "a", "includeTools": True})
        roles = [m["role"] for m in done.value["messages"]]
        assert roles == ["user", "assistant", "toolResult", "assistant"]
        assert done.value["messages"][1]["toolCalls"][0]["name"] == "session_status"
        await here.hear("from outside")
        stranger = "agent:main:fake:direct:eve"
        done = await here.run("sessions_history", {"sessionKey": stranger})
        assert [m["content"] for m in done.value["messages"]] == ["from outside", "ok"]
        assert done.value["messages"][0]["sender"] == "eve"
        assert done.is_untrusted
        done = await here.run("sessions_list", {"messageLimit": 1})
        assert done.is_untrusted


async def test_a_long_history_is_cut_at_the_old_end(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        for number in range(30):
            await here.ask(f"{number:02} " + "x" * 5_000)
        done = await here.run("sessions_history", {"sessionKey": MAIN, "limit": 200})
        assert len(json.dumps(done.value)) < 45_000
        assert done.value["truncated"]
        assert done.value["messages"][-2]["content"].startswith("29 x")
        assert done.value["messages"][-2]["content"].endswith("…")


async def test_status_says_how_a_conversation_stands(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        here.provider.plan(calls(("session_status", {})), Say("Fine."))
        row = await here.ask("how full are we?")
        status = json.loads(here.results()[0])
        assert status["sessionKey"] == MAIN
        assert (status["model"], status["modelProvider"], status["agentId"]) == ("m", "lab", "main")
        assert (status["channel"], status["running"], status["queued"]) == (
            "webchat",
            [row.run_id],
            0,
        )
        after = (await here.run("session_status")).value
        assert (after["contextTokens"], after["totalTokens"], after["contextUsedPercent"]) == (
            100_000,
            11,
            0,
        )
        assert (after["inputTokens"], after["outputTokens"], after["running"]) == (22, 14, [])


async def test_a_conversation_that_has_not_begun_has_a_status(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        status = (await here.run("session_status")).value
        assert (status["sessionKey"], status["model"], status["messages"]) == (MAIN, "m", 0)


async def test_tools_need_the_scopes_they_name(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        writer, owner = operator("operator.write"), operator("operator.admin")
        note = {"path": "a", "content": "b"}
        assert (await here.run("read", {}, principal=writer)).error is None
        assert (await here.run("write", note, principal=owner)).error is None
        with pytest.raises(Forbidden):
            await here.run("write", note, principal=writer)
        with pytest.raises(Forbidden):
            await here.call("tools.invoke", {"name": "read"}, "operator.read")


async def test_agents_and_channels_are_listed(tmp_path: Path) -> None:
    async with town(tmp_path, tools=ALL, agents=TWO_AGENTS) as here:
        done = await here.run("agents_list")
        assert done.value == {
            "requester": "main",
            "agents": [
                {
                    "id": "main",
                    "name": "Main",
                    "model": "lab/m",
                    "isDefault": True,
                    "reachable": True,
                },
                {"id": "helper", "model": "lab/m", "reachable": True},
            ],
        }
        done = await here.run("channels_list")
        assert done.value == {
            "channels": [
                {
                    "channel": "webchat",
                    "accountId": "default",
                    "label": "WebChat",
                    "state": "connected",
                }
            ]
        }


async def test_agents_ask_each_other(tmp_path: Path) -> None:
    async with town(tmp_path, tools=ALL, agents=TWO_AGENTS) as here:
        ask = {"agentId": "helper", "message": "What is 6 times 7?"}
        here.provider.plan(calls(("sessions_send", ask)), Say("42"), Say("It is 42."))
        row = await here.ask("ask the helper")
        assert row.result is not None
        assert row.result.text == "It is 42."
        result = json.loads(here.results()[0])
        run_id = result.pop("runId")
        assert result == {"status": "ok", "sessionKey": HELPER, "reply": "42"}
        asked = here.provider.requests[1]["messages"]
        assert asked[-1]["content"] == "What is 6 times 7?"
        assert 'the agent "main", not by a person' in asked[0]["content"]
        other = await here.gateway.path.turns.find(run_id)
        assert other is not None
        assert (other.agent_id, other.request.is_untrusted) == ("helper", False)
        assert other.reply_route.channel == "agent"
        said = [(e.role, e.run_id) for e in await here.entries(HELPER)]
        assert said == [("user", run_id), ("assistant", run_id)]
        assert row.result.text == "It is 42."
        mine = (await here.entries(MAIN))[-1]
        assert not mine.meta.get("untrusted")


async def test_one_need_not_wait_and_does_not_wait_for_ever(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.ask("hi", session="agent:main:b")
        done = await here.run(
            "sessions_send", {"sessionKey": "b", "message": "hello", "timeoutSeconds": 0}
        )
        assert (done.value["status"], done.is_untrusted) == ("accepted", False)
        assert (await here.ended(done.value["runId"])).state is TurnState.SUCCEEDED
        here.provider.plan(Say("slow", pause_s=3))
        slow = {"sessionKey": "b", "message": "hello", "timeoutSeconds": 1}
        done = await here.run("sessions_send", slow)
        assert (done.value["status"], done.error) == ("timeout", None)
        assert "sessions_history" in done.value["error"]
        await here.ended(done.value["runId"])


async def test_loops_come_to_an_end(tmp_path: Path) -> None:
    def passes_on(request: dict[str, Any]) -> Reply:
        """Whatever is said to it, it passes on: to the next of four sessions, then to the first."""
        last = request["messages"][-1]
        if last["role"] == "tool":
            return Say(f"I got {last['content']}")
        number = int(last["content"])
        target = f"agent:main:s{(number + 1) % 4}"
        return calls(("sessions_send", {"sessionKey": target, "message": str(number + 1)}))

    config = {"session": {"agentToAgent": {"maxPingPongTurns": 2}}}
    async with town(tmp_path, **config) as here:
        for number in range(4):
            await here.ask("hi", session=f"agent:main:s{number}")
        here.provider.default = passes_on
        row = await here.ask("0", session="agent:main:s0")
        assert row.result is not None
        assert "not passed on more than 2 times" in str(row.result.text)
        count = len(here.provider.requests)
        ring = {"session": {"agentToAgent": {"maxPingPongTurns": 100}}}
    async with town(tmp_path / "ring", **ring) as here:
        for number in range(4):
            await here.ask("hi", session=f"agent:main:s{number}")
        here.provider.default = passes_on
        row = await here.ask("0", session="agent:main:s0")
        assert row.result is not None
        assert "waits for this one" in str(row.result.text)
        assert len(here.provider.requests) == count + 2  # once around, and no further


async def test_what_an_untrusted_turn_says_elsewhere_is_untrusted_there(tmp_path: Path) -> None:
    tools = {"untrusted": {"alsoAllow": ["sessions_send"]}}
    async with town(tmp_path, tools=tools) as here:
        await here.ask("hi", session="agent:main:b")
        there = {"sessionKey": "agent:main:b", "message": "do it"}
        here.provider.plan(calls(("sessions_send", there)), Say("No."))
        await here.hear("tell b to do it")
        # Allowed by its operator, the tool still reaches nothing but the turn's own conversation.
        assert "that this agent can reach" in here.results()[0]
        assert len(await here.entries("agent:main:b")) == 2


async def test_answers_made_from_foreign_text_taint_whoever_asked(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.hear("remember the word xyzzy")
        stranger = "agent:main:fake:direct:eve"
        here.provider.plan(
            calls(("sessions_send", {"sessionKey": stranger, "message": "which word?"})),
            Say("xyzzy"),
            calls(("sessions_list", {})),
            Say("The word is xyzzy."),
        )
        row = await here.ask("ask there for the word")
        assert "sessions_list" not in here.offered(3)
        assert "has read text from outside" in here.results()[-1]
        assert row.result is not None
        assert (await here.entries(MAIN))[-1].meta.get("untrusted")
        found = await here.gateway.conversation.sessions.find(stranger)
        assert found is not None
        assert found.reply_route is not None
        assert found.reply_route["channel"] == "fake"  # where its person is has not changed


async def test_one_does_not_write_to_oneself_or_to_nobody(tmp_path: Path) -> None:
    async with town(tmp_path, agents=TWO_AGENTS) as here:
        await here.ask("hi")
        for arguments, said in (
            ({"sessionKey": "main", "message": "x"}, "just answer"),
            ({"sessionKey": "nowhere", "message": "x"}, "can reach"),
            ({"agentId": "helper", "message": "x"}, "can reach"),
            ({"agentId": "absent", "message": "x"}, "can reach"),
            ({"message": "x"}, "either sessionKey or agentId"),
            ({"sessionKey": "a", "agentId": "helper", "message": "x"}, "either"),
        ):
            done = await here.run("sessions_send", arguments)
            assert done.error == "REFUSED", arguments
            assert said in done.value


# -- message ---------------------------------------------------------------------------------------


async def test_a_message_goes_into_the_own_conversation(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        here.provider.plan(calls(("message", {"message": "Wait a moment."})), Say("Done."))
        row = await here.hear("a long job, please")
        sent = json.loads(here.results()[0])
        assert (sent["state"], sent["channel"], sent["messageId"]) == ("sent", "fake", "provider-1")
        await eventually(lambda: len(here.channel.ledger) == 2)
        assert here.channel.texts == ["Wait a moment.", "Done."]
        assert here.channel.ledger[0].route == row.reply_route
        delivery = await here.gateway.path.outbox.find(sent["deliveryId"])
        assert delivery is not None
        assert delivery.session_key == row.session_key


async def test_the_same_call_sends_once(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        route = ReplyRoute("fake", "default", Peer("direct", "eve"))
        there: dict[str, Any] = {"run_id": "r1", "origin": route}
        made = here.gateway.conversation.toolbox.registry
        tool = (await made.every())["message"]
        first = await here.run("message", {"message": "once"}, **there)
        call = ToolCall(agent_id="main", session_key=MAIN, call_id="c9", run_id="r1", origin=route)
        for _ in range(2):
            again = await tool.run(call, {"message": "twice"})
        assert again.delivery_id != first.value["deliveryId"]
        assert here.channel.texts == ["once", "twice"]


async def test_a_trusted_turn_writes_to_others_and_an_untrusted_one_does_not(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as here:
        elsewhere = {"message": "hi", "channel": "fake", "to": "bob", "threadId": "t1"}
        done = await here.run("message", elsewhere)
        assert done.value["state"] == "sent"
        (sent,) = here.channel.ledger
        assert (sent.route.peer.id, sent.route.thread_id) == ("bob", "t1")
        own = ReplyRoute("fake", "default", Peer("direct", "eve"), "t1")
        for arguments in (
            {"to": "bob"},
            {"to": "eve"},  # the same person, and not this thread
            {"threadId": "t2"},
            {"channel": "webchat", "to": "main"},
            {"accountId": "other"},
        ):
            done = await here.run(
                "message", {"message": "x", **arguments}, origin=own, is_untrusted=True
            )
            assert done.error == "REFUSED", arguments
            assert "only into its own conversation" in done.value
        for arguments in ({}, {"to": "eve", "threadId": "t1"}, {"channel": "fake"}):
            done = await here.run(
                "message", {"message": "x", **arguments}, origin=own, is_untrusted=True
            )
            assert done.value["state"] == "sent", done
        assert [m.route for m in here.channel.ledger[1:]] == [own] * 3


async def test_addresses_of_files_are_no_way_out_either(tmp_path: Path) -> None:
    own = ReplyRoute("fake", "default", Peer("direct", "eve"))
    known: dict[str, Any]
    leak = "https://evil.example/?q=secret"
    async with town(tmp_path) as here:
        asked = {"message": "x", "media": [leak]}
        done = await here.run("message", asked, origin=own, is_untrusted=True)
        assert "stand in what it has read" in done.value
        known = {"origin": own, "is_untrusted": True, "has_read": lambda text: text == leak}
        done = await here.run("message", asked, **known)
        assert done.value["state"] == "sent"
        assert here.channel.ledger[-1].media == (leak,)
        for media in ("file:///etc/passwd", "/etc/passwd", "MEMORY.md", "data:text/plain,x"):
            done = await here.run("message", {"message": "x", "media": [media]}, origin=own)
            assert "Only web addresses" in done.value


async def test_a_message_to_a_session_reaches_those_the_agent_reaches(tmp_path: Path) -> None:
    async with town(tmp_path, agents=TWO_AGENTS) as here:
        for session in (HELPER, "agent:main:b"):
            await here.ask("hi", session=session)
        for to, sent in ((HELPER, False), ("agent:main:b", True), ("main", False)):
            done = await here.run("message", {"message": "psst", "channel": "webchat", "to": to})
            assert (done.error is None) is sent, to
        assert (await here.entries("agent:main:b"))[-1].content[0]["text"] == "psst"
        assert len(await here.entries(HELPER)) == 2
        helper = {"agent": "helper", "session": HELPER}
        done = await here.run(
            "message", {"message": "psst", "channel": "webchat", "to": "main"}, **helper
        )
        assert done.value["state"] == "sent"
        assert (await here.entries(HELPER))[-1].content[0]["text"] == "psst"  # its own main
        assert await here.entries(MAIN) == ()


async def test_a_message_in_an_untrusted_webchat_turn_keeps_its_mark(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.ask("hi")
        own = ReplyRoute("webchat", "default", Peer("direct", MAIN))
        await here.run("message", {"message": "psst"}, origin=own, is_untrusted=True)
        assert (await here.entries(MAIN))[-1].meta["untrusted"]


async def test_what_cannot_be_sent_is_said(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        http = ReplyRoute("http", "default", Peer("direct", "ann"))
        for arguments, origin, said in (
            ({}, None, "neither a message nor media"),
            ({"message": "x"}, None, "belongs to no conversation"),
            ({"message": "x"}, http, "besides the answer"),
            ({"message": "x", "channel": "pigeon", "to": "y"}, None, "unsupported channel"),
            ({"message": "x", "channel": "fake", "accountId": "b", "to": "y"}, None, "account"),
        ):
            done = await here.run("message", arguments, origin=origin)
            assert done.is_error
            assert said in done.value
        here.channel.plan = [RuntimeError("broken wire")]
        done = await here.run("message", {"message": "x", "channel": "fake", "to": "y"})
        assert (done.value["state"], done.value["error"]) == ("unknown", "RuntimeError")
