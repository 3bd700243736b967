from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portico.system.log_tail import Tail, read_tail, readable


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\nthree\n")
    return path


def tail(path: Path, **how: Any) -> Tail:
    return read_tail(path, **{"cursor": None, "limit": 500, "max_bytes": 1000, **how})


def test_the_whole_file_fits(log: Path):
    assert tail(log) == Tail(("one", "two", "three"), 14, 14)


def test_a_limit_keeps_the_newest_lines(log: Path):
    assert tail(log, limit=1) == Tail(("three",), 14, 14, is_truncated=True)


def test_the_first_half_line_is_dropped(log: Path):
    assert tail(log, max_bytes=8) == Tail(("three",), 14, 14, is_truncated=True)
    assert tail(log, max_bytes=10) == Tail(("two", "three"), 14, 14, is_truncated=True)


def test_following_gives_every_line_once(log: Path):
    assert tail(log, cursor=14) == Tail((), 14, 14)
    with log.open("ab") as file:
        file.write(b"fo")
    assert tail(log, cursor=14) == Tail((), 14, 16)
    with log.open("ab") as file:
        file.write(b"ur\nfive\n")
    assert tail(log, cursor=14) == Tail(("four", "five"), 24, 24)


def test_a_cursor_too_far_back_is_reset_and_says_what_is_missing(log: Path):
    assert tail(log, cursor=0, max_bytes=6) == Tail(
        ("three",), 14, 14, is_truncated=True, is_reset=True, skipped_bytes=8
    )


def test_a_rotated_file_begins_anew(log: Path):
    log.write_bytes(b"new\n")
    assert tail(log, cursor=14) == Tail(("new",), 4, 4, is_reset=True)


def test_no_file_is_an_empty_log(tmp_path: Path):
    assert tail(tmp_path / "none") == Tail((), 0, 0)
    assert tail(tmp_path / "none", cursor=5).is_reset is True


def test_a_half_line_alone_is_left_for_later(tmp_path: Path):
    (tmp_path / "log").write_bytes(b"half")
    assert tail(tmp_path / "log") == Tail((), 0, 4)


def test_events_get_a_message_that_viewers_show():
    line = '{"timestamp":"t","level":"info","event":"gateway.ready","pid":7,"url":"u"}'
    shown = json.loads(readable(line))
    assert shown["message"] == shown["0"] == "gateway.ready pid=7 url=u"
    assert (shown["time"], shown["_meta"]["logLevelName"]) == ("t", "INFO")
    assert shown["event"] == "gateway.ready"


def test_other_lines_stay_as_they_are():
    for line in ("plain", "[1]", '{"n":1}', '{"event":"e","message":"m"}', ""):
        assert readable(line) == line
