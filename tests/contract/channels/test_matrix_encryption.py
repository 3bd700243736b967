"""Encrypted rooms: another real client, a real homeserver that cannot read what is said."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nio
from nio.crypto import decrypt_attachment

from tests.contract.channels.test_matrix import (
    PNG,
    account_of,
    configured,
    live_of,
    matrix,
    recorded,
    route,
)
from tests.support.http import Scripted, house
from tests.support.synapse import Person, Synapse
from tests.support.waiting import eventually

ALGORITHM = {"algorithm": "m.megolm.v1.aes-sha2"}
ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": ALGORITHM}


class Friend:
    """Somebody with a program that encrypts."""

    def __init__(self, person: Person, folder: Path) -> None:
        self.person = person
        folder.mkdir()
        config = nio.AsyncClientConfig(encryption_enabled=True, max_timeouts=0)
        self.client = nio.AsyncClient(person.url, store_path=str(folder), config=config)
        self.client.restore_login(person.user_id, person.device_id, person.token)
        self.heard: list[dict[str, Any]] = []

    async def sync(self) -> None:
        answer = await self.client.sync(timeout=0)
        assert isinstance(answer, nio.SyncResponse), answer
        for info in answer.rooms.join.values():
            self.heard += [e.source for e in info.timeline.events if getattr(e, "decrypted", 0)]
        await self.client.send_to_device_messages()
        if self.client.should_upload_keys:
            await self.client.keys_upload()
        if self.client.should_query_keys:
            await self.client.keys_query()
        if self.client.should_claim_keys:
            await self.client.keys_claim(self.client.get_users_for_key_claiming())

    async def until_in(self, room_id: str, other: Person) -> None:
        async def is_in() -> bool:
            await self.sync()
            devices = self.client.device_store[other.user_id]
            return other.user_id in self.client.rooms[room_id].users and bool(devices)

        await eventually(is_in)

    async def say(self, room_id: str, text: str, **content: Any) -> str:
        said = {"msgtype": "m.text", "body": text, **content}
        sent = await self.client.room_send(
            room_id, "m.room.message", said, ignore_unverified_devices=True
        )
        assert isinstance(sent, nio.RoomSendResponse), sent
        return str(sent.event_id)

    async def until_heard(self, bot: Person, *texts: str) -> list[dict[str, Any]]:
        async def find() -> list[dict[str, Any]] | None:
            await self.sync()
            mine = [e["content"] for e in self.heard if e["sender"] == bot.user_id]
            return mine if {*texts} <= {content.get("body") for content in mine} else None

        try:
            found: list[dict[str, Any]] = await eventually(find)
        except TimeoutError:
            raise AssertionError(f"heard: {self.heard}") from None
        return found


@asynccontextmanager
async def friend(synapse: Synapse, folder: Path) -> AsyncIterator[Friend]:
    found = Friend(synapse.person(), folder / "friend")
    try:
        await found.sync()
        yield found
    finally:
        await found.client.close()
        found.client.store.database.close()


async def test_an_encrypted_room_over_a_restart(tmp_path: Path, synapse: Synapse) -> None:
    bot = synapse.person("bot")
    async with friend(synapse, tmp_path) as ann:
        room_id = ann.person.room(bot, is_direct=True, initial_state=[ENCRYPTION])
        for text in ("in secret", "again"):
            async with matrix(tmp_path / "gateway", bot, encryption=True, streaming="off"):
                await ann.until_in(room_id, bot)
                await ann.say(room_id, text)
                await ann.until_heard(bot, f"Echo: {text}")
        seen = [e for e in ann.person.timeline(room_id) if e["sender"] == bot.user_id]
        assert {e["type"] for e in seen} == {"m.room.member", "m.room.encrypted"}


async def test_a_new_login_offers_the_keys_of_the_old_one(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    login: Any = {"userId": bot.user_id, "password": bot.password, "deviceId": "GATEWAY"}

    def keys() -> Any:
        asked: dict[str, Any] = {"device_keys": {bot.user_id: []}}
        found = ann.call("POST", "/_matrix/client/v3/keys/query", asked)
        return found["device_keys"].get(bot.user_id, {}).get("GATEWAY", {}).get("keys")

    async with matrix(tmp_path, bot, encryption=True, **login) as gateway:
        before = await eventually(keys)
        bot.call("POST", "/_matrix/client/v3/logout/all", {})  # its devices and their keys, too
        await eventually(lambda: account_of(gateway).state.value == "login")
        assert not keys()
        await gateway.gateway.path.accounts.want("matrix", "default", "running")
        assert await eventually(keys) == before


async def test_encrypted_files_both_ways(tmp_path: Path, synapse: Synapse) -> None:
    bot, runtime = synapse.person("bot"), Scripted()
    async with friend(synapse, tmp_path) as ann:
        room_id = ann.person.room(bot, is_direct=True, initial_state=[ENCRYPTION])
        async with matrix(
            tmp_path / "gateway", bot, runtime=runtime, encryption=True, streaming="off"
        ) as gateway:
            await ann.until_in(room_id, bot)
            uploaded, keys = await ann.client.upload(
                io.BytesIO(PNG), content_type="image/png", encrypt=True, filesize=len(PNG)
            )
            file = {**keys, "url": uploaded.content_uri}
            await ann.say(room_id, "cat.png", msgtype="m.image", file=file)
            broken = {**file, "hashes": {"sha256": "AAAA"}}
            await ann.say(room_id, "odd.png", msgtype="m.image", file=broken)
            await eventually(lambda: len(runtime.seen) == 2)
            cat, odd = (request.attachments[0] for request in runtime.seen)
            assert cat.read() == PNG
            assert odd.content is None

            # A sharing of keys that was cut off holds up nothing.
            client = live_of(gateway)._home._client
            client.olm.outbound_group_sessions.pop(room_id, None)
            client.sharing_session[room_id] = asyncio.Event()
            picture = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
            await gateway.gateway.path.outbox.send(
                route(room_id), "look", media=(picture,), session_key=None
            )
            heard = await ann.until_heard(bot, "file.png")
            secret = heard[-1]["file"]
            kept = ann.person.download(secret["url"])
            key, digest = secret["key"]["k"], secret["hashes"]["sha256"]
            assert PNG not in kept
            assert decrypt_attachment(kept, key, digest, secret["iv"]) == PNG


async def test_keys_that_come_late_open_what_was_said(tmp_path: Path, synapse: Synapse) -> None:
    bot, runtime = synapse.person("bot"), Scripted()
    async with friend(synapse, tmp_path) as ann:
        room_id = ann.person.room(bot, is_direct=True, initial_state=[ENCRYPTION])
        async with matrix(
            tmp_path / "gateway", bot, runtime=runtime, encryption=True, streaming="off"
        ) as gateway:
            await ann.until_in(room_id, bot)
            home = live_of(gateway)._home
            decrypt, home._client.olm.inbound_group_store = home._client.olm, Nothing()
            said = await ann.say(room_id, "patience")
            await eventually(lambda: live_of(gateway)._locked)
            noted = next(e for e in await recorded(gateway) if e.event_key == said)
            assert noted.data["problem"] == "the keys are missing"
            decrypt.inbound_group_store = decrypt.store.load_inbound_group_sessions()
            ann.person.event(room_id, "org.example.mark", {})
            await eventually(lambda: [request.text for request in runtime.seen] == ["patience"])
            assert said not in live_of(gateway)._locked


class Nothing:
    """A store of keys in which none are found."""

    def get(self, *_: Any) -> None:
        return None

    def add(self, *_: Any) -> bool:
        return True


async def test_without_encryption_it_is_said_once(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = ann.room(bot, is_direct=True, initial_state=[ENCRYPTION])
    bot.join(room_id)
    secret = {**ALGORITHM, "ciphertext": "x", "session_id": "s", "sender_key": "k"}
    for _ in range(2):
        async with matrix(tmp_path, bot) as gateway:
            sent = [
                ann.event(room_id, "m.room.encrypted", {**secret, "device_id": "d"})
                for _ in range(2)
            ]

            async def is_recorded(sent: list[str] = sent) -> bool:
                return {*sent} <= {e.event_key for e in await recorded(gateway)}

            await eventually(is_recorded)
            found = {e.event_key: e for e in await recorded(gateway)}
            assert found[sent[0]].data == {
                "type": "m.room.encrypted",
                "problem": "encryption is off",
            }
            await eventually(lambda: ann.said_by(bot, room_id))
            delivery = await gateway.gateway.path.outbox.send(
                route(room_id), "in the clear", media=(), session_key=None
            )

            async def is_refused(delivery: str = delivery) -> bool:
                kept = await gateway.gateway.path.outbox.find(delivery)
                return kept is not None and kept.state.value == "failed"

            await eventually(is_refused)
    (told,) = ann.said_by(bot, room_id)
    assert told.startswith("I cannot read this room")


async def test_a_chat_made_by_the_account_is_encrypted(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    async with house(tmp_path, configured(bot, encryption=True)) as gateway:
        await eventually(lambda: account_of(gateway).live)
        room_id = await live_of(gateway)._rooms.with_person(ann.user_id)
        state = bot.call("GET", f"/_matrix/client/v3/rooms/{room_id}/state/m.room.encryption")
        assert state["algorithm"] == ALGORITHM["algorithm"]
