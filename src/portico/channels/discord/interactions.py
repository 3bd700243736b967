"""Slash commands: the bot's own, and the answers that belong to their use.

Discord waits three seconds for a first response; then the answer may come within fifteen minutes,
with the token of that use. Tokens are kept in memory only: after a restart an answer is sent as a
plain message.

Guarantees: a use is acknowledged only after it is on disk; the commands are written only when they
are not what they should be, and others of the application are left alone.

Source: https://docs.discord.com/developers/interactions/receiving-and-responding
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from discord.http import MultipartParameters, Route

from portico.channels.discord.client import Api
from portico.channels.discord.places import Newest
from portico.channels.discord.troubles import TROUBLES
from portico.clock import Clock

log = structlog.get_logger()

COMMAND, PONG = 2, 1
ANSWER, DEFER = 4, 5
ONLY_FOR_YOU = 64
MOST_OPEN = 1_000
TOKEN_LIVES_MS = 14 * 60_000
ACK_WAIT_S = 5.0
OTHERS = (
    ("new", "Begin anew"),
    ("status", "Show where we are"),
    ("stop", "Stop the answer"),
)
NOT_FOR_YOU = "This is not answered here."


@dataclass(eq=False, slots=True)
class Use:
    """One use of a command that waits for its answer.

    Attributes:
        acknowledged: set when Discord has the first response, or will not get it.
        is_open: there is a response that waits for its content.
        taken_by: the delivery that is the answer.
    """

    id: str
    token: str
    expires_ms: int
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)
    is_open: bool = False
    taken_by: str | None = None


class Interactions:
    """The uses that wait for an answer."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._uses: Newest[Use] = Newest(MOST_OPEN)
        self.application_id = ""

    def begin(self, raw: Mapping[str, Any]) -> Use:
        """A command was used."""
        expires_ms = self._clock.now_ms() + TOKEN_LIVES_MS
        known = self._uses.get(str(raw["id"]))
        use = known or Use(str(raw["id"]), str(raw["token"]), expires_ms)
        self._uses.put(use.id, use)
        return use

    async def defer(self, use: Use) -> None:
        """Say that an answer will come."""
        if use.acknowledged.is_set():
            return
        try:
            await self._respond(use, {"type": DEFER})
            use.is_open = True
        except TROUBLES as error:  # too late: the answer is a plain message
            log.warning("discord.use_not_acknowledged", error=type(error).__name__)
            self._uses.drop(use.id)
        finally:
            use.acknowledged.set()

    async def decline(self, use: Use) -> None:
        """Say, to who used it only, that there will be no answer."""
        self._uses.drop(use.id)
        use.acknowledged.set()
        said = {"content": NOT_FOR_YOU, "flags": ONLY_FOR_YOU}
        with contextlib.suppress(*TROUBLES):
            await self._respond(use, {"type": ANSWER, "data": said})

    async def waiting(self, interaction_id: object, *, delivery_id: str | None) -> Use | None:
        """Return a use whose answer is still to come; the first delivery is the answer."""
        use = self._uses.get(str(interaction_id or ""))
        if use is None or self._clock.now_ms() >= use.expires_ms:
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ACK_WAIT_S):
                await use.acknowledged.wait()
        if not use.is_open or use.taken_by not in {None, delivery_id}:
            return None
        use.taken_by = delivery_id
        return use

    async def answer(self, use: Use, params: MultipartParameters) -> Mapping[str, Any]:
        """Put the answer, or what there is of it, where it is waited for. Safe to repeat."""
        route = self._original("PATCH", use)
        if params.files:
            found = await self._api.request(route, files=params.files, form=params.multipart)
        else:
            found = await self._api.request(route, json=params.payload)
        result: Mapping[str, Any] = found
        return result

    async def withdraw(self, use: Use) -> None:
        """There will be no answer after all."""
        self._uses.drop(use.id)
        with contextlib.suppress(*TROUBLES):
            await self._api.request(self._original("DELETE", use))

    def forget(self, use: Use) -> None:
        """Discord no longer knows it."""
        self._uses.drop(use.id)

    async def _respond(self, use: Use, response: Mapping[str, Any]) -> None:
        path = "/interactions/{webhook_id}/{webhook_token}/callback"
        route = Route("POST", path, webhook_id=use.id, webhook_token=use.token)
        await self._api.request(route, json=response)

    def _original(self, method: str, use: Use) -> Route:
        path = "/webhooks/{webhook_id}/{webhook_token}/messages/@original"
        return Route(method, path, webhook_id=self.application_id, webhook_token=use.token)

    # -- the commands ----------------------------------------------------------------------------

    async def offer(self, name: str) -> None:
        """Write the commands that are missing, or other than they should be."""
        present = await self._api.get_global_commands(int(self.application_id))
        held = {str(one["name"]): one for one in present}
        for wanted in commands(name):
            if not _is_same(wanted, held.get(wanted["name"])):
                await self._api.upsert_global_command(int(self.application_id), wanted)  # type: ignore[arg-type]  # the library's type is of what comes back


def commands(name: str) -> list[dict[str, Any]]:
    """Return the commands: the one that carries a message, and the gateway's own."""
    text = {"type": 3, "name": "text", "description": "What you want to say", "required": True}
    ask = _command(name, "Talk to the assistant", [text])
    return [ask, *(_command(*other, []) for other in OTHERS if other[0] != name)]


def said_with(raw: Mapping[str, Any], name: str) -> str | None:
    """Return what a use of a command says; `None`: it is none of ours."""
    data = raw.get("data") or {}
    used = data.get("name")
    if raw.get("type") != COMMAND or data.get("type", 1) != 1:
        return None
    if used == name:
        options = data.get("options") or ()
        return next((str(one["value"]) for one in options if one.get("name") == "text"), None)
    return f"/{used}" if used in dict(OTHERS) else None


def _command(name: str, description: str, options: list[dict[str, Any]]) -> dict[str, Any]:
    command = {"type": 1, "name": name, "description": description, "contexts": [0, 1]}
    return {**command, "options": options, "integration_types": [0]}


def _is_same(wanted: Mapping[str, Any], held: Mapping[str, Any] | None) -> bool:
    if held is None:
        return False
    options = [
        {key: one.get(key) for key in ("type", "name", "description", "required")}
        for one in held.get("options") or ()
    ]
    same = all(held.get(key) == wanted[key] for key in ("type", "name", "description", "contexts"))
    return same and options == wanted["options"]
