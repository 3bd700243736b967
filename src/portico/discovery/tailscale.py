"""Tailscale Serve and Funnel: a route from the tailnet, or the internet, to this gateway.

Theory of operation: the gateway opens a port of its own on 127.0.0.1 that nobody but Tailscale is
told of, asks the `tailscale` program to send its HTTPS port there, and looks now and then whether
it still does. Who comes in through that port came through Tailscale, and is never this machine.

Guarantees: the program gets its arguments as a list and answers in time or is killed; a route of
somebody else is left alone; whatever fails is shown and tried again, and never stops the gateway;
the route is taken away on `stop` unless it is to stay.

Source: https://tailscale.com/kb/1242/tailscale-serve, https://tailscale.com/kb/1311/tailscale-funnel
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from portico.process.programs import ProgramMissing, ProgramTooSlow, run_program

log = structlog.get_logger()

Mode = Literal["serve", "funnel"]
_MAX_ANSWER_BYTES: Final = 1 << 20


class RouteFailed(Exception):
    """There is no route; the text says why."""


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """Which route, and how it is made.

    Attributes:
        target: where it leads: a URL of this machine.
        note: a file that keeps the target, so that a route we left behind is known as ours.
        env: what the program is started with.
    """

    mode: Mode
    https_port: int
    note: Path
    target: str = ""
    program: str = "tailscale"
    env: Mapping[str, str] | None = None
    timeout_s: float = 30.0
    retry_s: float = 15.0
    reset_on_exit: bool = True


class TailscaleRoute:
    """Keeps the route."""

    def __init__(self, settings: RouteSettings) -> None:
        self._settings = settings
        self._is_ours = False
        self.url: str | None = None
        self.problem: str | None = None

    async def keep(self) -> None:
        """Make the route, and make it again when it is gone, until cancelled."""
        while True:
            try:
                await self.ensure()
            except RouteFailed as error:
                if str(error) != self.problem:
                    log.warning("tailscale.no_route", mode=self._settings.mode, problem=str(error))
                self.url, self.problem = None, str(error)
            else:
                self.problem = None
            await asyncio.sleep(self._settings.retry_s)

    async def ensure(self) -> None:
        """Make the route unless it is there.

        Raises:
            RouteFailed: it cannot be had.
        """
        settings = self._settings
        name = await self._own_name()
        there = _target_of(await self._ask(settings.mode, "status", "--json"), name, settings)
        if there is not None and there != settings.target and there != self._noted():
            raise RouteFailed(
                f"port {settings.https_port} of Tailscale leads to {there} already; take it away "
                f"(tailscale {settings.mode} --https={settings.https_port} off), or set "
                "gateway.tailscale.httpsPort"
            )
        if there != settings.target:
            self._write_note()
            port = f"--https={settings.https_port}"
            await self._run(settings.mode, "--bg", "--yes", port, settings.target)
        port_text = "" if settings.https_port == 443 else f":{settings.https_port}"
        url = f"https://{name}{port_text}"
        if url != self.url:
            log.info("tailscale.route", mode=settings.mode, url=url)
        self._is_ours, self.url = True, url

    async def stop(self) -> None:
        """Take the route away, if it is to go with the gateway. Safe to call twice."""
        is_ours, self._is_ours, self.url = self._is_ours, False, None
        settings = self._settings
        if not (is_ours and settings.reset_on_exit):
            return
        try:
            await self._run(settings.mode, "--yes", f"--https={settings.https_port}", "off")
            settings.note.unlink(missing_ok=True)
        except (RouteFailed, OSError) as error:
            log.warning("tailscale.route_left", problem=str(error))

    async def name(self) -> str | None:
        """Return this machine's name in the tailnet, if it has one."""
        try:
            return await self._own_name()
        except RouteFailed:
            return None

    async def _own_name(self) -> str:
        status = await self._ask("status", "--json")
        state = status.get("BackendState")
        if state != "Running":
            raise RouteFailed(f"Tailscale is not running here (it says {state}): tailscale up")
        me = status.get("Self")
        name = me.get("DNSName") if isinstance(me, dict) else None
        if not isinstance(name, str) or not name.strip("."):
            raise RouteFailed("this machine has no name in the tailnet: switch on MagicDNS")
        return name.rstrip(".")

    async def _ask(self, *words: str) -> dict[str, Any]:
        try:
            answer = json.loads(await self._run(*words) or b"{}")
        except ValueError:
            raise RouteFailed(f"tailscale {' '.join(words)} does not answer in JSON") from None
        return answer if isinstance(answer, dict) else {}

    async def _run(self, *words: str) -> bytes:
        settings = self._settings
        try:
            done = await run_program(
                [settings.program, *words],
                env=settings.env or {},
                timeout_s=settings.timeout_s,
                max_output_bytes=_MAX_ANSWER_BYTES,
            )
        except (ProgramMissing, ProgramTooSlow) as error:
            raise RouteFailed(str(error)) from None
        if done.code != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise RouteFailed(f"tailscale {words[0]}: {said[:500] or f'exit code {done.code}'}")
        return done.stdout

    def _noted(self) -> str | None:
        try:
            return self._settings.note.read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return None

    def _write_note(self) -> None:
        note = self._settings.note
        try:
            note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            note.write_text(self._settings.target, encoding="utf-8")
        except OSError as error:
            log.warning("tailscale.no_note", problem=str(error))


def _target_of(status: dict[str, Any], name: str, settings: RouteSettings) -> str | None:
    """Where the HTTPS port leads now; `None`: nowhere."""
    web = status.get("Web")
    server = web.get(f"{name}:{settings.https_port}") if isinstance(web, dict) else None
    handlers = server.get("Handlers") if isinstance(server, dict) else None
    root = handlers.get("/") if isinstance(handlers, dict) else None
    if not isinstance(root, dict):
        return "something else" if isinstance(handlers, dict) and handlers else None
    is_public = isinstance(status.get("AllowFunnel"), dict) and bool(
        status["AllowFunnel"].get(f"{name}:{settings.https_port}")
    )
    target = root.get("Proxy")
    if not isinstance(target, str):
        return "something else"
    if is_public != (settings.mode == "funnel") and target == settings.target:
        return None  # ours, and for the wrong people: made again
    return target
