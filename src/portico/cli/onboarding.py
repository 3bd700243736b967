"""A wizard to answer: that of the gateway that runs here, or one in this process."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from portico.cli.command import THERE
from portico.cli.exit import ExitCode, Failure
from portico.cli.target import Target, connected, resolve_target, running_url
from portico.clock import SystemClock
from portico.config.paths import ConfigPaths

if TYPE_CHECKING:
    from portico.setup.service import Wizards

_ANSWER_S: Final = 60.0
"""An answer may be followed by looking whether an account connects."""


class Wizard(Protocol):
    """Something that asks, in the shapes of the protocol's `wizard.*`."""

    @property
    def is_live(self) -> bool:
        """Whether it is a gateway's, that takes the settings over."""
        ...

    async def start(self, params: dict[str, Any]) -> dict[str, Any]:
        """Begin."""
        ...

    async def next(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Answer a step."""
        ...

    async def cancel(self) -> None:
        """Forget it."""
        ...


def find_wizard(paths: ConfigPaths, *, env: Mapping[str, str]) -> Wizard:
    """The wizard of the gateway that has this state directory, else one of our own."""
    if running_url(paths) is None:
        return _OwnWizard(_wizards(paths, env))
    return _GatewayWizard(_target(paths, env))


def page_link(paths: ConfigPaths, *, env: Mapping[str, str]) -> str | None:
    """Return the page's address with what logs in; `None`: the file cannot be read."""
    from portico.config.service import load

    config = load(paths, env=env).config
    if config is None or not config.gateway.control_ui.enabled:
        return None
    gateway = config.gateway
    scheme = "https" if gateway.tls.enabled else "http"
    link = f"{scheme}://127.0.0.1:{gateway.port}{gateway.control_ui.base_path}/"
    return f"{link}#token={gateway.auth.token}" if gateway.auth.token else link


def _target(paths: ConfigPaths, env: Mapping[str, str]) -> Target:
    from portico.cli.command import Remote

    to = Remote(config=str(paths.config_file), state_dir=str(paths.state_dir))
    return resolve_target(to, env)


def _wizards(paths: ConfigPaths, env: Mapping[str, str]) -> Wizards:
    from portico.channels.manifest import find_manifests
    from portico.config.first_run import random_token
    from portico.setup.checks import Checks
    from portico.setup.service import Wizards
    from portico.setup.writing import FileWriter

    async def install() -> str:
        return await asyncio.to_thread(_install, paths)

    clock = SystemClock()
    return Wizards(
        writer=FileWriter(paths, env=env),
        look_ups=Checks(clock=clock),
        manifests=find_manifests,
        env=env,
        clock=clock,
        new_token=random_token,
        install=install if _has_manager(env) else None,
    )


def _has_manager(env: Mapping[str, str]) -> bool:
    """Whether something on this machine keeps services."""
    program = "launchctl" if sys.platform == "darwin" else "systemctl"
    return shutil.which(program, path=env.get("PATH")) is not None


def _install(paths: ConfigPaths) -> str:
    from portico.cli.commands.service import Which, put_in_place

    which = Which(config=str(paths.config_file), state_dir=str(paths.state_dir))
    try:
        put_in_place(which)
    except Failure as error:
        raise RuntimeError(error.message) from None
    return "The gateway is a service of this machine now: portico service status"


class _GatewayWizard:
    """Connects for each answer: nobody would answer its pings while a person thinks."""

    is_live = True

    def __init__(self, target: Target) -> None:
        self._target = target
        self._id = ""

    async def start(self, params: dict[str, Any]) -> dict[str, Any]:
        state = await self._call("wizard.start", params)
        self._id = state["sessionId"]
        return state

    async def next(self, answer: dict[str, Any]) -> dict[str, Any]:
        return await self._call("wizard.next", {"sessionId": self._id, "answer": answer})

    async def cancel(self) -> None:
        if self._id:
            await self._call("wizard.cancel", {"sessionId": self._id})

    async def _call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        async with connected(THERE, target=self._target) as client:
            state: dict[str, Any] = await client.request(method, params, timeout_s=_ANSWER_S)
        return state


class _OwnWizard:
    is_live = False

    def __init__(self, wizards: Wizards) -> None:
        self._wizards = wizards
        self._id = ""

    async def start(self, params: dict[str, Any]) -> dict[str, Any]:
        from portico.setup.model import Unacceptable

        try:
            self._id, progress = await self._wizards.start(
                flow=params["flow"],
                channel=params.get("channel"),
                install_service=params["installDaemon"],
            )
        except Unacceptable as error:
            raise Failure(
                str(error),
                code="onboard.channel",
                next_step="See which there are: portico channels list",
                exit_code=ExitCode.REFUSED,
            ) from None
        return _wire(progress)

    async def next(self, answer: dict[str, Any]) -> dict[str, Any]:
        progress = await self._wizards.next(
            self._id, step_id=answer["stepId"], value=answer["value"]
        )
        return {**_wire(progress), "notes": list(progress.notes)}

    async def cancel(self) -> None:
        from portico.setup.model import WizardNotFound

        try:
            self._wizards.cancel(self._id)
        except WizardNotFound:
            return


def _wire(progress: Any) -> dict[str, Any]:
    import msgspec

    from portico.setup.rpc import shown

    state: dict[str, Any] = msgspec.to_builtins(shown(progress))
    return state
