"""Content parts and sizes of the gateway message API (behaviours 5-8)."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from portico.fetch import Fetched, FetchRefused
from tests.support.http import MESSAGES, House, Scripted, house, listening, settings

pytestmark = pytest.mark.anyio

WAV = base64.b64encode(b"RIFFsound").decode()


class FakeDownload:
    """Has files by URL and records what was asked for."""

    def __init__(self, files: dict[str, Fetched]) -> None:
        self.files = files
        self.asked: list[str] = []

    async def fetch(self, url: str, *, max_bytes: int) -> Fetched:
        self.asked.append(url)
        if url not in self.files:
            raise FetchRefused("the url answered with status 404")
        return self.files[url]


MP4 = b"\0\0\0\x18ftypisom"


async def post(inside: House, *parts: dict[str, Any], **fields: Any) -> Any:
    body = {"from": "ann", "content_parts": parts, **fields}
    return await inside.client.post(MESSAGES, json=body)


async def test_text_parts_become_the_text(tmp_path: Path) -> None:
    runtime = Scripted()
    async with house(tmp_path, runtime=runtime) as inside:
        await post(inside, {"type": "text", "text": "one"}, {"type": "text", "text": "two"})
        await post(inside, {"type": "text", "text": "two"}, text="one")
        await post(inside, {"type": "link", "link": {"url": "https://x.example", "title": "X"}})
        place = {"name": "Graz", "latitude": 47.07, "longitude": 15.44}
        await post(inside, {"type": "location", "location": place})
        assert [(seen.text, seen.parts) for seen in runtime.seen] == [
            ("one\ntwo", ()),
            ("one\ntwo", ()),
            ("X\nhttps://x.example", ()),
            ("Graz\nlatitude=47.07\nlongitude=15.44", ()),
        ]


async def test_an_image_alone_and_among_text_keeps_order_and_bytes(tmp_path: Path) -> None:
    runtime = Scripted()
    async with house(tmp_path, runtime=runtime) as inside:
        data = base64.b64encode(b"\x89PNG").decode()
        image = {"type": "image", "image": {"data": data, "format": "png"}}
        by_url = {"type": "image", "image": {"url": "https://x.example/a.png", "detail": "low"}}
        assert (await post(inside, image)).status_code == 200
        assert (
            await post(inside, by_url, {"type": "text", "text": "b"}, text="a")
        ).status_code == 200
        alone, mixed = runtime.seen
        made = {"type": "image", "data": data, "format": "png", "detail": "auto"}
        assert (alone.text, alone.parts) == ("", (made,))
        assert mixed.text == "a\nb"
        assert mixed.parts == (
            {"type": "text", "text": "a"},
            {"type": "image", "url": "https://x.example/a.png", "detail": "low"},
            {"type": "text", "text": "b"},
        )


async def test_urls_of_sounds_and_files_arrive_as_bytes(tmp_path: Path) -> None:
    runtime = Scripted()
    files = {
        "https://x.example/a.mp3": Fetched(b"ID3", "", "a.mp3"),
        "https://x.example/b": Fetched(b"RIFF", "audio/x-wav", "b"),
        "https://x.example/c": Fetched(b"%PDF-1.7", "application/pdf", "report.pdf"),
        "https://x.example/d.mp4": Fetched(MP4, "", "d.mp4"),
    }
    async with house(tmp_path, runtime=runtime) as inside:
        inside.messages._fetcher = FakeDownload(files)
        answer = await post(
            inside,
            {"type": "audio", "audio": {"url": "https://x.example/a.mp3"}},
            {"type": "voice", "audio": {"url": "https://x.example/b"}},
            {"type": "file", "file": {"url": "https://x.example/c"}},
            {"type": "video", "file": {"url": "https://x.example/d.mp4"}},
            {"type": "file", "file": {"file_id": "f-1"}},
        )
        assert answer.status_code == 200, answer.text

        def data(body: bytes) -> str:
            return base64.b64encode(body).decode()

        assert runtime.seen[0].parts == (
            {"type": "audio", "format": "mp3", "data": data(b"ID3")},
            {"type": "audio", "voice": True, "format": "wav", "data": data(b"RIFF")},
            {
                "type": "file",
                "filename": "report.pdf",
                "mime_type": "application/pdf",
                "data": data(b"%PDF-1.7"),
            },
            {"type": "video", "filename": "d.mp4", "mime_type": "video/mp4", "data": data(MP4)},
            {"type": "file", "file_id": "f-1", "filename": ""},
        )


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"type": "hologram"}, "unsupported content part type"),
        ({"type": "text"}, "missing text"),
        ({"type": "image"}, "missing image"),
        ({"type": "image", "image": {}}, "missing image data or url"),
        ({"type": "image", "image": {"data": WAV}}, "missing image format"),
        ({"type": "image", "image": {"url": "file:///etc/passwd"}}, "must begin with http"),
        ({"type": "audio", "audio": {"data": WAV, "format": "flac"}}, "must be wav or mp3"),
        ({"type": "audio", "audio": {"format": "wav"}}, "missing data"),
        ({"type": "file", "file": {"data": WAV}}, "missing filename"),
        ({"type": "file", "file": {"url": "ftp://x.example/a"}}, "must begin with http"),
        ({"type": "audio", "audio": {"url": "https://x.example/none.wav"}}, "status 404"),
    ],
)
async def test_bad_parts_are_named(tmp_path: Path, part: dict[str, Any], message: str) -> None:
    async with house(tmp_path) as inside:
        inside.messages._fetcher = FakeDownload({})
        answer = await post(inside, {"type": "text", "text": "ok"}, part)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["message"].startswith("content_parts[1]: ")
        assert message in error["message"]


async def test_private_addresses_are_refused_by_default(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        for url in (
            "http://127.0.0.1:1/a.wav",
            "http://[::1]/a.wav",
            "http://169.254.169.254/a.wav",
        ):
            answer = await post(inside, {"type": "audio", "audio": {"url": url}})
            assert answer.status_code == 400
            assert "not public" in answer.json()["error"]["message"]


async def test_nothing_is_fetched_for_strangers_or_ignored_messages(tmp_path: Path) -> None:
    rules = {"allowUsers": ["bob"], "requireMention": True, "mentionPatterns": ["@bot"]}
    async with house(tmp_path, settings({"messages": rules})) as inside:
        download = FakeDownload({})
        inside.messages._fetcher = download
        part = {"type": "file", "file": {"url": "https://x.example/c"}}
        assert (await post(inside, part)).status_code == 403
        ignored = await post(inside, part, thread="T", text="hi", user_id="bob")
        assert ignored.json() == {"ignored": True}
        assert download.asked == []


async def test_a_repeat_with_urls_is_recognised_without_fetching_again(tmp_path: Path) -> None:
    async with house(tmp_path, runtime=Scripted()) as inside:
        download = FakeDownload({"https://x.example/c": Fetched(b"1", "text/plain", "c")})
        inside.messages._fetcher = download
        part = {"type": "file", "file": {"url": "https://x.example/c"}}
        first = await post(inside, part, request_id="r")
        download.files.clear()
        assert (await post(inside, part, request_id="r")).json() == first.json()
        assert (await post(inside, part, text="more", request_id="r")).status_code == 409
        assert download.asked == ["https://x.example/c"]


async def test_eight_mebibytes_pass_and_more_do_not(tmp_path: Path) -> None:
    runtime = Scripted()
    async with house(tmp_path, runtime=runtime) as inside:
        exactly = base64.b64encode(b"x" * (8 << 20)).decode()
        part = {"type": "file", "file": {"data": exactly, "filename": "a.bin"}}
        assert (await post(inside, part)).status_code == 200
        assert runtime.seen[0].parts[0]["data"] == exactly
        larger = base64.b64encode(b"x" * ((8 << 20) + 1)).decode()
        part = {"type": "file", "file": {"data": larger, "filename": "a.bin"}}
        refused = await post(inside, part)
        assert (refused.status_code, "too large" in refused.text) == (400, True)


async def test_a_body_over_the_limit_is_413_announced_or_not(tmp_path: Path) -> None:
    config = settings({"http": {"maxBodyBytes": 2048}})
    async with house(tmp_path, config) as inside, listening(inside.gateway) as url:
        body = b'{"from":"ann","text":"' + b"x" * 4096 + b'"}'

        async def chunks() -> Any:
            for start in range(0, len(body), 512):
                yield body[start : start + 512]

        for content in (body, chunks()):
            answer = await inside.client.post(MESSAGES, content=content)
            assert answer.status_code == 413
            assert answer.json()["error"]["type"] == "payload_too_large"
        import httpx2

        async with httpx2.AsyncClient(headers=inside.client.headers) as client:
            answer = await client.post(f"{url}{MESSAGES}", content=body)
            assert answer.status_code == 413
