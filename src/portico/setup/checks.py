"""What a wizard looks up outside: the models of a key, and whether an account connects.

Guarantees: each look-up has a time limit and raises nothing; what it found is said without the
secret it was made with.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from portico.agents.model.catalog import BUILT_IN
from portico.channels.contract import HttpDoor, Received
from portico.channels.manifest import Manifest, MissingExtra
from portico.channels.model import ChannelEvent, InboundMessage
from portico.clock import Clock
from portico.setup.fields import account_of, resolved
from portico.setup.model import Checked, Known
from portico.setup.steps_channel import channel_settings, chosen_channel
from portico.setup.steps_model import key_of
from portico.tasks import Tasks
from portico.tls import trusted

if TYPE_CHECKING:
    import httpx2

log = structlog.get_logger()

MODEL_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 3.0
MAX_MODELS = 500
MAX_ANSWER_BYTES = 4 << 20
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
            return await models_at(known)
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


async def models_at(known: Known) -> Checked:
    """Ask a provider which models there are, with the key that was given.

    Source: OpenAI and Anthropic API references, "List models".
    """
    import httpx2

    provider = known.get("model.provider")
    base, api, _ = BUILT_IN.get(provider, ("", "openai-completions", ""))
    base = known.get("model.url") or base
    url = f"{base}/v1/models" if api == "anthropic-messages" else f"{base}/models"
    try:
        async with asyncio.timeout(MODEL_TIMEOUT_S):
            async with httpx2.AsyncClient(verify=trusted(), trust_env=False) as client:
                headers = _headers(api, key_of(known))
                async with client.stream("GET", url, headers=headers) as answer:
                    body = await _body(answer)
    except TimeoutError:
        return Checked(f"{provider} did not answer within {MODEL_TIMEOUT_S:.0f} seconds.")
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        return Checked(f"{provider} cannot be reached: {type(error).__name__}.")
    if answer.status_code in {401, 403}:
        return Checked(f"{provider} does not take this key (status {answer.status_code}).")
    if answer.status_code != 200:
        return Checked(f"{provider} answered with status {answer.status_code}.")
    return Checked(None, _names(body))


async def _body(answer: httpx2.Response) -> bytes:
    read = bytearray()
    async for chunk in answer.aiter_bytes():
        read += chunk
        if len(read) > MAX_ANSWER_BYTES:
            return b""
    return bytes(read)


def without(text: str | None, secrets: Iterable[str]) -> str | None:
    """Return a text with the settings that were tried blotted out: libraries quote tokens."""
    for secret in sorted(secrets, key=len, reverse=True):
        if text is not None and len(secret) >= MIN_SECRET_CHARS:
            text = text.replace(secret, "…")
    return text


def _headers(api: str, key: str | None) -> dict[str, str]:
    if key is None:
        return {}
    if api == "anthropic-messages":
        return {"x-api-key": key, "anthropic-version": "2023-06-01"}
    return {"authorization": f"Bearer {key}"}


def _names(body: bytes) -> tuple[str, ...]:
    import msgspec

    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        answer = None
    found = answer.get("data") if isinstance(answer, dict) else None
    names = [one.get("id") for one in found or () if isinstance(one, dict)]
    return tuple(sorted(one for one in names if isinstance(one, str) and one))[:MAX_MODELS]


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:MAX_TEXT]
