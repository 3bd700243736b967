"""Who is told that files have changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portico.canvas.changes import Changes, TooManyViewers, Viewer
from portico.canvas.settings import CanvasSettings
from portico.tasks import Tasks
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    failed: list[BaseException] = []
    running = Tasks(lambda _name, error: failed.append(error))
    yield running
    await running.stop()
    assert failed == []


async def seen(viewer: Viewer, file: Path) -> None:
    """Write until it is told: the watcher begins in a thread of its own."""

    async def written() -> bool:
        file.write_text(str(asyncio.get_running_loop().time()))
        return await viewer.changed(within_s=0.5)

    await eventually(written)


async def test_all_who_look_are_told(tmp_path: Path, tasks: Tasks) -> None:
    changes = Changes(tasks=tasks, settings=CanvasSettings())
    with changes.following(tmp_path) as one, changes.following(tmp_path) as two:
        await seen(one, tmp_path / "a.html")
        assert await two.changed(within_s=30)
        assert len(changes) == len(tasks) == 1
        (tmp_path / "deep").mkdir()
        await seen(one, tmp_path / "deep" / "b.css")
    assert len(changes) == 0
    await eventually(lambda: len(tasks) == 0)


async def test_watchers_and_viewers_are_bounded(tmp_path: Path, tasks: Tasks) -> None:
    settings = CanvasSettings(max_watched=1, max_viewers=2)
    changes = Changes(tasks=tasks, settings=settings)
    (tmp_path / "other").mkdir()
    with changes.following(tmp_path):
        with pytest.raises(TooManyViewers), changes.following(tmp_path / "other"):
            pass
        with (
            changes.following(tmp_path),
            pytest.raises(TooManyViewers),
            changes.following(tmp_path),
        ):
            pass
    with changes.following(tmp_path / "other"):
        assert len(changes) == 1


async def test_a_folder_that_is_not_there_is_no_failure(tmp_path: Path, tasks: Tasks) -> None:
    changes = Changes(tasks=tasks, settings=CanvasSettings())
    with changes.following(tmp_path / "nothing") as viewer:
        await eventually(lambda: len(changes) == 0)
        assert not await viewer.changed(within_s=0.01)


async def test_nobody_waits_when_the_gateway_stops(tmp_path: Path, tasks: Tasks) -> None:
    changes = Changes(tasks=tasks, settings=CanvasSettings())
    with changes.following(tmp_path) as viewer:
        changes.close()
        assert await viewer.changed(within_s=30)
        with pytest.raises(TooManyViewers), changes.following(tmp_path):
            pass
