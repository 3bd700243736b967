"""Whatever is answered, in whatever order: the file is as it was, or it is a good configuration."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portico.channels.manifest import find_manifests
from portico.config.paths import resolve_paths
from portico.config.service import load
from portico.setup.model import Checked, Known, Progress
from portico.setup.service import Wizards
from portico.setup.writing import FileWriter
from tests.fakes.clock import FakeClock

BEFORE = """\
// mine
{
  gateway: { port: 18789, auth: { mode: "token", token: "0123456789abcdef0123456789" } },
  agents: { list: [{ id: "main", runtime: "echo" }, { id: "other" }] }, // two
}
"""
ENV = {"OPENAI_API_KEY": "sk-of-the-environment", "SOME": "thing"}
TEXTS = st.sampled_from(
    [
        *("", "18790", "/tmp/somewhere", "~/x", "relative", "${SOME}", "${ABSENT}", "$${SOME}"),
        *("0123456789abcdef0", "123456:abc-def", "https://api.example.org/v1", "gpt-5", "a\"b'c"),
        *("agent@example.org", "imap.example.org", "// no comment", "}", "xoxb-1-2", "\u2028"),
    ]
)
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
PLACES = st.integers(min_value=0, max_value=20)
GO_BACK = 9
MOVES = st.lists(
    st.tuples(st.integers(0, 9), TEXTS, JUNK, PLACES, st.integers(0, 3)), min_size=1, max_size=60
)


class LookUps:
    """Finds what it is told to find."""

    def __init__(self) -> None:
        self.outcome = 0

    async def run(self, check_id: str, known: Known) -> Checked:
        return (Checked(), Checked("no"), Checked(None, ("m1", "m2")), Checked())[self.outcome]


def choose(progress: Progress, move: tuple[int, str, Any, int, int]) -> tuple[str, Any]:
    """Mostly what is asked, and mostly something sensible."""
    kind, text, junk, place, _ = move
    step = progress.step
    assert step is not None
    if kind == 0:
        return "another.step", text
    if kind == 1:
        return step.id, junk
    if step.type == "select" and step.options:
        return step.id, step.options[place % len(step.options)].value
    if step.type in {"confirm", "note"}:
        return step.id, place % 3 > 0
    if step.type == "text" and step.initial_value is not None and kind < 5:
        return step.id, step.initial_value
    return step.id, text


@given(moves=MOVES, exists=st.booleans(), flow=st.sampled_from(["setup", "channels", "model"]))
def test_any_answers_leave_a_good_configuration(moves: Any, exists: bool, flow: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(walk(Path(folder) / "state", moves, exists=exists, flow=flow))


async def walk(state_dir: Path, moves: Any, *, exists: bool, flow: Any) -> None:
    paths = resolve_paths(env={}, state_dir=state_dir)
    if exists:
        state_dir.mkdir(mode=0o700)
        paths.config_file.write_text(BEFORE)
    look_ups = LookUps()
    wizards = Wizards(
        writer=FileWriter(paths, env=ENV),
        look_ups=look_ups,
        manifests=find_manifests,
        env=ENV,
        clock=FakeClock(),
        new_token=lambda: "f" * 48,
    )
    wizard_id, progress = await wizards.start(flow=flow)
    for move in moves:
        look_ups.outcome = move[4]
        step_id, value = choose(progress, move)
        before = progress.step
        if move[0] == GO_BACK:
            progress = await wizards.next(wizard_id, back=True)
        else:
            progress = await wizards.next(wizard_id, step_id=step_id, value=value)
        if progress.error is not None and progress.status == "running":
            assert progress.step == before, "a refused answer moved the wizard"
        if progress.status != "running":
            break
        assert_untouched(paths, exists=exists)
    if progress.status != "done":
        wizards.cancel(wizard_id)
        assert_untouched(paths, exists=exists)
        return
    loaded = load(paths, env=ENV)
    assert loaded.valid, [issue.render() for issue in loaded.issues]
    loaded.require_startable()
    assert all(entry.config is not None for entry in loaded.channel_accounts)
    assert paths.config_file.stat().st_mode & 0o077 == 0 or exists
    if exists:
        assert "// two" in paths.config_file.read_text()


def assert_untouched(paths: Any, *, exists: bool) -> None:
    if exists:
        assert paths.config_file.read_text() == BEFORE
    else:
        assert not paths.config_file.exists()
