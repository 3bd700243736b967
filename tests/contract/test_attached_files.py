"""Files people attach, through a whole gateway: kept by hash, shown to agents, downloaded."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from portico.agents.runtime import Abilities, AgentEvent, Final, Turn
from portico.auth.model import Principal
from portico.channels.model import Attachment, InboundMessage, Peer
from portico.inbox.channels import ChannelIntake
from portico.inbox.policy import DoorPolicy
from portico.inbox.service import Inbox
from portico.media.store.blobs import GRACE_S
from portico.protocol.scopes import Role, expand
from portico.rpc.call import Call
from portico.store import Work
from portico.turns.files import SentFiles
from tests.fakes.receiver import Answer
from tests.fakes.transcription import KEY, TranscriptionService
from tests.support.house import ALL_SCOPES
from tests.support.http import House, house, settings
from tests.support.waiting import eventually

PNG = b"\x89PNG\r\n\x1a\n and so on"
OGG = b"OggS" + b"\0" * 24 + b"OpusHead and so on"
NAME = hashlib.sha256(PNG).hexdigest()
SOUND = hashlib.sha256(OGG).hexdigest()


class Looker:
    """An agent that looks at everything it is given, and keeps what it saw."""

    name = "looker"
    abilities = Abilities(resumable=True)

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.saw: list[list[bytes | None]] = []

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        self.turns.append(turn)
        self.saw.append([await turn.load(one) for one in turn.request.attachments])
        yield Final(turn.request.text or "nothing was said")


async def rpc(home: House, method: str, **params: Any) -> Any:
    caller = Principal(
        role=Role.OPERATOR,
        granted=ALL_SCOPES,
        scopes=expand(frozenset(ALL_SCOPES)),
        method="internal",
        subject="test",
    )
    body = msgspec.json.encode(params)
    done = await home.gateway.front.dispatcher.request(method, body, Call(caller))
    return msgspec.json.decode(msgspec.json.encode(done))


def image(**more: Any) -> dict[str, Any]:
    return {"content": base64.b64encode(PNG).decode(), "mimeType": "image/png", **more}


async def ended(home: House, run_id: str) -> Any:
    async def row() -> Any:
        found = await home.gateway.path.turns.find(run_id)
        return found if found is not None and not found.is_open else None

    return await eventually(row)


async def hear(home: House, key: str, *files: Attachment, text: str = "", **more: Any) -> Any:
    """Let a message come in through a channel."""
    message = InboundMessage(
        channel=more.pop("channel", "http"),
        account="default",
        event_key=key,
        peer=Peer("direct", "ann"),
        sender="ann",
        text=text,
        attachments=files,
        **more,
    )
    inbox: Inbox = home.gateway.path.inbox

    def nothing() -> Work[None]:
        yield from ()

    return await ChannelIntake(inbox, lambda _message: None).take(message, beside=nothing)


async def test_a_picture_is_kept_once_shown_and_downloaded(tmp_path: Path) -> None:
    looker = Looker()
    async with house(tmp_path, runtime=looker) as home:
        for run_id in ("a", "b"):
            sent = image(fileName="cat.png")
            await rpc(
                home,
                "chat.send",
                sessionKey="main",
                message="look",
                idempotencyKey=run_id,
                attachments=[sent],
            )
            row = await ended(home, run_id)
            assert row.request.attachments[0].content is None  # the row names it
        assert looker.saw == [[PNG], [PNG]]
        page = await rpc(home, "chat.history", sessionKey="main")
        text, part = page["messages"][0]["content"]
        assert text == {"type": "text", "text": "look"}
        assert part == {
            "type": "image",
            "mimeType": "image/png",
            "fileName": "cat.png",
            "sizeBytes": len(PNG),
            "sha256": NAME,
            "url": f"/v1/gateway/media/{NAME}",
        }
        files = [path for path in (tmp_path / "media").glob("??/*") if path.is_file()]
        assert [path.name for path in files] == [NAME]

        got = await home.client.get(part["url"])
        assert (got.status_code, got.content) == (200, PNG)
        assert got.headers["content-type"] == "image/png"
        assert got.headers["content-disposition"].startswith("attachment")
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["content-security-policy"] == "sandbox; default-src 'none'"
        for path in ("0" * 64, "..%2f..%2fportico.sqlite", NAME.upper()):
            answer = await home.client.get(f"/v1/gateway/media/{path}")
            assert answer.status_code == 404
        stranger = await home.client.get(part["url"], headers={"authorization": "Bearer no"})
        assert stranger.status_code == 401

        session_id = page["sessionId"]
        found = await SentFiles(home.gateway.ground.store, home.gateway.path.attached.turns).find(
            session_id, "cat.png"
        )
        assert found is not None
        assert found.read() == PNG


async def test_a_page_is_never_shown_as_one(tmp_path: Path) -> None:
    async with house(tmp_path, runtime=Looker()) as home:
        page = b"<html><script>alert(1)</script>"
        for claimed in ("text/html", "image/svg+xml", "image/png"):
            await hear(home, claimed, Attachment.of(page, mime_type=claimed))
        got = await home.client.get(f"/v1/gateway/media/{hashlib.sha256(page).hexdigest()}")
        assert got.headers["content-type"] == "application/octet-stream"
        assert got.headers["content-disposition"].startswith("attachment")


async def test_parts_of_the_message_api_are_kept_by_hash(tmp_path: Path) -> None:
    looker = Looker()
    async with house(tmp_path, runtime=looker) as home:
        data = base64.b64encode(PNG).decode()
        parts = [
            {"type": "text", "text": "look"},
            {"type": "image", "image": {"data": data, "format": "png"}},
        ]
        answer = await home.client.post(
            "/v1/gateway/messages", json={"from": "ann", "content_parts": parts, "request_id": "r"}
        )
        assert answer.status_code == 200, answer.text
        (turn,) = looker.turns
        assert turn.request.parts[1]["sha256"] == NAME
        assert "data" not in turn.request.parts[1]
        assert await turn.file(NAME) == PNG


async def test_too_much_is_refused_to_whoever_is_told(tmp_path: Path) -> None:
    config = settings(media={"maxFileMb": 0.00001})
    async with house(tmp_path, config, runtime=Looker()) as home:
        part = {"type": "image", "image": {"data": base64.b64encode(PNG).decode(), "format": "png"}}
        answer = await home.client.post(
            "/v1/gateway/messages", json={"from": "ann", "content_parts": [part]}
        )
        assert answer.status_code == 400
        assert "too large" in answer.text
        taken = await hear(home, "e", Attachment.of(PNG, file_name="cat.png"), text="look")
        row = await ended(home, taken.run_id)  # who cannot be told is answered
        assert row.request.attachments[0].note == "too large to be kept"


async def test_of_the_refused_nothing_is_kept_and_of_the_overheard_everything(
    tmp_path: Path,
) -> None:
    looker = Looker()
    async with house(tmp_path, runtime=looker) as home:
        door = DoorPolicy(allow_senders=frozenset({"bob"}))
        home.gateway.path.inbox._policies = lambda _channel, _account: door
        refused = await hear(home, "e1", Attachment.of(PNG, file_name="a.png"))
        assert refused.verdict.value == "refuse"
        assert not (tmp_path / "media").exists() or not [*(tmp_path / "media").glob("??/*")]
        door = DoorPolicy(require_mention=True, mention_patterns=("@bot",))
        group = Peer("group", "g")
        message = InboundMessage(
            channel="http",
            account="default",
            event_key="e2",
            peer=group,
            sender="ann",
            text="just talking",
            attachments=(Attachment.of(PNG, file_name="b.png"),),
        )
        intake = ChannelIntake(home.gateway.path.inbox, lambda _message: None)
        overheard = await intake.take(message, beside=lambda: iter(()))  # type: ignore[arg-type,return-value]
        assert overheard.verdict.value == "context"
        (listed,) = (await rpc(home, "inbox.list", state="context"))["messages"]
        await rpc(home, "inbox.retry", messageId=listed["messageId"])
        await eventually(lambda: looker.saw)
        assert looker.saw == [[PNG]]


async def test_a_voice_message_is_read_once_it_was_heard(tmp_path: Path) -> None:
    looker = Looker()
    async with TranscriptionService(Answer(503)) as service:
        config = settings(
            models={
                "providers": {
                    "ears": {"baseUrl": service.openai_url, "apiKey": KEY, "models": []},
                }
            },
            tools={
                "media": {
                    "audio": {
                        "language": "en",
                        "models": [{"provider": "ears", "model": "whisper-1"}],
                    }
                }
            },
        )
        async with house(tmp_path, config, runtime=looker) as home:
            voice = Attachment.of(OGG, mime_type="audio/ogg", file_name="../voice.ogg")
            first = await hear(home, "e1", voice, text="listen")
            await ended(home, first.run_id)
            said = f"whisper-1 heard {len(OGG)} bytes."
            line = f"[audio ../voice.ogg, {len(OGG)} bytes; transcribed]\n{said}"
            (turn,) = looker.turns
            assert turn.request.text == f"listen\n\n{line}"
            assert turn.request.attachments[0].transcript == said
            assert len(service.calls) == 2  # it was away once
            assert service.heard == [
                {
                    "model": "whisper-1",
                    "response_format": "json",
                    "language": "en",
                    "file": OGG,
                    "name": "sound.ogg",
                }
            ]
            again = await hear(home, "e2", voice)
            await ended(home, again.run_id)
            assert looker.turns[1].request.text == line
            assert len(service.calls) == 2  # and is not asked for what it has heard
            earlier = await looker.turns[1].history(10)
            assert earlier[0].content[1]["transcript"] == said
            assert earlier[0].content[1]["sha256"] == SOUND


async def test_what_nobody_understood_is_described(tmp_path: Path) -> None:
    looker = Looker()
    script = "import sys; sys.exit('no ears')"
    broken = {"command": sys.executable, "args": ["-c", script, "{{MediaPath}}"]}
    config = settings(tools={"media": {"audio": {"models": [broken]}}})
    os.environ.setdefault("PATH", "/usr/bin")
    async with house(tmp_path, config, runtime=looker) as home:
        taken = await hear(home, "e", Attachment.of(OGG, file_name="v.ogg"), text="listen")
        await ended(home, taken.run_id)
        (turn,) = looker.turns
        assert turn.request.text == "listen"
        assert turn.request.attachments[0].note == "it could not be transcribed"


async def test_a_file_that_was_never_committed_is_swept(tmp_path: Path) -> None:
    """What a crash between the disk and the database leaves behind."""
    async with house(tmp_path, runtime=Looker()) as home:
        inbox = home.gateway.path.inbox

        async def crash(*_args: Any, **_more: Any) -> Any:
            raise RuntimeError("killed")

        write, home.gateway.ground.store.write = home.gateway.ground.store.write, crash  # type: ignore[method-assign]
        try:
            await hear(home, "e", Attachment.of(PNG), text="look")
        except RuntimeError:
            pass
        finally:
            home.gateway.ground.store.write = write  # type: ignore[method-assign]
        left = tmp_path / "media" / NAME[:2] / NAME
        assert left.is_file()
        assert await home.gateway.path.attached.store.sweep() == 0
        os.utime(left, (left.stat().st_mtime - GRACE_S - 60,) * 2)
        assert await home.gateway.path.attached.store.sweep() == 1
        assert not left.exists()
        taken = await hear(home, "e", Attachment.of(PNG), text="look")
        assert not taken.duplicate
        await ended(home, taken.run_id)
        assert left.is_file()
        assert inbox is home.gateway.path.inbox
