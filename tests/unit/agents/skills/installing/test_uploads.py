"""Archives that come in piece by piece."""

from __future__ import annotations

import hashlib

import pytest

from portico.agents.skills.installing.uploads import KEPT_S, MAX_OPEN, Upload, Uploads
from portico.protocol.errors import InvalidRequest, Unavailable
from tests.support.clock import FakeClock

DIGEST = hashlib.sha256(b"abcdef").hexdigest()


def begun(uploads: Uploads, size: int = 6, sha256: str | None = None) -> Upload:
    return uploads.begin("hat", size, most=100, sha256=sha256, force=False)


def test_pieces_in_order_make_an_upload() -> None:
    uploads = Uploads(clock=FakeClock())
    upload = begun(uploads, sha256=DIGEST.upper())
    uploads.add(upload.upload_id, 0, b"abc")
    uploads.add(upload.upload_id, 3, b"def")
    assert uploads.commit(upload.upload_id, None).is_whole
    assert bytes(uploads.take(upload.upload_id, "hat").content) == b"abcdef"
    with pytest.raises(InvalidRequest, match="unknown upload"):
        uploads.take(upload.upload_id, "hat")


def test_pieces_that_do_not_belong() -> None:
    uploads = Uploads(clock=FakeClock())
    upload = begun(uploads)
    uploads.add(upload.upload_id, 0, b"abc")
    for offset, piece, why in (
        (0, b"abc", "begins at 3"),
        (4, b"x", "begins at 3"),
        (3, b"defg", "this is more"),
    ):
        with pytest.raises(InvalidRequest, match=why):
            uploads.add(upload.upload_id, offset, piece)
    with pytest.raises(InvalidRequest, match="3 bytes are missing"):
        uploads.commit(upload.upload_id, None)
    with pytest.raises(InvalidRequest, match="not committed"):
        uploads.take(upload.upload_id, "hat")


@pytest.mark.parametrize("said", [("0" * 64, None), (None, "0" * 64), (DIGEST, "0" * 64)])
def test_something_else_than_was_said(said: tuple[str | None, str | None]) -> None:
    uploads = Uploads(clock=FakeClock())
    upload = begun(uploads, sha256=said[0])
    uploads.add(upload.upload_id, 0, b"abcdef")
    with pytest.raises(InvalidRequest, match=DIGEST):
        uploads.commit(upload.upload_id, said[1])


def test_another_skill_than_it_was_begun_for() -> None:
    uploads = Uploads(clock=FakeClock())
    upload = begun(uploads)
    uploads.add(upload.upload_id, 0, b"abcdef")
    uploads.commit(upload.upload_id, DIGEST)
    with pytest.raises(InvalidRequest, match="begun for hat"):
        uploads.take(upload.upload_id, "cap")
    with pytest.raises(InvalidRequest, match="next piece"):
        uploads.add(upload.upload_id, 6, b"x")


def test_size_name_and_number_are_bounded_and_old_ones_forgotten() -> None:
    clock = FakeClock()
    uploads = Uploads(clock=clock)
    with pytest.raises(InvalidRequest, match="may have 100 bytes"):
        begun(uploads, 101)
    with pytest.raises(InvalidRequest, match="invalid skill slug"):
        uploads.begin("../x", 1, most=100, sha256=None, force=False)
    opened = [begun(uploads) for _ in range(MAX_OPEN)]
    with pytest.raises(Unavailable, match="too many"):
        begun(uploads)
    clock.advance(KEPT_S + 1)
    assert begun(uploads).size_bytes == 6
    with pytest.raises(InvalidRequest, match="unknown upload"):
        uploads.add(opened[0].upload_id, 0, b"a")
