"""The gateway message API, asked over HTTP, against its documented behaviours.

Each test names the numbers of the behaviours it covers:

| number | behaviour | test |
|---|---|---|
| 1 | session ids | test_session_ids_*, test_a_direct_message_without_from_* |
| 2 | allowlist | test_only_allowed_users_* |
| 3, 4 | mention gating | test_a_thread_message_*, test_gating_without_patterns_* |
| 5-8 | content parts and sizes | test_gateway_messages_parts.py |
| 11 | prompts of one request | test_prompts_of_a_request_* |
| 16 | health | test_health_* |
| 17, 18 | one run at a time, lanes are reclaimed | test_two_requests_of_one_session_* |
| 19, 20 | status and cancel | test_status_*, test_cancel_* |
| 21, 22 | failures, empty replies | test_a_failing_agent_*, test_an_empty_reply_* |
| 23, 24 | reply and usage | test_the_final_text_wins_*, test_usage_* |
| 25 | models | test_an_unknown_model_* |
| 26-37 | streams | test_gateway_messages_stream.py, unit/web/test_{stream,progress}.py |
| 38 | paths | test_paths_* |

Deliberately better than the behaviours: 16 says more and also knows HEAD; 19 has no 501 and knows
queued and finished requests; 20 tells the state; 21 does not leak the error's text; a body that is
too large is 413, not 400; a gated message is kept as context; repeats are recognised (409 for
another content); a full lane is 429. Not of this API: 9, 10 (uploads are kept by the runtime's
workspace), 12-15 (hooks of the other implementation's runner and recorder), 39-55.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from portico.agents.runtime import Failed, Final, ModelUsed, TextDelta, Usage
from portico.protocol.errors import Unavailable
from portico.rpc.call import Call
from portico.store.unusable import DatabaseAway
from tests.support.house import principal
from tests.support.http import (
    CANCEL,
    MESSAGES,
    STATUS,
    STREAM,
    House,
    Scripted,
    house,
    settings,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


async def queued_behind(inside: House, runtime: Scripted, **fields: str) -> asyncio.Task[object]:
    """Send `first`, wait until it runs, send `second` behind it; return the second's task."""
    first = inside.gateway.ground.tasks.start(inside.say("one", request_id="first"), name="first")
    del first
    await eventually(lambda: runtime.running == 1)
    second = inside.gateway.ground.tasks.start(
        inside.say("two", request_id="second", **fields), name="second"
    )
    await inside.until("second", "queued")
    return second


