"""The wizards that are under way, and what becomes of them.

Theory of operation: a wizard is an interview (interview.py), look-ups between its questions
(checks.py), and one write at its end. Until then nothing outside has changed, so that to cancel it
is to forget it.

Guarantees: at most so many wizards at once, and none longer than its time without an answer; one
answer of a wizard is worked on at a time; the settings are written all together or not at all.
Not here: how they are written (the `Writer` that is handed in).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from portico.channels.manifest import Manifest
from portico.clock import Clock
from portico.config.edit import Change
from portico.config.issues import ConfigError
from portico.config.service import LoadedConfig
from portico.ids import new_id
from portico.setup.agenda import FINISH, agenda
from portico.setup.changes import changes_of
from portico.setup.interview import Interview
from portico.setup.model import (
    Check,
    Checked,
    Facts,
    Flow,
    Known,
    Progress,
    TooManyWizards,
    Unacceptable,
    WizardNotFound,
    WizardSettings,
)
from portico.setup.steps_channel import chosen_channel, wants_channel

Decide = Callable[[LoadedConfig], Sequence[Change]]


class Writer(Protocol):
    """The configuration file, and whoever follows it."""

    def read(self) -> LoadedConfig:
        """Return what is in the file, or what holds without one."""
        ...

    async def write(self, decide: Decide) -> LoadedConfig:
        """Change the file; return what holds then.

        Raises:
            ConfigError: it would be broken; nothing has changed.
            OSError: it cannot be written.
        """
        ...


class LookUps(Protocol):
    """What is looked up between questions."""

    async def run(self, check_id: str, known: Known) -> Checked:
        """Look up what a check of that id stands for."""
        ...


Install = Callable[[], Awaitable[str]]
"""Installs the gateway as a service of this machine; returns what to tell. Raises `OSError` or
`RuntimeError` when it cannot."""


@dataclass(slots=True)
class _Wizard:
    id: str
    interview: Interview
    touched_ms: int
    progress: Progress
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Wizards:
    """Begins wizards, takes their answers, ends them."""

    def __init__(
        self,
        *,
        writer: Writer,
        look_ups: LookUps,
        manifests: Callable[[], Mapping[str, Manifest]],
        env: Mapping[str, str],
        clock: Clock,
        new_token: Callable[[], str],
        install: Install | None = None,
        settings: WizardSettings | None = None,
    ) -> None:
        self._writer = writer
        self._look_ups = look_ups
        self._manifests = manifests
        self._env = env
        self._clock = clock
        self._new_token = new_token
        self._install = install
        self._settings = settings or WizardSettings()
        self._wizards: dict[str, _Wizard] = {}

    async def start(
        self,
        *,
        flow: Flow = "setup",
        channel: str | None = None,
        workspace: str | None = None,
        install_service: bool = False,
    ) -> tuple[str, Progress]:
        """Begin a wizard; return its id and its first step.

        Raises:
            TooManyWizards: too many are under way.
            ConfigError: the configuration is broken.
            Unacceptable: there is no such channel.
        """
        self._sweep()
        if len(self._wizards) >= self._settings.most:
            raise TooManyWizards
        manifests = await asyncio.to_thread(self._manifests)
        if channel is not None and channel not in manifests:
            known = ", ".join(manifests)
            raise Unacceptable(f'There is no channel "{channel}". There are: {known}.')
        loaded = await asyncio.to_thread(self._writer.read)
        loaded.require()
        facts = Facts(
            flow=flow,
            loaded=loaded,
            env=self._env,
            manifests=manifests,
            token=self._new_token(),
            service=self._install is not None,
            install_service=install_service,
            channel=channel,
            workspace=workspace,
        )
        interview = Interview(agenda, facts)
        progress = Progress(status="running", step=interview.step())
        wizard = _Wizard(new_id("wiz"), interview, self._clock.now_ms(), progress)
        self._wizards[wizard.id] = wizard
        return wizard.id, progress

    async def next(
        self,
        wizard_id: str,
        *,
        step_id: str | None = None,
        value: object = None,
        back: bool = False,
    ) -> Progress:
        """Take an answer, take the last one back, or show again what is asked.

        Raises:
            WizardNotFound: there is no such wizard.
        """
        wizard = self._find(wizard_id)
        async with wizard.lock:
            if wizard.progress.status != "running" or not (back or step_id):
                return wizard.progress
            if back:
                wizard.interview.back()
                wizard.progress = Progress(status="running", step=wizard.interview.step())
            elif step_id:
                wizard.progress = await self._take(wizard.interview, step_id, value)
            wizard.touched_ms = self._clock.now_ms()
            return wizard.progress

    def cancel(self, wizard_id: str) -> Progress:
        """Forget a wizard; what it has written already stays.

        Raises:
            WizardNotFound: there is no such wizard.
        """
        wizard = self._find(wizard_id)
        del self._wizards[wizard_id]
        if wizard.progress.status == "running":
            wizard.progress = Progress(status="cancelled")
        return wizard.progress

    def status(self, wizard_id: str) -> Progress:
        """Return where a wizard is.

        Raises:
            WizardNotFound: there is no such wizard.
        """
        return self._find(wizard_id).progress

    async def _take(self, interview: Interview, step_id: str, value: object) -> Progress:
        try:
            interview.answer(step_id, value)
        except Unacceptable as error:
            return Progress(status="running", step=interview.step(), error=str(error))
        while isinstance(item := interview.next(), Check):
            interview.checked(item, await self._look_ups.run(item.id, interview.known))
        if item is not None:
            return Progress(status="running", step=interview.step())
        if interview.known.get(FINISH) is not True:
            return Progress(status="cancelled")
        return await self._finish(interview.known)

    async def _finish(self, known: Known) -> Progress:
        try:
            loaded = await self._writer.write(lambda now: changes_of(known, now))
        except ConfigError as error:
            first = error.issues[0]
            return Progress(status="error", error=f"{first.path}: {first.message}".lstrip(": "))
        except OSError as error:
            reason = error.strerror or str(error)
            return Progress(status="error", error=f"the config file cannot be written: {reason}")
        manifest = chosen_channel(known)
        channels = (manifest.id,) if manifest is not None and wants_channel(known) else ()
        notes = (await self._installed(),) if known.get("service") else ()
        return Progress(status="done", channels=channels, loaded=loaded, notes=notes)

    async def _installed(self) -> str:
        if self._install is None:
            return ""
        try:
            return await self._install()
        except (OSError, RuntimeError) as error:
            return f"The service was not installed: {error}"

    def _find(self, wizard_id: str) -> _Wizard:
        self._sweep()
        wizard = self._wizards.get(wizard_id)
        if wizard is None:
            raise WizardNotFound(wizard_id)
        return wizard

    def _sweep(self) -> None:
        """Forget those nobody answers, secrets that were typed included."""
        oldest = self._clock.now_ms() - self._settings.idle_ms
        for one in [one for one in self._wizards.values() if one.touched_ms < oldest]:
            if not one.lock.locked():
                del self._wizards[one.id]
