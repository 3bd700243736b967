from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from portico.channels.manifest import find_manifests
from portico.config.paths import ConfigPaths, resolve_paths
from portico.config.service import load
from portico.setup.model import (
    Checked,
    Known,
    Progress,
    TooManyWizards,
    Unacceptable,
    WizardNotFound,
    WizardSettings,
)
from portico.setup.service import Install, Wizards
from portico.setup.writing import FileWriter
from tests.fakes.clock import FakeClock

SECRET = "sk-0123456789-very-secret"


class LookUps:
    def __init__(self) -> None:
        self.found: dict[str, list[Checked]] = {}
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def run(self, check_id: str, known: Known) -> Checked:
        self.asked.append(check_id)
        await self.gate.wait()
        left = self.found.get(check_id)
        return left.pop(0) if left else Checked()


class Setup:
    """Wizards on a state directory of their own."""

    def __init__(
        self,
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        install: Install | None = None,
        most: int = 8,
    ) -> None:
        self.paths: ConfigPaths = resolve_paths(env={}, state_dir=folder / "state")
        self.env = env or {}
        self.clock = FakeClock()
        self.look_ups = LookUps()
        self.wizards = Wizards(
            writer=FileWriter(self.paths, env=self.env),
            look_ups=self.look_ups,
            manifests=find_manifests,
            env=self.env,
            clock=self.clock,
            new_token=lambda: "a" * 48,
            install=install,
            settings=WizardSettings(most=most, idle_ms=1_000),
        )
        self.steps: list[str] = []
        self.texts: list[str] = []

    async def walk(self, answers: dict[str, Any], **start: Any) -> Progress:
        """Answer what is given; elsewhere take what stands. A refused answer stops it."""
        wizard_id, progress = await self.wizards.start(**start)
        while progress.status == "running":
            step = progress.step
            assert step is not None
            self.steps.append(step.id)
            self.texts.append(f"{step}")
            given = answers.get(step.id, step.initial_value)
            value = given.pop(0) if isinstance(given, list) else given
            progress = await self.wizards.next(wizard_id, step_id=step.id, value=value)
            if progress.error is not None:
                return progress
        return progress


OPENAI = {"model.provider": "openai", "model.key": SECRET, "model.id": "gpt-5"}


