"""What a wizard looks up outside: the models of a key, and whether an account connects.

Guarantees: each look-up has a time limit and raises nothing; what it found is said without the
secret it was made with.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog

from portico.agents.model.catalog import BUILT_IN, ProviderSpec
from portico.agents.model.reach import models_at
from portico.channels.contract import HttpDoor, Received
from portico.channels.manifest import Manifest, MissingExtra
from portico.channels.model import ChannelEvent, InboundMessage
from portico.clock import Clock
from portico.setup.fields import account_of, resolved
from portico.setup.model import Checked, Known
from portico.setup.steps_channel import channel_settings, chosen_channel
from portico.setup.steps_model import key_of
from portico.tasks import Tasks

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 3.0
MAX_TEXT = 300
MIN_SECRET_CHARS = 6


class Checks:
    """Looks things up for wizards."""

    def __init__(self, *, clock: Clock, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        self._clock = clock
        self._connect_timeout_s = connect_timeout_s

    async def run(self, check_id: str, known: Known) -> Checked:
        """Look up what a check of that id stands for."""
        if check_id == "model.check":
            return await models_of(known)
        manifest = chosen_channel(known)
        if manifest is None:
            return Checked()
        given = {name: value for name, value in channel_settings(known).items() if value}
        return await self._account(manifest, given, known.facts.env)

    async def _account(
        self, manifest: Manifest, given: Mapping[str, Any], env: Mapping[str, str]
    ) -> Checked:
        try:
            config = account_of(manifest, given, env)
            make = await asyncio.to_thread(manifest.load)
        except MissingExtra as error:
            return Checked(str(error))
        except ValueError as error:  # pydantic's too
            return Checked(_short(error))
        if config.missing is not None:
            return Checked(f"Something is missing: {config.missing}")
        with tempfile.TemporaryDirectory(prefix="portico-setup-") as folder:
            trial = Trial(manifest.id, config, self._clock, Path(folder))
            found = await trial.connect(make, self._connect_timeout_s)
        return Checked(without(found.problem, resolved(given, env).values()))


class Trial:
    """The context of an account that is only tried: it takes nothing in. Keeps `AccountContext`."""

    def __init__(self, channel: str, config: Any, clock: Clock, folder: Path) -> None:
        self.channel = channel
        self.account = "default"
        self.config = config
        self.generation = 0
        self.cursor: str | None = None
        self.clock = clock
        self.folder = folder
        self.tasks = Tasks(self._failed)
        self._connected = asyncio.Event()
        self._error: BaseException | None = None

    async def connect(self, make: Any, timeout_s: float) -> Checked:
        """Start an account and end it as soon as it is connected."""
        try:
            running = self.tasks.start(make(self).run(), name=f"setup.trial:{self.channel}")
        except Exception as error:  # noqa: BLE001  # whatever a channel raises is its answer
            return Checked(_short(error))
        waiting = self.tasks.start(self._connected.wait(), name="setup.trial.connected")
        await asyncio.wait(
            {running, waiting}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        problem = self._problem(running, timeout_s)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.tasks.stop()
        except TimeoutError:
            log.warning("setup.trial_will_not_close", channel=self.channel)
        return Checked(problem)

    def _problem(self, running: asyncio.Task[Any], timeout_s: float) -> str | None:
        if self._connected.is_set():
            return None
        if running.done() and not running.cancelled():
            error = running.exception() or self._error
            return _short(error) if error is not None else "It ended at once."
        if self._error is not None:
            return _short(self._error)
        return f"It did not connect within {timeout_s:.0f} seconds."

    def connected(self, *, identity: Mapping[str, Any] | None = None) -> None:
        """It is logged in."""
        self._connected.set()

    def disconnected(self, reason: str) -> None:
        """It is not, and mends it: that is its own matter."""

    def alive(self) -> None:
        """The receiving side works."""

    async def receive(self, message: InboundMessage, *, cursor: str | None = None) -> Received:
        """Never acknowledge: the message is for the account that will run."""
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # it never is

    async def is_wanted(self, message: InboundMessage) -> bool:
        """Want nothing."""
        return False

    async def note(self, event: ChannelEvent, *, cursor: str | None = None) -> bool:
        """Never acknowledge."""
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # it never is

    async def keep_cursor(self, cursor: str) -> None:
        """Keep nothing."""

    def open_door(self, door: HttpDoor) -> str:
        """Answer nothing: requests are for the account that will run."""
        return f"/integrations/{self.channel}/{self.account}"

    def _failed(self, _name: str, error: BaseException) -> None:
        self._error = self._error or error


async def models_of(known: Known) -> Checked:
    """Ask the provider that was chosen which models there are, with the key that was given."""
    provider = known.get("model.provider")
    base, api, _ = BUILT_IN.get(provider, ("", "openai-completions", ""))
    spec = ProviderSpec(
        name=provider,
        base_url=known.get("model.url") or base,
        api=api,
        api_key=key_of(known),
    )
    reached = await models_at(spec)
    return Checked(reached.problem, reached.models)


def without(text: str | None, secrets: Iterable[str]) -> str | None:
    """Return a text with the settings that were tried blotted out: libraries quote tokens."""
    for secret in sorted(secrets, key=len, reverse=True):
        if text is not None and len(secret) >= MIN_SECRET_CHARS:
            text = text.replace(secret, "…")
    return text


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:MAX_TEXT]
