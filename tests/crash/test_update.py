"""An update of a gateway that runs: real wheels, real pip, a real environment, no network."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from portico.store.migrate import HEAD
from tests.e2e.gateway import ROOT, GatewayProcess, Operator, Refused
from tests.support.waiting import eventually
from tests.support.wheels import build_wheel, environment, install

pytestmark = [pytest.mark.crash]

TOKEN = "update-of-the-gateway-1"
FAILS_TO_IMPORT = "\nraise ImportError('this version is broken')\n"
FAILS_TO_START = """

async def serve(*_given, **_more):
    raise RuntimeError("this version does not come up")
"""
FALLS_OVER_AFTER_MIGRATING = """

async def _come_up(gateway, *_given):
    await gateway.ground.store.start()
    raise RuntimeError("migrated, and fell over")
"""
REVISION = '''\
"""One more table ({kind})."""

import sqlalchemy as sa
from alembic import op

revision = "9000"
down_revision = "{head}"


def upgrade():
    op.create_table("of_a_later_version", sa.Column("id", sa.Text(), primary_key=True))
'''


def migrating(kind: str) -> dict[str, str]:
    """What a version that changes the schema has in other files."""
    migrate = Path("src/portico/store/migrate.py")
    text = (ROOT / migrate).read_text()
    head = f'HEAD = "{HEAD}"'
    assert head in text
    return {
        str(migrate): text.replace(head, 'HEAD = "9000"'),
        "src/portico/store/migrations/versions/r9000_later.py": REVISION.format(
            kind=kind, head=HEAD
        ),
    }


def config(wheels: Path, **update: Any) -> dict[str, Any]:
    return {
        "gateway": {"auth": {"mode": "token", "token": TOKEN}},
        "update": {"allow": True, "wheels": str(wheels), **update},
    }


def finished(gateway: GatewayProcess, run_id: str) -> Any:
    """Return an update that has ended, as the gateway that runs now tells it."""
    try:
        with Operator(gateway) as operator:
            run = operator.call("update.runs.get", runId=run_id)["run"]
            return (
                {"version": operator.hello["server"]["version"], **run}
                if (run["phase"] == "finished")
                else None
            )
    except (OSError, Refused):
        return None


async def test_taken_over_and_rolled_back(tmp_path: Path) -> None:
    wheels, scratch = tmp_path / "wheels", tmp_path / "scratch"
    wheels.mkdir()
    python = await asyncio.to_thread(environment, tmp_path / "env")
    first = await asyncio.to_thread(build_wheel, "1.0.0", wheels, scratch=scratch)
    await asyncio.to_thread(install, python, first)
    gateway = GatewayProcess(tmp_path / "state", config=config(wheels), python=python)
    try:
        await asyncio.to_thread(gateway.start)
        assert gateway.ready["version"] == "1.0.0"
        with Operator(gateway) as operator:
            nothing = operator.call("update.run")
            assert (nothing["ok"], nothing["result"]["reason"]) == (True, "already-current")
            assert nothing["restart"] is None

            # A newer one: installed, checked, taken over without a gap.
            await asyncio.to_thread(build_wheel, "1.1.0", wheels, scratch=scratch)
            status = operator.call("update.status", refreshCheckout=True)
            assert status["updateAvailable"]["latestVersion"] == "1.1.0"
            run = operator.call("update.run", sessionKey="main", continuationMessage="go on")
            assert (run["ok"], run["restart"]["ok"]) == (True, True)
            operator.wait_event("update.run.changed", phase="restarting", status="running")
        gateway.ready = await asyncio.to_thread(gateway._wait_ready)
        assert gateway.ready["version"] == "1.1.0"
        ended = await eventually(lambda: finished(gateway, run["runId"]), within_s=60)
        assert (ended["status"], ended["version"]) == ("succeeded", "1.1.0")
        assert (ended["before"]["version"], ended["after"]["version"]) == ("1.0.0", "1.1.0")
        assert [one["step"] for one in ended["steps"]] == ["look", "install", "check"]
        with Operator(gateway) as operator:

            def told() -> bool:
                shown = operator.call("chat.history", sessionKey="main")["messages"]
                return "Update to 1.1.0: succeeded" in str(shown)

            await eventually(told, within_s=30)

            # One that cannot even be imported: the check finds it, nothing restarts.
            await asyncio.to_thread(
                build_wheel, "1.2.0", wheels, scratch=scratch, spoil=FAILS_TO_IMPORT
            )
            run = operator.call("update.run")
            assert not run["ok"]
            assert "this version is broken" in run["message"]

            # One that does not come up: the restart finds it, the former files are back.
            await asyncio.to_thread(
                build_wheel, "1.3.0", wheels, scratch=scratch, spoil=FAILS_TO_START
            )
            run = operator.call("update.run")
            assert run["ok"]
        ended = await eventually(lambda: finished(gateway, run["runId"]), within_s=60)
        assert (ended["status"], ended["version"]) == ("rolled-back", "1.1.0")
        assert "does not come up" in ended["reason"]
        assert ended["verification"]["rollbackOutcome"]["status"] == "succeeded"
        await asyncio.to_thread(gateway.hand_over)
        assert gateway.ready["version"] == "1.1.0", "and stays the one that is started"
        assert await asyncio.to_thread(gateway.stop) == 0
    finally:
        gateway.kill()


async def test_rolled_back_over_a_migrated_database(tmp_path: Path) -> None:
    """The new version has changed the schema: the former one works on it, and loses nothing."""
    wheels, scratch = tmp_path / "wheels", tmp_path / "scratch"
    wheels.mkdir()
    python = await asyncio.to_thread(environment, tmp_path / "env")
    first = await asyncio.to_thread(build_wheel, "1.0.0", wheels, scratch=scratch)
    await asyncio.to_thread(install, python, first)
    gateway = GatewayProcess(tmp_path / "state", config=config(wheels), python=python)
    try:
        await asyncio.to_thread(gateway.start)
        await asyncio.to_thread(
            build_wheel,
            "1.1.0",
            wheels,
            scratch=scratch,
            spoil=FALLS_OVER_AFTER_MIGRATING,
            files=migrating("expand"),
        )
        with Operator(gateway) as operator:
            run = operator.call("update.run")
            assert run["ok"]
        ended = await eventually(lambda: finished(gateway, run["runId"]), within_s=60)
        assert (ended["status"], ended["version"]) == ("rolled-back", "1.0.0")
        assert "migrated, and fell over" in ended["reason"]
        assert schema_of(gateway) == "9000"
        with Operator(gateway) as operator:
            operator.call("sessions.create", key="main", label="Kept")
        await asyncio.to_thread(gateway.hand_over)
        assert gateway.ready["version"] == "1.0.0"
        await asyncio.to_thread(gateway.restart)
        with Operator(gateway) as operator:
            assert "Kept" in str(operator.call("sessions.list"))
        assert schema_of(gateway) == "9000", "left for the next try"
        assert await asyncio.to_thread(gateway.stop) == 0
    finally:
        gateway.kill()


def schema_of(gateway: GatewayProcess) -> str:
    (file,) = gateway.state_dir.glob("*.sqlite")
    with closing(sqlite3.connect(file)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