async def test_a_body_that_is_nested_too_deeply_is_the_senders_mistake(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        answer = await inside.client.post(MESSAGES, content='{"x":' * 90_000 + "1" + "}" * 90_000)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith("decode json: ")


async def test_a_database_that_is_away_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise DatabaseAway("connection was closed")

    async with house(tmp_path) as inside:
        monkeypatch.setattr(inside.gateway.ground.store, "write", away)
        answer = await inside.client.post(MESSAGES, json={"from": "ann", "text": "hi"})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        call = Call(principal("operator.write"))
        raw = b'{"sessionKey":"main","message":"hi","idempotencyKey":"1"}'
        with pytest.raises(Unavailable) as caught:
            await inside.gateway.front.dispatcher.request("chat.send", raw, call)
        assert caught.value.details["code"] == "DATABASE_UNAVAILABLE"
        monkeypatch.undo()


async def test_session_ids_are_the_documented_ones(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        for fields, session_id in (
            ({}, "http:dm:ann"),
            ({"channel": " telegram "}, "telegram:dm:ann"),
            ({"thread": "T1"}, "http:thread:T1"),
            ({"from": "Ann"}, "http:dm:Ann"),
            ({"session_id": "Mine"}, "Mine"),
            ({"session_id": "agent:main:x"}, "agent:main:x"),
        ):
            answer = await inside.client.post(
                MESSAGES, json={"from": "ann", "text": "hi", **fields}
            )
            assert answer.status_code == 200, answer.text
            assert answer.json()["session_id"] == session_id
            assert answer.json()["reply"] == "Echo: hi"


async def test_sessions_that_differ_in_case_are_different(tmp_path: Path) -> None:
    runtime = Scripted(held=True)
    async with house(tmp_path, runtime=runtime) as inside:
        for number, session in enumerate(("Mine", "mine", "MINE", "http:dm:Ann", "http:dm:ann")):
            inside.gateway.ground.tasks.start(
                inside.say("x", session_id=session, request_id=f"r{number}"), name=session
            )
        await eventually(lambda: runtime.running == 5)
        runtime.go.set()


async def test_a_direct_message_without_from_has_no_session(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        answer = await inside.client.post(MESSAGES, json={"user_id": "u", "text": "hi"})
        assert answer.status_code == 400
        assert answer.json()["error"] == {
            "type": "invalid_request",
            "message": "missing from for dm session id",
        }
        explicit = {"user_id": "u", "text": "hi", "session_id": "s"}
        assert (await inside.client.post(MESSAGES, json=explicit)).status_code == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"from": "a"}, "missing text"),
        ({"from": "a", "text": "  "}, "missing text"),
        ({"text": "hi"}, "missing user_id or from"),
        ({"from": "a", "text": "hi", "channel": "a:b"}, "channel must not contain ':'"),
        ({"from": "a", "text": "hi", "session_id": "agent::x"}, "malformed session key"),
        ({"from": "a", "text": "hi", "session_id": "agent:nobody:x"}, "unknown agent id"),
        ({"from": "a", "text": "hi", "request_id": "x" * 300}, "request_id has more than"),
        ({"from": "a\nb", "text": "hi"}, "cannot be printed"),
        ({"from": 1, "text": "hi"}, "decode json"),
        ([], "decode json"),
    ],
)
async def test_requests_that_cannot_be_understood(
    tmp_path: Path, body: object, message: str
) -> None:
    async with house(tmp_path) as inside:
        for path in (MESSAGES, STREAM):
            answer = await inside.client.post(path, json=body)
            assert answer.status_code == 400
            assert answer.json()["error"]["type"] == "invalid_request"
            assert message in answer.json()["error"]["message"]