async def test_what_stands_is_taken_and_nothing_else_changes(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    assert (await setup.walk({})).status == "done"
    config = load(setup.paths, env={}).require()
    assert config.gateway.auth.token == "a" * 48
    assert (config.gateway.port, config.gateway.bind) == (18789, "loopback")
    assert config.agents.runtime_for("main").type == "echo"
    assert setup.paths.config_file.stat().st_mode & 0o077 == 0
    before = setup.paths.config_file.read_text()
    assert (await setup.walk({})).status == "done"
    assert setup.paths.config_file.read_text() == before, "a second run kept the token"


async def test_a_model_and_a_channel_are_written(tmp_path: Path) -> None:
    setup = Setup(tmp_path, env={"BOT": "123456:abc"})
    answers = {**OPENAI, "channel": "telegram", "channel.set.botToken": "${BOT}"}
    progress = await setup.walk({**answers, "workspace": f"{tmp_path}/work", "gateway.port": 18790})
    assert (progress.status, progress.channels) == ("done", ("telegram",))
    assert setup.look_ups.asked == ["model.check", "channel.check"]
    loaded = load(setup.paths, env=setup.env)
    agents = loaded.require().agents
    assert agents.model_for("main").primary == "openai/gpt-5"
    assert agents.runtime_for("main").type == "model"
    assert agents.workspace_for("main", tmp_path) == tmp_path / "work"
    assert loaded.source["models"]["providers"]["openai"] == {"apiKey": SECRET}
    assert loaded.source["channels"]["telegram"]["botToken"] == "${BOT}", "a reference stays one"
    assert [entry.problems for entry in loaded.channel_accounts] == [()]
    assert SECRET not in "".join(setup.texts)


async def test_a_key_in_the_environment_stays_there(tmp_path: Path) -> None:
    setup = Setup(tmp_path, env={"OPENAI_API_KEY": SECRET})
    await setup.walk({"model.provider": "openai", "model.id": "openai/gpt-5"})
    assert "model.key" not in setup.steps
    source = load(setup.paths, env=setup.env).source
    assert source["models"]["providers"]["openai"] == {"apiKey": "${OPENAI_API_KEY}"}
    assert SECRET not in setup.paths.config_file.read_text()
    assert source["agents"]["defaults"]["model"] == "openai/gpt-5"


async def test_a_key_that_is_refused_is_asked_for_again(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    found = [Checked("openai does not take this key"), Checked(None, ("gpt-5", "gpt-5-mini"))]
    setup.look_ups.found["model.check"] = found
    answers = {**OPENAI, "model.key": ["wrong", SECRET], "model.after": ["again"]}
    assert (await setup.walk(answers)).status == "done"
    asked = [step for step in setup.steps if step.startswith("model.")]
    assert asked == ["model.provider", "model.key", "model.after", "model.key", "model.id"]
    assert "gpt-5, gpt-5-mini" in setup.texts[setup.steps.index("model.id")]
    source = load(setup.paths, env={}).source
    assert source["models"]["providers"]["openai"]["apiKey"] == SECRET


async def test_what_does_not_work_may_be_left_out(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.look_ups.found = {"model.check": [Checked("no")], "channel.check": [Checked("no")]}
    answers = {**OPENAI, "channel": "discord", "channel.set.token": "x.y.z"}
    left = {"model.after": "skip", "channel.after": "skip"}
    progress = await setup.walk({**answers, **left})
    assert (progress.status, progress.channels) == ("done", ())
    source = load(setup.paths, env={}).source
    assert source.keys() == {"gateway", "agents"}


async def test_an_account_is_asked_for_what_its_mode_needs(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    await setup.walk(
        {
            "channel": "slack",
            "channel.set.botToken": "xoxb-1-2-abc",
            "channel.set.appToken": "xapp-1-abc",
        }
    )
    asked = [step for step in setup.steps if step.startswith("channel.set.")]
    assert asked == ["channel.set.botToken", "channel.set.appToken"]
    setup = Setup(tmp_path)
    await setup.walk(
        {
            "channel": "matrix",
            "channel.set.homeserver": "https://matrix.example.org",
            "channel.set.userId": "@bot:example.org",
            "channel.set.password": "p",
        },
        flow="channels",
    )
    asked = [step for step in setup.steps if step.startswith("channel.set.")]
    assert [one.rpartition(".")[2] for one in asked] == [
        *("homeserver", "accessToken", "userId", "password")
    ]


@pytest.mark.parametrize(
    ("step", "value"),
    [
        ("workspace", "relative/path"),
        ("workspace", "/etc/passwd/below"),
        ("workspace", "/tmp/${HOME}"),
        ("gateway.port", "0"),
        ("gateway.port", "70000"),
        ("gateway.port", "²"),
        ("gateway.port", None),
        ("gateway.bind", "everywhere"),
        ("gateway.auth", "none"),
        ("model.provider", ["openai"]),
        ("channel", "carrier-pigeon"),
        ("finish", "perhaps"),
    ],
)
async def test_a_bad_answer_is_refused_and_the_step_stays(
    tmp_path: Path, step: str, value: Any
) -> None:
    setup = Setup(tmp_path)
    progress = await setup.walk({step: value if not isinstance(value, list) else [value]})
    assert progress.status == "running"
    assert progress.error
    assert progress.step is not None
    assert progress.step.id == step
    assert not setup.paths.config_file.exists()


async def test_no_at_the_end_changes_nothing(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    assert (await setup.walk({"finish": False})).status == "cancelled"
    assert not setup.paths.state_dir.exists()


async def test_wizards_are_bounded_and_expire(tmp_path: Path) -> None:
    setup = Setup(tmp_path, most=2)
    first, _ = await setup.wizards.start()
    await setup.wizards.start()
    with pytest.raises(TooManyWizards):
        await setup.wizards.start()
    setup.clock.advance(1_001)
    with pytest.raises(WizardNotFound):
        setup.wizards.status(first)
    third, _ = await setup.wizards.start()
    assert setup.wizards.cancel(third).status == "cancelled"
    with pytest.raises(WizardNotFound):
        await setup.wizards.next(third)


async def test_two_answers_at_once_count_as_one(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    wizard_id, _ = await setup.wizards.start()
    both = [setup.wizards.next(wizard_id, step_id="welcome", value=True) for _ in range(2)]
    first, second = await asyncio.gather(*both)
    assert first.error is None
    assert second.error == "Another step is asked now; this answer was not taken."
    assert (first.step, second.step) == (first.step, first.step)


async def test_a_channel_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unacceptable, match="no channel"):
        await Setup(tmp_path).wizards.start(flow="channels", channel="pigeon")


async def test_a_service_is_installed_after_the_write(tmp_path: Path) -> None:
    written = []

    async def install() -> str:
        written.append(setup.paths.config_file.exists())
        raise OSError("no systemd here")

    setup = Setup(tmp_path, install=install)
    progress = await setup.walk({}, install_service=True)
    assert written == [True]
    assert progress.status == "done"
    assert progress.notes == ("The service was not installed: no systemd here",)


async def test_only_a_model(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    assert (await setup.walk({}, flow="setup")).status == "done"
    before = load(setup.paths, env={}).require().gateway
    setup.steps.clear()
    assert (await setup.walk(OPENAI, flow="model")).status == "done"
    assert setup.steps == ["model.provider", "model.key", "model.id", "finish"]
    assert "Way in" not in setup.texts[-1]
    config = load(setup.paths, env={}).require()
    assert config.agents.model_for("main").primary == "openai/gpt-5"
    assert config.gateway == before


async def test_back_asks_again_and_looks_up_again(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    wizard_id, progress = await setup.wizards.start(flow="model")
    seen = []
    for value in ("openai", SECRET):
        assert progress.step is not None
        progress = await setup.wizards.next(wizard_id, step_id=progress.step.id, value=value)
    for _ in range(3):
        assert progress.step is not None
        seen.append(progress.step.id)
        progress = await setup.wizards.next(wizard_id, back=True)
    assert seen == ["model.id", "model.key", "model.provider"]
    assert progress.step is not None
    assert progress.step.id == "model.provider", "before the first question there is none"
    progress = await setup.wizards.next(wizard_id, step_id="model.provider", value="groq")
    progress = await setup.wizards.next(wizard_id, step_id="model.key", value=SECRET)
    assert setup.look_ups.asked == ["model.check", "model.check"]
    assert not setup.paths.config_file.exists()
