"""exec.approval.*, approval.* and exec.approvals.*, on each database engine."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from portico.approvals.model import ApprovalAsked
from tests.support.house import House, principal
from tests.support.waiting import eventually

REVIEWER = principal("operator.approvals", subject="phone", device_id="phone")
REQUESTED, RESOLVED = "exec.approval.requested", "exec.approval.resolved"


def task(work: Any) -> asyncio.Task[Any]:
    return asyncio.ensure_future(work)


async def pending(house: House, count: int = 1) -> list[dict[str, Any]]:
    async def listed() -> Any:
        found = await house.call("exec.approval.list", by=REVIEWER)
        return found if len(found) == count else None

    found = list(await eventually(listed))
    await eventually(lambda: len(house.approvals._board.waiting) == count)  # all are told
    return found


async def asked(house: House, **params: Any) -> tuple[asyncio.Task[Any], str]:
    waiting = task(house.call("exec.approval.request", {"command": "ls -la", **params}))
    return waiting, (await pending(house))[0]["id"]


@pytest.mark.parametrize(
    ("text", "preview", "seen"),
    [
        ("ls -la", "ls -la", ("/bin/sh -c 'rm -rf ~'", None)),
        ("/bin/sh -c 'rm -rf ~' #", None, ("/bin/sh -c 'rm -rf ~'", None)),
        ("'", None, ("/bin/sh -c 'rm -rf ~'", None)),
        ('/bin/sh -c "rm -rf ~"', "rm -rf ~", ('/bin/sh -c "rm -rf ~"', "rm -rf ~")),
        ("sh -c 'rm -rf ~'", "sh -c 'rm -rf ~'", ("sh -c 'rm -rf ~'",) * 2),
    ],
)
async def test_what_a_person_reads_is_what_a_yes_is_for(
    house: House, text: str, preview: str | None, seen: tuple[str, str | None]
):
    plan = {
        "argv": ["/bin/sh", "-c", "rm -rf ~"],
        "cwd": "/",
        "commandText": text,
        "commandPreview": preview,
        "agentId": None,
        "sessionKey": None,
    }
    house.connect("phone", "operator.approvals")
    _, approval_id = await asked(house, host="node", nodeId="n1", systemRunPlan=plan)
    (entry,) = await pending(house)
    request = entry["request"]
    assert (request["command"], request.get("commandPreview")) == seen
    await house.call("exec.approval.resolve", {"id": approval_id, "decision": "deny"}, by=REVIEWER)


async def test_an_approval_is_asked_told_listed_and_decided(house: House):
    phone = house.connect("phone", "operator.approvals")
    stranger = house.connect("stranger", "operator.read", "operator.write")
    early: list[Any] = []
    params = {
        "command": "rm -rf ./build",
        "commandArgv": ["rm", "-rf", "./build"],
        "cwd": "/home/ann",
        "host": "gateway",
        "agentId": "main",
        "sessionKey": "agent:main:main",
        "timeoutMs": 60_000,
        "twoPhase": True,
    }
    waiting = task(house.call("exec.approval.request", params, early=early))
    (entry,) = await pending(house)
    assert entry["approvalKind"] == "exec"
    assert entry["expiresAtMs"] - entry["createdAtMs"] == 60_000
    assert entry["request"]["command"] == "rm -rf ./build"
    assert entry["request"]["allowedDecisions"] == ["allow-once", "allow-always", "deny"]
    accepted = await eventually(lambda: early)
    assert accepted == [
        {
            "status": "accepted",
            "id": entry["id"],
            "deliveryRoute": "approval-client",
            "createdAtMs": entry["createdAtMs"],
            "expiresAtMs": entry["expiresAtMs"],
        }
    ]
    assert phone.named(REQUESTED) == [entry]
    shown = await house.call("exec.approval.get", {"id": entry["id"]}, by=REVIEWER)
    assert shown["commandText"] == "rm -rf ./build"
    decide = {"id": entry["id"], "decision": "allow-once"}
    assert await house.call("exec.approval.resolve", decide, by=REVIEWER) == {"ok": True}
    answer = await waiting
    assert (answer["decision"], answer["id"]) == ("allow-once", entry["id"])
    (resolved,) = phone.named(RESOLVED)
    assert resolved["decision"] == "allow-once"
    assert resolved["resolvedBy"] == "test"
    assert resolved["request"] == entry["request"]
    assert await house.call("exec.approval.list", by=REVIEWER) == []
    assert stranger.events == []


async def test_the_first_decision_counts(house: House):
    house.connect("phone")
    waiting, approval_id = await asked(house)
    decide = {"id": approval_id, "decision": "deny"}
    assert await house.call("exec.approval.resolve", decide) == {"ok": True}
    assert await house.call("exec.approval.resolve", decide) == {"ok": True}
    refused = await house.refusal(
        "exec.approval.resolve", {"id": approval_id, "decision": "allow-once"}
    )
    assert refused["message"] == "approval already resolved"
    assert refused["details"] == {"reason": "APPROVAL_ALREADY_RESOLVED"}
    late = {"id": approval_id, "kind": "exec", "decision": "allow-always"}
    unified = await house.call("approval.resolve", late)
    assert unified["applied"] is False
    assert unified["approval"]["decision"] == "deny"
    assert (await waiting)["decision"] == "deny"
    again = await house.call("exec.approval.waitDecision", {"id": approval_id})
    assert again["decision"] == "deny"


async def test_many_deciders_at_once_make_one_decision(house: House):
    phone = house.connect("phone")
    waiting, approval_id = await asked(house)
    decisions = ["allow-once", "deny", "allow-always"] * 4
    outcomes = await asyncio.gather(
        *(
            house.call("exec.approval.resolve", {"id": approval_id, "decision": decision})
            for decision in decisions
        ),
        return_exceptions=True,
    )
    made = (await waiting)["decision"]
    for decision, outcome in zip(decisions, outcomes, strict=True):
        assert (outcome == {"ok": True}) == (decision == made), outcome
    assert [event["decision"] for event in phone.named(RESOLVED)] == [made]


async def test_without_anybody_to_ask_it_ends_at_once(house: House):
    early: list[Any] = []
    answer = await house.call(
        "exec.approval.request", {"command": "ls", "twoPhase": True}, early=early
    )
    assert (answer["decision"], answer["terminalReason"]) == (None, "no-route")
    assert early == []
    asker = house.connect("asker")  # who asks is not asked
    answer = await house.call("exec.approval.request", {"command": "ls"}, over=asker)
    assert answer["decision"] is None
    refused = await house.refusal("exec.approval.resolve", {"id": answer["id"], "decision": "deny"})
    assert refused["code"] == "APPROVAL_NOT_FOUND"
    shown = await house.call("approval.get", {"id": answer["id"]})
    assert (shown["approval"]["status"], shown["approval"]["reason"]) == ("denied", "no-route")


async def test_it_can_wait_for_somebody_who_comes_later(house: House):
    waiting, approval_id = await asked(house, requireDeliveryRoute=False, twoPhase=True)
    latecomer = house.connect("phone")
    assert latecomer.named(REQUESTED) == []
    (entry,) = await house.call("exec.approval.list")
    assert entry["id"] == approval_id
    await house.call("exec.approval.resolve", {"id": approval_id, "decision": "allow-once"})
    assert (await waiting)["decision"] == "allow-once"
    assert len(latecomer.named(RESOLVED)) == 1


async def test_time_is_up_once_and_everybody_is_told(house: House):
    phone = house.connect("phone")
    answer = await house.call("exec.approval.request", {"command": "ls", "timeoutMs": 30})
    assert (answer["decision"], answer["terminalReason"]) == (None, "timeout")
    await eventually(lambda: phone.named(RESOLVED))
    (event,) = phone.named(RESOLVED)
    assert (event["decision"], event["reason"], event["resolvedBy"]) == (None, "timeout", None)
    refused = await house.refusal(
        "exec.approval.resolve", {"id": answer["id"], "decision": "allow-once"}
    )
    assert refused["message"] == "unknown or expired approval id"
    assert refused["details"] == {"reason": "APPROVAL_NOT_FOUND"}


async def test_what_is_kept_to_a_device_is_nobody_elses(house: House):
    phone = house.connect("phone", "operator.approvals", device_id="phone")
    tablet = house.connect("tablet", "operator.approvals", device_id="tablet")
    waiting, approval_id = await asked(house, approvalReviewerDeviceIds=["phone"])
    assert len(phone.named(REQUESTED)) == 1
    assert tablet.named(REQUESTED) == []
    other = principal("operator.approvals", subject="tablet", device_id="tablet")
    nobody = principal("operator.approvals", subject="cli")
    for by in (other, nobody):
        assert await house.call("exec.approval.list", by=by) == []
        for name, params in (
            ("exec.approval.resolve", {"id": approval_id, "decision": "deny"}),
            ("approval.resolve", {"id": approval_id, "kind": "exec", "decision": "deny"}),
            ("exec.approval.waitDecision", {"id": approval_id}),
            ("exec.approval.get", {"id": approval_id}),
            ("approval.get", {"id": approval_id}),
        ):
            assert (await house.refusal(name, params, by=by))["code"] == "APPROVAL_NOT_FOUND"
    decide = {"id": approval_id, "decision": "allow-once"}
    assert await house.call("exec.approval.resolve", decide, by=REVIEWER) == {"ok": True}
    assert (await waiting)["decision"] == "allow-once"
    assert len(phone.named(RESOLVED)) == 1
    assert tablet.named(RESOLVED) == []
    assert (await house.call("approval.history", by=other))["items"] == []


async def test_only_the_device_it_is_kept_to_counts_as_a_reviewer(house: House):
    house.connect("tablet", "operator.approvals", device_id="tablet")
    kept = {"command": "ls", "approvalReviewerDeviceIds": ["phone"]}
    assert (await house.call("exec.approval.request", kept))["terminalReason"] == "no-route"


async def test_every_method_needs_its_scope(house: House):
    for name, params, scope in (
        ("exec.approval.request", {"command": "ls"}, "operator.approvals"),
        ("exec.approval.resolve", {"id": "x", "decision": "deny"}, "operator.approvals"),
        ("exec.approval.list", {}, "operator.approvals"),
        ("exec.approvals.get", {}, "operator.admin"),
        ("exec.approvals.set", {"file": {"version": 1}}, "operator.admin"),
    ):
        by = principal("operator.write", "operator.pairing")
        refused = await house.refusal(name, params, by=by)
        assert refused["message"] == f"missing scope: {scope}"


async def test_a_channel_reviewer_and_an_end_date_are_refused(house: House):
    house.connect("phone")
    waiting, approval_id = await asked(house)
    decide = {"id": approval_id, "decision": "allow-always"}
    reviewer = {"channel": "telegram", "accountId": "a", "senderId": "s"}
    refused = await house.refusal("exec.approval.resolve", decide | {"reviewer": reviewer})
    assert refused["code"] == "APPROVAL_NOT_FOUND"
    refused = await house.refusal("exec.approval.resolve", decide | {"grantExpiresInDays": 3})
    assert "grantExpiresInDays" in refused["message"]
    await house.call("exec.approval.resolve", {"id": approval_id, "decision": "deny"})
    assert (await waiting)["decision"] == "deny"


async def test_a_decision_that_is_not_offered_is_refused(house: House):
    house.connect("phone")
    waiting, approval_id = await asked(house, ask="always")
    refused = await house.refusal(
        "exec.approval.resolve", {"id": approval_id, "decision": "allow-always"}
    )
    assert refused["message"] == "allow-always is unavailable for this command"
    refused = await house.refusal("exec.approval.resolve", {"id": approval_id, "decision": "yes"})
    assert refused["message"] == "invalid decision"
    await house.call("exec.approval.resolve", {"id": approval_id, "decision": "deny"})
    await waiting


async def test_asking_again_under_the_same_id_joins(house: House):
    phone = house.connect("phone")
    first, approval_id = await asked(house, id="mine", twoPhase=True)
    assert approval_id == "mine"
    early: list[Any] = []
    params = {"command": "ls -la", "id": "mine", "twoPhase": True}
    second = task(house.call("exec.approval.request", params, early=early))
    assert (await eventually(lambda: early))[0]["id"] == "mine"
    refused = await house.refusal("exec.approval.request", {"command": "rm", "id": "mine"})
    assert refused["message"] == "approval id already pending"
    other = principal("operator.approvals", subject="somebody else")
    refused = await house.refusal("exec.approval.request", params, by=other)
    assert refused["message"] == "approval id already pending"
    await house.call("exec.approval.resolve", {"id": "mine", "decision": "allow-once"})
    assert (await first)["decision"] == (await second)["decision"] == "allow-once"
    assert len(phone.named(REQUESTED)) == len(phone.named(RESOLVED)) == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "command is required"),
        ({"command": "  "}, "command is required"),
        ({"command": "ls", "id": "plugin:x"}, "approval ids starting with plugin: are reserved"),
        ({"command": "ls", "id": ".."}, "invalid approval id"),
        ({"command": "ls", "id": "a\u202eb"}, "invalid approval id"),
        ({"command": "ls", "host": "node"}, "nodeId is required for host=node"),
        (
            {"command": "ls", "host": "node", "nodeId": "n"},
            "systemRunPlan is required for host=node",
        ),
        ({"command": "x" * 20_000}, "command exceeds exec approval display limit"),
        ({"command": "\u202e" * 4_000}, "command exceeds exec approval display limit"),
        ({"command": "ls", "timeoutMs": 0}, "at /timeoutMs: must be >= 1"),
        ({"command": "ls", "scope": {"kind": "payment"}}, "at /scope"),
        ({"command": "ls", "what": 1}, "unexpected property 'what'"),
    ],
)
async def test_what_cannot_be_asked_is_said(house: House, params: dict[str, Any], message: str):
    refused = await house.refusal("exec.approval.request", params)
    assert refused["code"] == "INVALID_REQUEST"
    assert message in refused["message"]


async def test_a_reviewer_sees_what_is_hidden(house: House):
    house.connect("phone")
    waiting, approval_id = await asked(
        house, command="echo \u202egnihton\u200b\x1b[2K", cwd="/tmp/\u2066x", warningText="\u00a0a"
    )
    shown = await house.call("exec.approval.get", {"id": approval_id})
    assert shown["commandText"] == "echo \\u{202e}gnihton\\u{200b}\\u{1b}[2K"
    (entry,) = await house.call("exec.approval.list")
    assert entry["request"]["cwd"] == "/tmp/\\u{2066}x"
    await house.call("exec.approval.resolve", {"id": approval_id, "decision": "deny"})
    await waiting


async def test_history_pages_through_what_has_ended(house: House):
    house.connect("phone")
    ended = []
    for number in range(5):
        waiting, approval_id = await asked(house, command=f"job {number}")
        await house.call("exec.approval.resolve", {"id": approval_id, "decision": "deny"})
        ended.append((await waiting)["id"])
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await house.call("approval.history", {"limit": 2, **cursor})
        seen += [item["id"] for item in page["items"]]
        if "nextCursor" not in page:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert seen == ended[::-1]
    assert (await house.call("approval.history", {"kind": "plugin"}))["items"] == []
    refused = await house.refusal("approval.history", {"cursor": "junk"})
    assert refused["code"] == "INVALID_REQUEST"


async def test_the_policy_file_is_read_and_replaced(house: House):
    first = await house.call("exec.approvals.get")
    assert (first["exists"], first["file"]) == (False, {"version": 1})
    assert first["resolvedDefaults"] == {
        "security": "allowlist",
        "ask": "on-miss",
        "askFallback": "deny",
        "autoAllowSkills": False,
    }
    file = {
        "version": 1,
        "defaults": {"security": "full", "ask": "off"},
        "agents": {"*": {"allowlist": [{"pattern": "/usr/bin/uptime"}]}},
        "socket": {"path": "/run/x.sock", "token": "planted-socket-token"},
    }
    second = await house.call("exec.approvals.set", {"file": file})
    assert second["exists"] is True
    assert second["resolvedDefaults"]["security"] == "full"
    assert "planted-socket-token" not in json.dumps(second)
    refused = await house.refusal("exec.approvals.set", {"file": file})
    assert refused["message"].startswith("exec approvals base hash required")
    stale = {"file": file, "baseHash": first["hash"]}
    refused = await house.refusal("exec.approvals.set", stale)
    assert refused["message"].startswith("exec approvals changed since last load")
    back = await house.call("exec.approvals.get")
    assert back == second
    third = await house.call("exec.approvals.set", {"file": back["file"], "baseHash": back["hash"]})
    assert third["file"] == back["file"]
    assert "planted-socket-token" in house.approvals.policy.path.read_text()
    broken = {"file": {"version": 1, "agents": {"a": {"allowlist": [{}]}}}, "baseHash": "x"}
    refused = await house.refusal("exec.approvals.set", broken)
    assert "at /file/agents/a/allowlist/0" in refused["message"]


async def test_a_broken_policy_file_is_said_and_kept(house: House):
    path = house.approvals.policy.path
    path.write_text('{"version": 2}')
    assert "broken" in (await house.refusal("exec.approvals.get"))["message"]
    refused = await house.refusal("exec.approvals.set", {"file": {"version": 1}})
    assert "base hash required" in refused["message"]
    assert path.read_text() == '{"version": 2}'


async def test_allow_always_is_remembered_for_exactly_this(house: House):
    house.connect("phone")
    policy = house.approvals.policy
    assert policy.check("main", ["ls", "-la"]) == "ask"
    waiting, approval_id = await asked(
        house, commandArgv=["ls", "-la"], host="gateway", agentId="main"
    )
    await house.call("exec.approval.resolve", {"id": approval_id, "decision": "allow-always"})
    assert (await waiting)["decision"] == "allow-always"
    assert policy.check("main", ["ls", "-la"]) == "allow"
    assert policy.check("main", ["ls", "-la", "/etc"]) == "ask"
    assert policy.check("other", ["ls", "-la"]) == "ask"


async def test_allow_always_remembers_nothing_that_was_not_read(house: House):
    house.connect("phone")
    waiting, approval_id = await asked(
        house, commandArgv=["rm", "-rf", "/"], host="gateway", agentId="main"
    )
    await house.call("exec.approval.resolve", {"id": approval_id, "decision": "allow-always"})
    await waiting
    assert house.approvals.policy.check("main", ["rm", "-rf", "/"]) == "ask"
    assert not house.approvals.policy.path.exists()


# -- what agents ask in this process ----------------------------------------------------------


def ls(**more: Any) -> ApprovalAsked:
    return ApprovalAsked(
        command="ls -la",
        command_argv=("ls", "-la"),
        **{"agent_id": "main", "run_id": "run-1", **more},
    )


async def test_an_agent_asks_and_is_answered(house: House):
    phone = house.connect("phone")
    waiting = task(house.approvals.ask(ls(session_key="agent:main:main"), timeout_s=20))
    (entry,) = await pending(house)
    assert entry["request"]["agentId"] == "main"
    assert phone.named(REQUESTED) == [entry]
    await house.call("exec.approval.resolve", {"id": entry["id"], "decision": "allow-once"})
    decided = await waiting
    assert (decided.decision, decided.reason, decided.resolved_by) == ("allow-once", None, "test")
    assert decided.is_allowed


async def test_an_agent_is_told_why_there_is_no_decision(house: House):
    nobody = await house.approvals.ask(ls(), timeout_s=20)
    assert (nobody.decision, nobody.reason) == (None, "no-approval-route")
    house.connect("phone")
    late = await house.approvals.ask(ls(), timeout_s=0.05)
    assert (late.decision, late.reason) == (None, "expired")
    huge = await house.approvals.ask(ApprovalAsked(command="x" * 20_000), timeout_s=5)
    assert (huge.decision, huge.reason) == (None, "too-large")
    assert not late.is_allowed


async def test_a_cancelled_ask_closes_its_approval(house: House):
    phone = house.connect("phone")
    waiting = task(house.approvals.ask(ls(), timeout_s=20))
    await pending(house)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    (event,) = await eventually(lambda: phone.named(RESOLVED))
    assert (event["decision"], event["reason"]) == (None, "run-aborted")
    assert await house.call("exec.approval.list") == []


async def test_a_yes_for_one_time_is_used_once(house: House):
    house.connect("phone")
    twins = [task(house.approvals.ask(ls(), timeout_s=20)) for _ in range(2)]
    (entry,) = await pending(house)
    await house.call("exec.approval.resolve", {"id": entry["id"], "decision": "allow-once"})
    done, waits = await asyncio.wait(twins, return_when=asyncio.FIRST_COMPLETED)
    assert [one.result().decision for one in done] == ["allow-once"]
    (again,) = await pending(house)
    assert again["id"] != entry["id"]
    await house.call("exec.approval.resolve", {"id": again["id"], "decision": "deny"})
    assert [(await one).decision for one in waits] == ["deny"]


async def test_an_answered_question_may_be_asked_anew(house: House):
    house.connect("phone")
    for decision in ("deny", "allow-once", "deny"):
        waiting = task(house.approvals.ask(ls(), timeout_s=20))
        (entry,) = await pending(house)
        await house.call("exec.approval.resolve", {"id": entry["id"], "decision": decision})
        assert (await waiting).decision == decision


async def test_too_many_approvals_are_refused(house: House, monkeypatch: pytest.MonkeyPatch):
    house.connect("phone")
    settings = house.approvals.settings
    monkeypatch.setattr(
        house.approvals, "settings", type(settings)(settings.timeout_s, max_pending=1)
    )
    waiting, approval_id = await asked(house)
    refused = await house.refusal("exec.approval.request", {"command": "rm"})
    assert refused["code"] == "UNAVAILABLE"
    assert refused["retryable"] is True
    assert (await house.approvals.ask(ls(), timeout_s=5)).reason == "overloaded"
    await house.call("exec.approval.resolve", {"id": approval_id, "decision": "deny"})
    await waiting
