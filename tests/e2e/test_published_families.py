"""The methods of wizards, voice, push and the small families, against the published schema.

`Operator` holds every answer to what is published for its method.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.gateway import GatewayProcess, Operator, Refused
from tests.fakes.push_service import Browser
from tests.published import needs_schema, problems

pytestmark = [pytest.mark.node, needs_schema]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    running = GatewayProcess(tmp_path_factory.mktemp("families") / "state").start()
    yield running
    assert running.stop() == 0
    assert running.tracebacks() == []


@pytest.fixture
def operator(gateway: GatewayProcess) -> Iterator[Operator]:
    with Operator(gateway) as connected:
        yield connected


def test_wizard(operator: Operator) -> None:
    state = operator.call("wizard.start", flow="setup")
    session = {"sessionId": state["sessionId"]}
    operator.call("wizard.status", **session)
    operator.call("wizard.next", **session)
    for _ in range(20):
        if state["done"]:
            break
        step = state["step"]
        answer = {"stepId": step["id"], "value": step.get("initialValue", True)}
        operator.call("wizard.next", **session, answer={**answer, "stepId": "other"})
        state = operator.call("wizard.next", **session, answer=answer)
    assert state["status"] == "done"
    operator.call("wizard.cancel", **session)
    with pytest.raises(Refused) as error:
        operator.call("wizard.status", **session)
    assert error.value.error["message"] == "wizard not found"
    assert problems("WizardNotFoundErrorDetails", error.value.error["details"]) == []


def test_voice(operator: Operator) -> None:
    assert operator.call("voicewake.get") == {"triggers": ["openclaw", "claude", "computer"]}
    chosen = operator.call("voicewake.set", triggers=[" Portico ", "", "Portico", "home"])
    assert chosen == operator.call("voicewake.get") == {"triggers": ["Portico", "home"]}
    operator.wait_event("voicewake.changed", triggers=["Portico", "home"])
    route = {"trigger": "Hey, Portico!", "target": {"agentId": "Main"}}
    routed = operator.call("voicewake.routing.set", config={"routes": [route]})["config"]
    assert routed["routes"] == [{"trigger": "hey portico", "target": {"agentId": "main"}}]
    assert operator.call("voicewake.routing.get")["config"] == routed
    with pytest.raises(Refused, match=r"routes\[0\].target"):
        operator.call("voicewake.routing.set", config={"routes": [{"trigger": "x"}]})
    told = operator.call("talk.mode", enabled=True, phase="listening")
    assert (told["enabled"], told["phase"]) == (True, "listening")
    operator.wait_event("talk.mode", enabled=True)
    catalog = operator.call("talk.catalog")
    assert (catalog["modes"], catalog["realtime"]["providers"]) == ([], [])
    assert operator.call("talk.config")["config"]["session"] == {"mainKey": "main"}
    with pytest.raises(Refused):
        operator.call("talk.speak", text=" ")


def test_secrets_of_voice_are_for_those_who_may_have_them(gateway: GatewayProcess) -> None:
    with Operator(gateway, scopes=("operator.read",)) as reader:
        reader.call("talk.config")
        with pytest.raises(Refused, match=r"talk\.secrets"):
            reader.call("talk.config", includeSecrets=True)
        for method in ("fs.listDir", "wizard.start"):
            with pytest.raises(Refused):
                reader.call(method)


def test_the_machine(operator: Operator, tmp_path: Path) -> None:
    info = operator.call("system.info")
    assert info["memoryTotalBytes"] > info["memoryFreeBytes"] > 0
    assert info["diskTotalBytes"] >= info["diskAvailableBytes"]
    lanes = operator.call("diagnostics.lanes")
    assert lanes["lanes"][0]["lane"] == "main"
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "Shown").mkdir()
    (tmp_path / "file").write_text("")
    listed = operator.call("fs.listDir", path=str(tmp_path))
    assert [(one["name"], one.get("hidden", False)) for one in listed["entries"]] == [
        (".hidden", True),
        ("Shown", False),
    ]
    assert listed["parent"] == str(tmp_path.parent)
    operator.call("fs.listDir")
    for path in ("relative", str(tmp_path / "file"), str(tmp_path / "absent"), "/\0"):
        with pytest.raises(Refused):
            operator.call("fs.listDir", path=path)


def test_the_person_and_what_clients_remember(operator: Operator) -> None:
    profile = operator.call("users.self")["profile"]
    assert (profile["id"], profile["hasAvatar"]) == ("owner", False)
    assert operator.call("users.self")["profile"] == profile
    assert operator.call("users.prefs.set", entries={"theme": "dark", "n": 1}) == {"status": "ok"}
    operator.wait_event("users.prefs.changed", profileId="owner", keys=["n", "theme"])
    stale = {"expectedEntries": {"theme": "light"}}
    assert operator.call("users.prefs.set", entries={"n": 2}, **stale) == {"status": "conflict"}
    assert operator.call("users.prefs.set", entries={"n": None}) == {"status": "ok"}
    kept = operator.call("users.prefs.get", keys=["theme", "n", "absent"])
    assert kept == {"status": "ok", "entries": {"theme": "dark"}}
    with pytest.raises(Refused):
        operator.call("users.prefs.set", entries={"big": "x" * 70_000})


def test_groups_of_sessions(operator: Operator) -> None:
    key = "agent:main:grouped"
    operator.call("sessions.create", key=key, category="Work")
    operator.call("sessions.subscribe")
    operator.call("sessions.groups.put", names=["Work", "Home", "Work"], sectionOrder=["Home"])
    renamed = operator.call("sessions.groups.rename", name="Work", to='100% "Play_"')
    assert renamed["updatedSessions"] == 1
    names = [one["name"] for one in operator.call("sessions.groups.list")["groups"]]
    assert names == ['100% "Play_"', "Home"]
    operator.wait_event("sessions.changed", sessionKey=key)
    row = operator.call("sessions.describe", key=key)["session"]
    assert row["category"] == '100% "Play_"'
    with pytest.raises(Refused, match="already"):
        operator.call("sessions.groups.rename", name="Home", to='100% "Play_"')
    with pytest.raises(Refused, match="unknown group"):
        operator.call("sessions.groups.update", name="None", cwd=None, worktree=False)
    operator.call("sessions.groups.update", name="Home", cwd="/tmp", worktree=True)
    defaults = operator.call("sessions.groups.defaults")["defaults"]
    assert defaults == [{"name": "Home", "cwd": "/tmp", "worktree": True}]
    gone = operator.call("sessions.groups.delete", name='100% "Play_"')
    assert gone["updatedSessions"] == 1
    assert "category" not in operator.call("sessions.describe", key=key)["session"]


def test_finding_what_was_said(operator: Operator) -> None:
    key, once = "agent:main:sought", "families-said"
    operator.call("chat.send", sessionKey=key, message="The Żubr sleeps", idempotencyKey=once)
    operator.call("agent.wait", runId=once)
    found = operator.call("sessions.search", query="żubr SLEEPS")["results"]
    assert {one["sessionKey"] for one in found} == {key}
    assert {one["role"] for one in found} == {"user", "assistant"}
    assert operator.call("sessions.search", query="żubr wakes")["results"] == []
    assert operator.call("sessions.search", query="żubr", sessionKeys=["main"])["results"] == []
    message = {"sessionKey": key, "messageId": found[0]["messageId"]}
    whole = operator.call("chat.message.get", **message)
    assert whole["ok"] is True
    elsewhere = operator.call("chat.message.get", **{**message, "sessionKey": "main"})
    assert elsewhere == {"ok": False, "unavailableReason": "not_found"}
    assert len(operator.call("sessions.get", key=key)["messages"]) == 2
    assert operator.call("sessions.get", key="agent:main:absent") == {"messages": []}
    branch = operator.call("sessions.branches.list", sessionKey=key)["branches"][0]
    assert (branch["messageCount"], branch["active"]) == (2, True)
    assert operator.call("sessions.branches.list", sessionKey="agent:main:absent") == {
        "branches": []
    }


def test_several_sessions_at_once(gateway: GatewayProcess, operator: Operator) -> None:
    keys = ["agent:main:many-1", "agent:main:many-2"]
    operator.call("sessions.create", key=keys[0])
    stale = {"key": keys[0], "expectedSessionId": "another"}
    done = operator.call(
        "sessions.patchMany", targets=[{"key": keys[1]}, stale], patch={"pinned": True}
    )
    assert [one["ok"] for one in done["outcomes"]] == [True, False]
    assert operator.call("sessions.describe", key=keys[1])["session"]["pinned"] is True
    with pytest.raises(Refused, match="at /patch"):
        operator.call("sessions.patchMany", targets=[{"key": keys[1]}], patch={"nonsense": 1})
    scopes = ("operator.read", "operator.write")
    with (
        Operator(gateway, scopes=scopes) as writer,
        pytest.raises(Refused, match=r"operator\.admin"),
    ):
        writer.call(
            "sessions.patchMany", targets=[{"key": keys[1]}], patch={"execSecurity": "full"}
        )


def test_plugins_and_providers(operator: Operator) -> None:
    plugins = {one["id"]: one for one in operator.call("plugins.list")["plugins"]}
    assert plugins["telegram"]["state"] == "disabled"
    with pytest.raises(Refused, match="unknown provider"):
        operator.call("models.probe", provider="nobody")
    probed = operator.call("models.probe", provider="ollama", timeoutMs=2_000)
    assert probed["status"] in {"ok", "unknown", "timeout", "no_model"}


def test_notifications(operator: Operator) -> None:
    key = operator.call("push.web.vapidPublicKey")["vapidPublicKey"]
    assert len(key) == 87
    named = {"endpoint": "https://127.0.0.1:9/push"}
    browser = Browser(named["endpoint"])
    with pytest.raises(Refused, match="no web push subscriptions"):
        operator.call("push.web.test")
    with pytest.raises(Refused, match="keys"):
        operator.call("push.web.subscribe", **named, keys={"p256dh": "AA", "auth": "AA"})
    with pytest.raises(Refused, match="not subscribed"):
        operator.call("push.web.preferences.get", **named)
    operator.call("push.web.subscribe", **named, keys=browser.keys)
    with pytest.raises(Refused, match="not public"):
        operator.call("push.web.test")
    shown = operator.call("push.web.preferences.get", **named)
    assert shown["effective"]["categories"]["approvalRequested"] is True
    user = shown["user"] | {"detailLevel": "private"}
    operator.call("push.web.preferences.set", **named, scope="user", preferences=user)
    device = {"enabled": False, "label": "desk"}
    operator.call("push.web.preferences.set", **named, scope="device", preferences=device)
    shown = operator.call("push.web.preferences.get", **named)
    assert (shown["device"], shown["effective"]["detailLevel"]) == (device, "private")
    quiet = {**user, "quietHours": {**user["quietHours"], "timeZone": "Nowhere/Land"}}
    with pytest.raises(Refused, match="unknown time zone"):
        operator.call("push.web.preferences.set", **named, scope="user", preferences=quiet)
    assert operator.call("push.web.unsubscribe", **named) == {"removed": True}


def test_questions(gateway: GatewayProcess) -> None:
    scopes = ("operator.questions", "operator.read")
    with Operator(gateway, scopes=scopes) as asker, Operator(gateway, scopes=scopes) as person:
        question = {"questionId": "q", "header": "Tea", "question": "Milk?", "options": []}
        asked = asker.call("question.request", questions=[question], agentId="main")
        waiting = asker.send("question.waitAnswer", id=asked["id"])
        told = person.wait_event("question.requested", id=asked["id"])
        assert problems("QuestionRecord", told) == []
        assert person.call("question.list")["questions"] == [told]
        with pytest.raises(Refused, match="an answer is needed"):
            person.call("question.resolve", id=asked["id"], answers={"answers": {}})
        answers = {"answers": {"q": ["Please"]}}
        person.call("question.resolve", id=asked["id"], answers=answers)
        assert asker.answer(waiting) == {"status": "answered", "answers": answers}
        over = asker.wait_event("question.resolved", id=asked["id"])
        assert problems("QuestionResolvedEvent", over) == []
        assert person.call("question.get", id=asked["id"])["question"]["answers"] == answers
        other = asker.call("question.request", questions=[question], timeoutMs=60_000)
        pending = asker.call("question.waitAnswer", id=other["id"], timeoutMs=1)
        assert pending == {"status": "pending"}
        assert person.call("question.resolve", id=other["id"], cancel=True)["status"] == "cancelled"
        with pytest.raises(Refused, match="is over"):
            person.call("question.resolve", id=other["id"], cancel=True)
        secret = {**question, "isSecret": True}
        with pytest.raises(Refused, match="secrets are not asked"):
            asker.call("question.request", questions=[secret])


def test_approvals_that_cannot_be(operator: Operator) -> None:
    assert operator.call("plugin.approval.list") == []
    assert operator.call("openclaw.approval.list") == []
