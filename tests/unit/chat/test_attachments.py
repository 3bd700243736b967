from __future__ import annotations

import base64

import pytest

from portico.chat.attachments import AttachmentLimits, accept_attachments
from portico.protocol.errors import InvalidRequest
from portico.sessions.talk import ChatAttachment

LIMITS = AttachmentLimits(max_bytes=10, max_image_bytes=4)


def file(data: bytes, mime_type: str | None = None, **more: object) -> ChatAttachment:
    content = base64.b64encode(data).decode()
    return ChatAttachment(content=content, mime_type=mime_type, **more)  # type: ignore[arg-type]


def test_sizes_are_of_the_decoded_bytes():
    for size in range(8):
        if size:
            (one,) = accept_attachments([file(b"x" * size)], LIMITS)
            assert one.size_bytes == size


def test_the_kind_follows_the_media_type():
    limits = AttachmentLimits()
    given = [file(b"x", "image/png"), file(b"x", "audio/ogg"), file(b"x", "text/plain"), file(b"x")]
    kinds = [one.type for one in accept_attachments(given, limits)]
    assert kinds == ["image", "audio", "file", "file"]
    (named,) = accept_attachments([file(b"x", "image/png", type="file")], limits)
    assert named.type == "file"


def test_a_data_url_brings_its_type():
    (one,) = accept_attachments([ChatAttachment(content="data:image/gif;base64,eHg=")], LIMITS)
    assert (one.mime_type, one.content, one.size_bytes) == ("image/gif", "eHg=", 2)


@pytest.mark.parametrize(
    "given",
    [
        [ChatAttachment()],
        [ChatAttachment(content=7)],
        [ChatAttachment(content="not base64!")],
        [ChatAttachment(content="data:text/plain,hello")],
        [file(b"x" * 5, "image/png")],
        [file(b"x" * 6), file(b"x" * 6)],
        [file(b"x")] * 21,
    ],
)
def test_what_cannot_be_taken_is_refused(given: list[ChatAttachment]):
    with pytest.raises(InvalidRequest):
        accept_attachments(given, LIMITS)
