"""One log: JSON lines in a file, readable lines on the console."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import structlog

from portico.observe import logging as ours
from portico.observe.logging import LogSettings, configure_logging


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_events_go_to_the_file_and_the_console(tmp_path: Path) -> None:
    file, console = tmp_path / "logs" / "portico.log", io.StringIO()
    close = configure_logging(LogSettings(file=file), secrets=["s3cret-value"], console=console)
    structlog.get_logger().info("turn.ended", run_id="r1", note="s3cret-value")
    close()
    (line,) = lines(file)
    assert line["event"] == "turn.ended"
    assert line["level"] == "info"
    assert line["run_id"] == "r1"
    assert line["timestamp"].endswith("Z")
    assert "s3cret" not in console.getvalue() + file.read_text()
    assert "turn.ended  run_id=r1" in console.getvalue()
    assert file.stat().st_mode & 0o777 == 0o600


def test_exceptions_bring_their_traceback(tmp_path: Path) -> None:
    file = tmp_path / "l"
    close = configure_logging(LogSettings(file=file), console=io.StringIO())
    try:
        raise ValueError("token=abcdef123456")
    except ValueError as error:
        structlog.get_logger().error("it.broke", exc_info=error)
        structlog.get_logger().exception("it.broke.again")
    close()
    first, second = lines(file)
    assert "ValueError" in first["error"]
    assert "Traceback" in second["error"]
    assert second["level"] == "error"
    assert "abcdef123456" not in file.read_text()


def test_levels_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "l"
    close = configure_logging(LogSettings(level="warn", file=file), console=io.StringIO())
    structlog.get_logger().info("not.this")
    structlog.get_logger().warning("but.this")
    close()
    assert [line["event"] for line in lines(file)] == ["but.this"]


def test_libraries_are_heard_only_when_it_matters(tmp_path: Path) -> None:
    file = tmp_path / "l"
    close = configure_logging(LogSettings(file=file), console=io.StringIO())
    logging.getLogger("uvicorn.error").info("chatter")
    logging.getLogger("websockets.server").info("chatter")
    logging.getLogger("uvicorn.error").error("cannot bind %s", "port")
    close()
    assert [(line["event"], line["logger"]) for line in lines(file)] == [
        ("cannot bind port", "uvicorn.error")
    ]


def test_context_is_part_of_every_event(tmp_path: Path) -> None:
    file = tmp_path / "l"
    close = configure_logging(LogSettings(file=file), console=io.StringIO())
    with structlog.contextvars.bound_contextvars(conn_id="c1"):
        structlog.get_logger().info("a.b")
    close()
    assert lines(file)[0]["conn_id"] == "c1"


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "FILE_BYTES", 2_000)
    file = tmp_path / "portico.log"
    close = configure_logging(LogSettings(file=file), console=io.StringIO())
    for number in range(500):
        structlog.get_logger().info("again", number=number)
    close()
    files = list(tmp_path.iterdir())
    assert len(files) == ours.FILES
    assert all(found.stat().st_size <= 2_000 for found in files)


def test_json_on_the_console(tmp_path: Path) -> None:
    console = io.StringIO()
    configure_logging(LogSettings(console_style="json"), console=console)
    structlog.get_logger().info("a.b", path=Path("x"))
    assert json.loads(console.getvalue())["path"] == "x"


def test_a_console_that_is_gone_does_no_harm() -> None:
    console = io.StringIO()
    configure_logging(LogSettings(), console=console)
    console.close()
    structlog.get_logger().info("a.b")
