"""The acp runtime against real programs: one made with the SDK, and one that misbehaves."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portico.agents.acp.runtime import UNTRUSTED, AcpRuntime
from portico.agents.acp.settings import AcpSettings, program_env
from portico.agents.runtime import (
    AgentEvent,
    Failed,
    Final,
    HistoryMessage,
    ModelUsed,
    Progress,
    TextDelta,
    ThinkingDelta,
    ToolFinished,
    ToolStarted,
    Turn,
    Usage,
)
from portico.approvals.model import ApprovalAsked, Decided
from portico.channels.model import Attachment
from portico.clock import SystemClock
from portico.store import Store, open_store
from portico.tasks import Tasks
from tests.support.databases import sqlite_url
from tests.support.thinking import turn_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

FAKES = Path(__file__).parents[1] / "fakes"
SAMPLE = (sys.executable, str(FAKES / "acp_agent.py"))
ENV = program_env(os.environ, {"PYTHONPATH": str(FAKES.parents[1] / "src")})
EARLIER = (HistoryMessage("user", "my name is Ann"), HistoryMessage("assistant", "hello Ann"))


class Person:
    """Answers approvals as told; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[ApprovalAsked] = []
        self.answer = Decided("allow-once", None, "ann")
        self.thinks: asyncio.Event | None = None
        self.cancelled = 0

    async def ask(self, asked: ApprovalAsked, *, timeout_s: float) -> Decided:
        self.asked.append(asked)
        try:
            if self.thinks is not None:
                await self.thinks.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.answer


class Agent:
    """An agent under test, and the processes it starts."""

    def __init__(self, store: Store, folder: Path, **settings: Any) -> None:
        self.failures: list[BaseException] = []
        self.tasks = Tasks(lambda _name, error: self.failures.append(error))
        self.person = Person()
        self.folder = folder
        given = AcpSettings(
            **{
                "command": SAMPLE,
                "cwd": str(folder),
                "env": ENV,
                "startup_s": 20.0,
                "silence_s": 20.0,
                "cancel_s": 5.0,
                **settings,
            }
        )
        self.settings = given
        self.runtime = AcpRuntime(
            given, approvals=self.person, store=store, tasks=self.tasks, clock=SystemClock()
        )

    async def events(self, text: str = "hi", *, session: str = "s1", **turn: Any) -> list[Any]:
        asked = replace(turn_of(text, **turn), session_id=session)
        events: list[Any] = []
        async with aclosing(self.runtime.run(asked)) as answering:
            async for event in answering:
                events.append(event)
                if isinstance(event, Final | Failed):  # the path asks for no more after it
                    break
        return events

    async def say(self, text: str, *, session: str = "s1", **turn: Any) -> str:
        return said(await self.events(text, session=session, **turn))

    async def facts(self, *, session: str = "s1", **turn: Any) -> dict[str, Any]:
        return dict(json.loads(await self.say("tell", session=session, **turn)))

    @property
    def processes(self) -> int:
        return len(self.runtime._pool)

    async def at_rest(self) -> None:
        await eventually(lambda: not self.runtime._pool._busy)


Make = Callable[..., Agent]


@asynccontextmanager
async def agents(store: Store, folder: Path) -> AsyncIterator[Make]:
    made: list[Agent] = []

    def make(**settings: Any) -> Agent:
        made.append(Agent(store, folder, **settings))
        return made[-1]

    yield make
    for agent in made:
        await agent.tasks.stop()
        await agent.runtime.close()
        await agent.tasks.stop()
        assert agent.failures == []
    assert left_over(folder) == []


@pytest.fixture
async def make(sqlite_store: Store, tmp_path: Path) -> AsyncIterator[Make]:
    async with agents(sqlite_store, tmp_path) as making:
        yield making


@pytest.fixture(scope="module")
async def one_agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    """One agent for everything that needs no program of its own: starting one takes a second."""
    folder = tmp_path_factory.mktemp("agent")
    store = open_store(sqlite_url(folder))
    await store.start()
    agent = Agent(store, folder)
    yield agent
    await agent.runtime.close()
    await agent.tasks.stop()
    await store.stop()
    assert agent.failures == []