async def test_bad_json_is_400_and_unknown_fields_are_ignored(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        broken = await inside.client.post(MESSAGES, content=b"{")
        assert (broken.status_code, broken.json()["error"]["type"]) == (400, "invalid_request")
        assert (await inside.say("hi", nobody_knows="this")).status_code == 200


async def test_a_credential_is_needed(tmp_path: Path) -> None:
    async with house(tmp_path, headers={}) as inside:
        calls = (
            ("POST", MESSAGES),
            ("POST", STREAM),
            ("GET", STREAM),
            ("GET", STATUS),
            ("POST", CANCEL),
        )
        for method, path in calls:
            answer = await inside.client.request(method, path, json={"from": "a", "text": "b"})
            assert answer.status_code == 401
            assert answer.json() == {"error": {"type": "unauthorized", "message": "Unauthorized"}}
            assert answer.headers["www-authenticate"] == "Bearer"
        wrong = {"authorization": "Bearer something-else"}
        assert (await inside.client.get(STATUS, headers=wrong)).status_code == 401


async def test_loopback_may_be_opened_but_not_for_pages_of_others(tmp_path: Path) -> None:
    async with house(tmp_path, settings({"http": {"open": True}}), headers={}) as inside:
        assert (await inside.say("hi")).status_code == 200
        body = {"from": "ann", "text": "hi"}
        page = {"origin": "https://evil.example"}
        assert (await inside.client.post(MESSAGES, json=body, headers=page)).status_code == 403
        proxied = {"x-forwarded-for": "203.0.113.9"}
        assert (await inside.client.post(MESSAGES, json=body, headers=proxied)).status_code == 403
        other_name = {"host": "evil.example"}
        assert (
            await inside.client.post(MESSAGES, json=body, headers=other_name)
        ).status_code == 403


async def test_without_authentication_foreign_pages_and_names_stay_out(tmp_path: Path) -> None:
    config = {"gateway": {"auth": {"mode": "none"}}}
    async with house(tmp_path, config, headers={}) as inside:
        assert (await inside.say("hi", request_id="r")).status_code == 200
        assert (await inside.status("r")).status_code == 200
        for headers in ({"origin": "https://evil.example"}, {"host": "evil.example:18789"}):
            asked = await inside.client.get(STATUS, params={"request_id": "r"}, headers=headers)
            assert asked.status_code == 403
            assert asked.json()["error"]["type"] == "forbidden"
        own = {"origin": "http://127.0.0.1:18789"}
        asked = await inside.client.get(STATUS, params={"request_id": "r"}, headers=own)
        assert asked.status_code == 200


async def test_only_allowed_users_reach_the_agent(tmp_path: Path) -> None:
    runtime = Scripted()
    config = settings({"messages": {"allowUsers": ["ann"]}})
    async with house(tmp_path, config, runtime=runtime) as inside:
        assert (await inside.say("hi")).status_code == 200
        for fields in ({"from": "bob"}, {"from": "ann", "user_id": "bob"}):
            refused = await inside.client.post(MESSAGES, json={"text": "hi", **fields})
            assert refused.status_code == 403
            assert refused.json()["error"] == {
                "type": "unauthorized",
                "message": "user is not allowed",
                "details": {"code": "SENDER_NOT_ALLOWED"},
            }
        assert len(runtime.seen) == 1


async def test_an_empty_allowlist_allows_nobody(tmp_path: Path) -> None:
    async with house(tmp_path, settings({"messages": {"allowUsers": []}})) as inside:
        assert (await inside.say("hi")).status_code == 403


async def test_a_thread_message_without_a_mention_is_ignored(tmp_path: Path) -> None:
    runtime = Scripted()
    config = settings({"messages": {"requireMention": True, "mentionPatterns": ["@bot"]}})
    async with house(tmp_path, config, runtime=runtime) as inside:
        ignored = await inside.say("hello all", thread="T")
        assert (ignored.status_code, ignored.json()) == (200, {"ignored": True})
        parts = [{"type": "text", "text": "in a part"}]
        ignored = await inside.client.post(
            MESSAGES, json={"from": "ann", "thread": "T", "content_parts": parts}
        )
        assert ignored.json() == {"ignored": True}
        assert runtime.seen == []
        assert (await inside.say("hello @bot", thread="T")).json()["reply"] == "done"
        mentioned = [{"type": "text", "text": "hey @bot"}]
        answer = await inside.client.post(
            MESSAGES, json={"from": "ann", "thread": "T", "content_parts": mentioned}
        )
        assert answer.json()["reply"] == "done"
        assert (await inside.say("hello all")).json()["reply"] == "done"


async def test_gating_without_patterns_refuses_to_start(tmp_path: Path) -> None:
    config = settings({"messages": {"requireMention": True}})
    with pytest.raises(Exception, match="mentionPatterns"):
        async with house(tmp_path, config):
            pass


async def test_prompts_of_a_request_stay_out_of_the_text(tmp_path: Path) -> None:
    runtime = Scripted()
    async with house(tmp_path, runtime=runtime) as inside:
        await inside.say(
            "hi",
            request_system_prompt=" be brief ",
            request_late_context_prompt="it rains",
            model=" fast ",
            extensions={"openclaw.runtime_profile": {"profile_id": "p"}},
        )
        (seen,) = runtime.seen
        assert (seen.text, seen.system_prompt, seen.late_context) == ("hi", "be brief", "it rains")
        assert seen.model == "fast"
        assert seen.extensions == {"openclaw.runtime_profile": {"profile_id": "p"}}


async def test_health_and_its_methods(tmp_path: Path) -> None:
    async with house(tmp_path, headers={}) as inside:
        for path in ("/health", "/healthz", "/healthz/"):
            answer = await inside.client.get(path)
            assert (answer.status_code, answer.json()) == (200, {"ok": True, "status": "live"})
            assert (await inside.client.head(path)).status_code == 200
            refused = await inside.client.post(path)
            assert (refused.status_code, refused.text) == (405, "method not allowed\n")
            assert "GET" in refused.headers["allow"]


async def test_two_requests_of_one_session_never_overlap(tmp_path: Path) -> None:
    runtime = Scripted(held=True)
    async with house(tmp_path, runtime=runtime) as inside:
        second = await queued_behind(inside, runtime)
        assert (await inside.status("first")).json()["state"] == "running"
        waiting = (await inside.status("second")).json()
        assert (waiting["state"], waiting["position"]) == ("queued", 1)
        assert waiting["session_id"] == "http:dm:ann"
        assert "started_at" not in waiting
        runtime.go.set()
        answer = await second
        assert answer.status_code == 200  # type: ignore[attr-defined]  # a response
        assert (runtime.most_running, len(runtime.seen)) == (1, 2)
        first, after = (
            await inside.until("first", "succeeded"),
            await inside.until("second", "succeeded"),
        )
        assert after["started_at"] >= first["ended_at"]
        assert inside.gateway.path.turns.running == 0


async def test_different_sessions_run_side_by_side(tmp_path: Path) -> None:
    runtime = Scripted(held=True)
    async with house(tmp_path, runtime=runtime) as inside:
        for name in ("a", "b"):
            inside.gateway.ground.tasks.start(inside.say("x", session_id=name), name=name)
        await eventually(lambda: runtime.running == 2)
        runtime.go.set()


async def test_status_of_a_finished_request_is_kept(tmp_path: Path) -> None:
    runtime = Scripted(ModelUsed(Usage(3, 2, context=3)), Final("Hello!"))
    async with house(tmp_path, runtime=runtime) as inside:
        await inside.say("hi", request_id="r1")
        found = (await inside.status("r1")).json()
        assert found["state"] == "succeeded"
        assert found["reply"] == "Hello!"
        assert found["usage"]["total_tokens"] == 5
        assert found["queued_at"] <= found["started_at"] <= found["ended_at"]
        assert found["kept_until"] == found["ended_at"] + 3_600_000


async def test_status_refuses_what_it_cannot_know(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        assert (await inside.client.get(STATUS)).status_code == 400
        unknown = await inside.status("nobody")
        assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "not_found")
        refused = await inside.client.post(STATUS)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_cancel_while_queued_means_it_never_runs(tmp_path: Path) -> None:
    runtime = Scripted(held=True)
    async with house(tmp_path, runtime=runtime) as inside:
        second = await queued_behind(inside, runtime)
        assert await inside.cancel(request_id="second") == {"canceled": True, "state": "cancelled"}
        answer = await second
        assert answer.status_code == 409  # type: ignore[attr-defined]  # a response
        assert answer.json()["error"]["type"] == "canceled"  # type: ignore[attr-defined]
        runtime.go.set()
        await inside.until("first", "succeeded")
        assert [seen.text for seen in runtime.seen] == ["one"]
        assert (await inside.status("second")).json()["state"] == "cancelled"


async def test_cancel_while_running_stops_the_run(tmp_path: Path) -> None:
    runtime = Scripted(held=True)
    async with house(tmp_path, runtime=runtime) as inside:
        waiting = inside.gateway.ground.tasks.start(inside.say("one", request_id="r"), name="r")
        await eventually(lambda: runtime.running == 1)
        assert await inside.cancel(request_id=" r ") == {"canceled": True, "state": "cancelled"}
        answer = await waiting
        assert (answer.status_code, answer.json()["error"]["type"]) == (409, "canceled")
        assert runtime.running == 0
        assert await inside.cancel(request_id="r") == {"canceled": False, "state": "cancelled"}


async def test_cancel_of_a_session_takes_everything_in_it(tmp_path: Path) -> None:
    runtime = Scripted(held=True)
    async with house(tmp_path, runtime=runtime) as inside:
        await queued_behind(inside, runtime)
        assert await inside.cancel(session_id="http:dm:ann") == {
            "canceled": True,
            "request_ids": ["first", "second"],
        }
        assert runtime.running == 0


async def test_cancel_of_the_unknown_says_so(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        assert await inside.cancel(request_id="nobody") == {"canceled": False}
        for content in (b"{", b"[]", b"{}", b'{"request_id":" "}'):
            answer = await inside.client.post(CANCEL, content=content)
            assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request")
        assert (await inside.client.get(CANCEL)).headers["allow"] == "POST"


async def test_a_failing_agent_is_500_without_its_secrets(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        answer = await inside.say("/sim raise=1\nx", request_id="r")
        assert answer.status_code == 500
        error = answer.json()["error"]
        assert error["type"] == "internal_error"
        assert "asked to raise" not in answer.text
        found = (await inside.status("r")).json()
        assert (found["state"], found["error"]) == ("failed", error)


async def test_a_failure_the_agent_reports_is_500_too(tmp_path: Path) -> None:
    async with house(tmp_path, runtime=Scripted(Failed("Out of words."))) as inside:
        answer = await inside.say("hi")
        assert answer.status_code == 500
        assert answer.json()["error"]["message"] == "Out of words."


async def test_an_empty_reply_becomes_a_sentence(tmp_path: Path) -> None:
    for events in ((Final(""),), (TextDelta("  "), Final())):
        async with house(tmp_path / str(len(events)), runtime=Scripted(*events)) as inside:
            answer = await inside.say("hi")
            assert answer.status_code == 200
            assert answer.json()["reply"] == "I didn't produce a visible reply. Please try again."


async def test_the_final_text_wins_over_the_deltas(tmp_path: Path) -> None:
    async with house(tmp_path, runtime=Scripted(TextDelta("a"), TextDelta("b"), Final())) as inside:
        assert (await inside.say("hi")).json()["reply"] == "ab"
    whole = Scripted(TextDelta("let me look"), Final("It is 7."))
    async with house(tmp_path / "2", runtime=whole) as inside:
        assert (await inside.say("hi")).json()["reply"] == "It is 7."


async def test_usage_is_summed_and_the_last_prompt_is_told(tmp_path: Path) -> None:
    runtime = Scripted(
        ModelUsed(Usage(100, 5, cache_read=20, context=120)),
        ModelUsed(Usage(30, 7, context=150)),
        Final("x"),
    )
    async with house(tmp_path, runtime=runtime) as inside:
        assert (await inside.say("hi")).json()["usage"] == {
            "prompt_tokens": 150,
            "completion_tokens": 12,
            "total_tokens": 162,
            "prompt_tokens_details": {"cached_tokens": 20, "cache_read_tokens": 20},
            "last_prompt_tokens": 150,
        }
    async with house(tmp_path / "2", runtime=Scripted(ModelUsed(Usage()), Final("x"))) as inside:
        assert "usage" not in (await inside.say("hi")).json()


async def test_an_unknown_model_is_refused_when_there_is_a_catalogue(tmp_path: Path) -> None:
    runtime = Scripted()
    async with house(tmp_path, runtime=runtime) as inside:
        service = inside.messages
        service._models = lambda: frozenset({"fast"})
        assert (await inside.say("hi", model=" fast ")).status_code == 200
        answer = await inside.say("hi", model="slow")
        assert answer.status_code == 400
        assert answer.json()["error"] == {
            "type": "invalid_model",
            "message": 'model "slow" is not available',
        }
        assert len(runtime.seen) == 1


async def test_paths_take_a_slash_but_nothing_below(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        body = {"from": "ann", "text": "hi"}
        assert (await inside.client.post(f"{MESSAGES}/", json=body)).status_code == 200
        below = await inside.client.post(f"{MESSAGES}/foo", json=body)
        assert (below.status_code, below.json()["error"]["type"]) == (404, "not_found")
        assert (await inside.client.get(MESSAGES)).headers["allow"] == "POST"


async def test_the_same_request_id_runs_once(tmp_path: Path) -> None:
    runtime = Scripted(Final("once"))
    async with house(tmp_path, runtime=runtime) as inside:
        answers = await asyncio.gather(*(inside.say("hi", request_id="r") for _ in range(5)))
        assert {answer.text for answer in answers} == {answers[0].text}
        assert answers[0].json()["reply"] == "once"
        assert len(runtime.seen) == 1
        other = await inside.say("something else", request_id="r")
        assert (other.status_code, other.json()["error"]["type"]) == (409, "idempotency_mismatch")
        elsewhere = await inside.say("hi", request_id="r", session_id="other")
        assert elsewhere.status_code == 409


async def test_the_same_message_id_runs_once_in_its_session(tmp_path: Path) -> None:
    runtime = Scripted(Final("once"))
    async with house(tmp_path, runtime=runtime) as inside:
        first = await inside.say("hi", message_id="m1")
        again = await inside.say("hi", message_id="m1", request_id="another")
        assert again.json() == first.json()
        assert len(runtime.seen) == 1
        assert (await inside.say("changed", message_id="m1")).status_code == 409
        elsewhere = await inside.client.post(
            MESSAGES, json={"from": "bob", "text": "hi", "message_id": "m1"}
        )
        assert elsewhere.status_code == 200
        assert len(runtime.seen) == 2


async def test_a_repeat_after_a_restart_gets_the_first_answer(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        first = await inside.say("hi", request_id="r")
    async with house(tmp_path, runtime=Scripted(Final("not this"))) as inside:
        assert (await inside.say("hi", request_id="r")).json() == first.json()
        assert (await inside.status("r")).json()["state"] == "succeeded"


async def test_a_full_session_is_429_with_retry_after(tmp_path: Path) -> None:
    runtime = Scripted(held=True)
    config = settings(messages={"queue": {"cap": 1}})
    async with house(tmp_path, config, runtime=runtime) as inside:
        await queued_behind(inside, runtime)
        third = await inside.say("three", request_id="third")
        assert third.status_code == 429
        assert third.json()["error"]["type"] == "overloaded"
        assert int(third.headers["retry-after"]) >= 1
        assert (await inside.status("third")).status_code == 404
        runtime.go.set()
        await inside.until("second", "succeeded")
        assert (await inside.say("three", request_id="third")).status_code == 200


async def test_who_waits_too_long_is_told_so(tmp_path: Path) -> None:
    runtime = Scripted(held=True)
    config = settings({"messages": {"queueTimeoutMs": 1}})
    async with house(tmp_path, config, runtime=runtime) as inside:
        second = await queued_behind(inside, runtime)
        await inside.gateway.path.turns._sweep.look()
        answer = await second
        assert answer.status_code == 504  # type: ignore[attr-defined]  # a response
        assert answer.json()["error"]["type"] == "expired"  # type: ignore[attr-defined]
        assert (await inside.status("second")).json()["state"] == "expired"
        runtime.go.set()


async def test_a_gateway_that_stops_takes_nothing_new(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        await inside.say("hi", request_id="r")
        inside.gateway.ground.readiness.drain()
        answer = await inside.say("hi")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "unavailable")
        assert "retry-after" in answer.headers
        assert (await inside.status("r")).status_code == 200
        ready = await inside.client.get("/readyz")
        assert (ready.status_code, ready.json()["failing"]) == (503, ["gateway: draining"])


async def test_a_channel_is_only_a_name(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        await inside.say("hi", channel="webchat", request_id="r")
        row = await inside.gateway.path.turns.find("r")
        assert row is not None
        assert (row.reply_route.channel, row.reply_route.account) == ("http", "webchat")
