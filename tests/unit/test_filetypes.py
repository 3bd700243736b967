"""What a file is, by its bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.filetypes import kind_of, sniffed, verified

PNG = b"\x89PNG\r\n\x1a\n and so on"


@pytest.mark.parametrize(
    ("head", "mime_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0..JFIF", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"RIFF\0\0\0\0????", None),
        (b"\0\0\0\x18ftypavif", "image/avif"),
        (b"\0\0\0\x18ftypisom", "video/mp4"),
        (b"\0\0\0\x18ftypM4A ", "audio/mp4"),
        (b"OggS" + b"\0" * 24 + b"OpusHead", "audio/ogg"),
        (b"OggS" + b"\0" * 24 + b"\x80theora", "video/ogg"),
        (b"\x1aE\xdf\xa3....webm", "video/webm"),
        (b"ID3\x04", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"\xff\xfeh\0i\0", None),  # a text in UTF-16, not a sound
        (b"%PDF-1.7", "application/pdf"),
        (b"BM" + b"\0" * 12 + b"\x28\0\0\0" + b"\0" * 20, "image/bmp"),
        (b"BMW is a car, and this a text of it", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", None),
        (b"", None),
    ],
)
def test_signatures(head: bytes, mime_type: str | None) -> None:
    assert sniffed(head) == mime_type


@pytest.mark.parametrize(
    ("head", "claimed", "is_called"),
    [
        (b"<script>alert(1)</script>", "image/png", "text/plain"),
        (b"<script>alert(1)</script>", "text/html; charset=utf-8", "text/html"),
        (b"<svg/>", "image/svg+xml", "text/plain"),
        (b"a,b", "text/csv", "text/csv"),
        (b"{}", "application/json", "application/json"),
        (b"hello", "application/pdf", "text/plain"),
        (PNG, "text/html", "image/png"),
        (PNG, None, "image/png"),
        (b"\0\1\2\3", "image/png", "application/octet-stream"),
        (b"\0\1\2\3", "audio/ogg", "application/octet-stream"),
        (b"\0\1\2\3", "text/html", "application/octet-stream"),
        (b"\0\1\2\3", "application/x-sqlite3", "application/x-sqlite3"),
        (b"\0\1\2\3", "no type\r\nset-cookie: x", "application/octet-stream"),
        (b"PK\3\4", "application/vnd.ms-excel", "application/vnd.ms-excel"),
        (b"PK\3\4", "image/png", "application/zip"),
        (b"\x1aE\xdf\xa3....webm", "audio/webm", "audio/webm"),
        ("é".encode() * 2_047 + "…".encode()[:2], None, "text/plain"),  # cut within a letter
    ],
)  # fmt: skip
def test_a_claim_counts_where_it_does_no_harm(
    head: bytes, claimed: str | None, is_called: str
) -> None:
    assert verified(head, claimed) == is_called


@given(st.binary(max_size=64), st.sampled_from(["image/png", "audio/ogg", "video/mp4", "x/y", ""]))
def test_nothing_is_called_a_picture_a_sound_or_a_video_that_has_no_signature(
    head: bytes, claimed: str
) -> None:
    if kind_of(verified(head, claimed)) != "file":
        assert sniffed(head) is not None