@pytest.fixture
async def agent(one_agent: Agent) -> Agent:
    """The same, with a new person who answers and nothing done yet."""
    one_agent.person = one_agent.runtime._approvals = Person()
    (one_agent.folder / "acted").unlink(missing_ok=True)
    await one_agent.at_rest()
    return one_agent


def left_over(folder: Path) -> list[int]:
    """Children of this process that still work in a folder."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text, where = status.read_text(), status.with_name("cwd").readlink()
        except OSError:
            continue
        if f"\nPPid:\t{os.getpid()}\n" in text and where.is_relative_to(folder):
            found.append(int(status.parent.name))
    return found


def said(events: list[Any]) -> str:
    assert isinstance(events[-1], Final), events[-1]
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def rogue(how: str) -> tuple[str, ...]:
    return (sys.executable, str(FAKES / "acp_rogue.py"), how)


# -- a good program ---------------------------------------------------------------------------


async def test_a_turn_is_answered(agent: Agent):
    assert await agent.events("hello") == [
        TextDelta("You said: "),
        TextDelta("hello"),
        ModelUsed(Usage(11, 7), "acp"),
        Final(),
    ]


async def test_thoughts_plans_and_tools_are_told(agent: Agent):
    events = await agent.events("think")
    assert events[:2] == [ThinkingDelta("hm"), Progress("plan", "1 of 2 steps done: leap")]
    events = await agent.events("tool edit")
    call = events[0].call_id
    assert events[:2] == [
        ToolStarted(call, "A edit", {"of": "edit"}, side_effects=True),
        ToolFinished(call, "A edit", "result"),
    ]
    assert (await agent.events("tool read"))[0].side_effects is False
    failed = await agent.events("tool execute failed")
    assert failed[1].is_error is True


async def test_what_comes_from_outside_is_marked(agent: Agent):
    events = await agent.events("tool fetch")
    assert events[1].is_untrusted is True
    assert events[-1] == Final(is_untrusted=True)
    assert (await agent.events("tool execute"))[-1] == Final()


async def test_a_conversation_keeps_its_program_and_its_session(make: Make):
    agent = make()
    first, second = await agent.facts(), await agent.facts(entries=EARLIER)
    other = await agent.facts(session="s2")
    assert (first["pid"], first["session"]) == (second["pid"], second["session"])
    assert second["said"] == ["tell", "tell"]
    assert other["pid"] != first["pid"]
    assert agent.processes == 2


async def test_a_program_gets_its_own_environment_and_directory(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PLANTED_SECRET", "x")
    env = program_env(os.environ, {"GIVEN": "yes", "PYTHONPATH": ENV["PYTHONPATH"]})
    workspace = tmp_path / "new" / "workspace"
    program = rogue("behaves")
    facts = await make(command=program, env=env, cwd=str(workspace), makes_cwd=True).facts()
    assert "PLANTED_SECRET" not in facts["env"]
    assert facts["env"]["GIVEN"] == "yes"
    assert facts["cwd"] == str(workspace)


async def test_pictures_and_files_become_blocks(agent: Agent):
    text = base64.b64encode(b"a,b").decode()
    dot = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
    facts = await agent.facts(
        attachments=(
            Attachment("image", "image/png", "dot.png", dot),
            Attachment("file", "text/csv", "list.csv", text),
            Attachment("audio", "audio/wav", "song.bin", "AAAA"),
            Attachment("file", url="https://x.test/y", file_name="y"),
        ),
        system_prompt="be brief",
    )
    kinds = [block["type"] for block in facts["blocks"]]
    assert kinds == ["text", "text", "image", "resource", "resource", "resource_link"]
    assert facts["blocks"][0]["text"] == "be brief"
    assert facts["blocks"][3]["resource"]["text"] == "a,b"


async def test_a_new_program_is_told_what_was_said_before(make: Make):
    facts = await make().facts(entries=EARLIER)
    assert "User: my name is Ann\n\nYou: hello Ann" not in facts["blocks"][1]["text"]
    assert facts["blocks"][0]["text"].endswith("User: my name is Ann\n\nYou: hello Ann")


async def test_a_callers_own_conversation_is_told_anew_each_time(make: Make):
    agent = make()
    first = await agent.facts(prior=EARLIER)
    second = await agent.facts(prior=(*EARLIER, HistoryMessage("user", "more")))
    assert first["session"] != second["session"]
    assert "User: more" in second["blocks"][0]["text"]


@pytest.mark.parametrize("late", ["", "yes"])
async def test_a_session_is_loaded_by_the_next_program(make: Make, tmp_path: Path, late: str):
    env = ENV | {"ACP_STORE": str(tmp_path), "ACP_TELLS_LATE": late}
    first = make(env=env)
    before = await first.facts()
    await first.at_rest()
    await first.runtime.close()
    after = await make(env=env).facts(entries=EARLIER)
    assert (after["session"], after["said"]) == (before["session"], ["tell", "tell"])
    assert after["pid"] != before["pid"]
    assert len(after["blocks"]) == 1  # it remembers by itself; the story told again is dropped
    for kept in tmp_path.glob("sample-*.json"):
        kept.unlink()
    anew = await make(env=env).facts(entries=EARLIER)
    assert anew["session"] != before["session"]
    assert "my name is Ann" in anew["blocks"][0]["text"]


async def test_it_logs_in_as_it_is_told(make: Make):
    assert (await make(auth_method="key").facts())["env"]["LOGGED_IN"] == "key"


@pytest.mark.parametrize(
    ("reason", "last"),
    [
        ("end_turn", Final()),
        ("max_tokens", Final(stop_reason="length")),
        ("refusal", Failed("The agent declined to answer this.", "refusal")),
        ("cancelled", Failed("The agent stopped without an answer.")),
    ],
)
async def test_why_it_stopped_is_said(agent: Agent, reason: str, last: AgentEvent):
    assert (await agent.events(f"stop {reason}"))[-1] == last


async def test_an_error_of_the_agent_leaves_it_running(agent: Agent):
    before = await agent.facts()
    failed = (await agent.events("fail"))[-1]
    assert isinstance(failed, Failed)
    assert "planted" not in failed.message
    assert (await agent.facts())["pid"] == before["pid"]


# -- permissions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decision", "option"),
    [
        ("allow-once", "the-allow_once"),
        ("allow-always", "the-allow_always"),
        ("deny", "the-reject_once"),
        (None, "the-reject_once"),
    ],
)
async def test_a_person_decides(agent: Agent, decision: Any, option: str):
    agent.person.answer = Decided(decision, None if decision else "expired")
    events = await agent.events("permit execute rm -rf build")
    assert said(events) == f"chosen {option}"
    (asked,) = agent.person.asked
    assert asked.command == "rm -rf build"
    call = events[0].call_id
    assert (asked.agent_id, asked.run_id, asked.tool_call_id) == ("main", "run", call)
    assert asked.cwd == str(agent.folder)
    assert asked.allowed == ("allow-once", "allow-always", "deny")
    assert events[0] == ToolStarted(call, "Run rm -rf build", {"command": "rm -rf build"})
    assert (agent.folder / "acted").exists() == (decision in {"allow-once", "allow-always"})


async def test_a_permitted_tool_acts_only_when_it_is_on_record(agent: Agent):
    events = agent.runtime.run(replace(turn_of("permit execute touch x"), session_id="s1"))
    started = await anext(events)
    assert isinstance(started, ToolStarted)
    await asyncio.sleep(0.3)
    assert not (agent.folder / "acted").exists()  # the path has not asked for more yet
    rest = [event async for event in events]
    assert (agent.folder / "acted").exists()
    assert isinstance(rest[-1], Final)


async def test_what_is_not_a_command_is_shown_with_its_arguments(agent: Agent):
    await agent.events("permit edit")
    (asked,) = agent.person.asked
    assert asked.command.startswith('Do it\n{\n  "path": "/x",\n  "content": "yyy')
    assert "(3000 characters more)" in asked.command


async def test_permission_may_be_given_or_withheld_without_asking(make: Make):
    allowing, denying = make(permission="allow"), make(permission="deny")
    assert await allowing.say("permit execute ls") == "chosen the-allow_once"
    assert await denying.say("permit execute ls") == "chosen the-reject_once"
    assert allowing.person.asked == denying.person.asked == []


@pytest.mark.parametrize(
    "turn",
    [
        {"is_untrusted": True},
        {"entries": [HistoryMessage("user", "x", {"untrusted": True})]},
    ],
)
async def test_other_peoples_words_are_never_allowed_unasked(make: Make, turn: dict[str, Any]):
    agent = make(permission="allow")
    agent.person.answer = Decided("deny")
    assert await agent.say("permit execute ls", **turn) == "chosen the-reject_once"
    assert [asked.warning for asked in agent.person.asked] == [UNTRUSTED]


async def test_a_turn_that_is_cancelled_takes_its_question_back(agent: Agent):
    agent.person.thinks = asyncio.Event()
    turn = asyncio.ensure_future(agent.events("permit execute ls"))
    await eventually(lambda: agent.person.asked)
    turn.cancel()
    await asyncio.gather(turn, return_exceptions=True)
    await agent.at_rest()
    assert agent.person.cancelled == 1
    agent.person.thinks = None
    assert "permit execute ls" in (await agent.facts())["said"]  # and it lives on


# -- cancelling, limits -----------------------------------------------------------------------


async def test_a_cancelled_turn_stops_the_program_gently(agent: Agent):
    pid = (await agent.facts())["pid"]
    turn = replace(turn_of("wait"), session_id="s1")
    events = agent.runtime.run(turn)
    assert await anext(events) == TextDelta("waiting")
    await events.aclose()
    assert (await agent.facts())["pid"] == pid


async def test_a_program_that_ignores_a_cancel_is_killed(make: Make):
    agent = make(command=rogue("hangs"), cancel_s=0.2)
    events = agent.runtime.run(turn_of())
    assert await anext(events) == TextDelta("half of it")
    (pid,) = left_over(agent.folder)
    await events.aclose()
    await agent.at_rest()
    assert not Path(f"/proc/{pid}").exists()
    assert agent.processes == 0


async def test_there_are_never_more_programs_than_allowed(make: Make):
    agent = make(command=rogue("behaves"), max_processes=2)
    pids = {(await agent.facts(session=f"s{n}"))["pid"] for n in range(5)}
    await agent.at_rest()
    assert len(pids) == 5
    assert agent.processes == 2
    assert len(left_over(agent.folder)) == 2


async def test_when_all_are_busy_a_turn_waits_and_then_is_told(make: Make):
    agent = make(command=rogue("waits"), max_processes=1, startup_s=60.0)
    holding = agent.runtime.run(replace(turn_of(), session_id="s1"))
    assert await anext(holding) == TextDelta("waiting")
    object.__setattr__(agent.settings, "startup_s", 0.2)
    busy = (await agent.events(session="s2"))[-1]
    assert busy == Failed(
        "The agent is busy with other conversations. Please try again in a moment.", "rate_limit"
    )
    object.__setattr__(agent.settings, "startup_s", 60.0)
    waiting = agent.runtime.run(replace(turn_of(), session_id="s2"))
    first = asyncio.ensure_future(anext(waiting))
    await asyncio.sleep(0.05)
    assert not first.done()
    await holding.aclose()
    assert await first == TextDelta("waiting")
    await waiting.aclose()


async def test_an_idle_program_is_ended(make: Make):
    agent = make(command=rogue("behaves"), idle_s=0.05)
    await agent.say("hi")
    await eventually(lambda: agent.processes == 0)
    await eventually(lambda: left_over(agent.folder) == [])


async def test_a_program_that_died_in_between_is_replaced(make: Make):
    agent = make(command=rogue("behaves"))
    pid = (await agent.facts())["pid"]
    await agent.at_rest()
    (worker,) = agent.runtime._pool._idle.values()
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not worker.is_fit)
    assert (await agent.facts())["pid"] != pid


async def test_an_answer_is_bounded(make: Make):
    agent = make(command=rogue("talks for ever"), cancel_s=0.2)
    events = await agent.events()
    assert isinstance(events[-1], Failed)
    assert sum(len(event.text) for event in events[:-1]) <= 1_000_000
    await agent.at_rest()
    assert left_over(agent.folder) == []


# -- a bad program ----------------------------------------------------------------------------

UNSTARTABLE = "The agent's program could not be started. The operator can find out why in the log."
ENDED = "The agent's program ended before it had answered. Please try again."
UNRULY = "The agent's program sent what cannot be understood. The operator can find out more."


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("exits at once", UNSTARTABLE),
        ("never answers", UNSTARTABLE),
        ("writes only junk", UNSTARTABLE),
        ("a line without end", UNSTARTABLE),
        ("closes stdout", UNSTARTABLE),
        ("another version", UNSTARTABLE),
        ("bad session", UNRULY),
        ("is not logged in", "The agent's program is not logged in."),
        ("is logged out", "The agent's program is not logged in."),
        ("dies", ENDED),
        ("answers nonsense", UNRULY),
        ("answers no object", UNRULY),
        ("writes a huge line", UNRULY),
        ("hangs", "The agent's program does not answer."),
        ("asks a hundred times", "The agent's program does not answer."),
    ],
)
async def test_each_misbehaviour_ends_its_turn_with_a_sentence(make: Make, how: str, message: str):
    # Short only where it is what ends the turn: a slow machine takes its time to start a program.
    startup_s = 1.0 if message == UNSTARTABLE else 60.0
    silence_s = 1.0 if how in {"hangs", "asks a hundred times"} else 60.0
    agent = make(command=rogue(how), startup_s=startup_s, silence_s=silence_s, cancel_s=0.2)
    events = await agent.events()
    assert isinstance(events[-1], Failed)
    assert events[-1].message == message
    await agent.at_rest()
    survivors = 1 if how in {"is not logged in", "is logged out"} else 0
    assert len(left_over(agent.folder)) == survivors


@pytest.mark.parametrize(
    "how", ["junk before the handshake", "bad capabilities", "says odd things", "floods stderr"]
)
async def test_some_misbehaviour_is_passed_over(make: Make, how: str):
    events = await make(command=rogue(how)).events()
    assert said(events).endswith("fine")
    finished = [event for event in events if isinstance(event, ToolFinished)]
    assert len(finished) == (1 if how == "says odd things" else 0)


async def test_a_program_that_is_not_there_is_said_at_once(make: Make):
    agent = make(command=("/no/such/program",))
    assert (await agent.events())[-1] == Failed(UNSTARTABLE)
    agent = make(cwd="/no/such/folder")
    assert (await agent.events())[-1] == Failed(UNSTARTABLE)


async def test_failed_starts_are_tried_again_with_pauses(make: Make, tmp_path: Path):
    script = tmp_path / "acp_flaky.py"
    script.write_text("import sys; open('starts', 'a').write('x'); sys.exit(1)")
    agent = make(command=(sys.executable, str(script), "behaves"))
    for _ in range(5):
        assert (await agent.events())[-1] == Failed(UNSTARTABLE)
    assert len((tmp_path / "starts").read_text()) < 5
    script.write_text((FAKES / "acp_rogue.py").read_text())

    async def answered() -> bool:
        return isinstance((await agent.events("hi"))[-1], Final)

    await eventually(answered)


async def test_children_end_with_the_program(make: Make, tmp_path: Path):
    pids = tmp_path / "pids"
    for how in ("ignores everything", "leaves a child"):
        agent = make(command=rogue(how), env=ENV | {"PIDS": str(pids)}, silence_s=0.5, cancel_s=0.1)
        await agent.events()
        await agent.at_rest()
        await agent.runtime.close()
    numbers = [int(word) for word in pids.read_text().split()]
    assert len(numbers) == 4

    def alive() -> list[int]:
        return [n for n in numbers if is_running(n)]

    await eventually(lambda: alive() == [])


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def test_closing_in_the_middle_of_a_turn_leaves_nothing(make: Make):
    agent = make(command=rogue("hangs"))
    turn: Turn = turn_of()
    events = agent.runtime.run(turn)
    await anext(events)
    await agent.runtime.close()
    last = [event async for event in events][-1]
    assert last == Failed(ENDED)
    assert left_over(agent.folder) == []
    assert (await agent.events())[-1] == Failed(UNSTARTABLE)
