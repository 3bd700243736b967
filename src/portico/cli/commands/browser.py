"""`portico browser serve`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

from portico.cli.command import HERE, Local, command
from portico.cli.exit import ExitCode, Failure

if TYPE_CHECKING:
    from portico.browser.settings import BrowserSettings

NOT_INSTALLED = "This command needs the playwright package: pip install 'portico[browser]'."
MAX_SETTINGS_BYTES = 65_536


@command("serve")
async def serve(*, piped: bool = False, here: Local = HERE) -> int:
    """Run the browser service that the gateway starts when it needs it.

    By hand it prints its port and token as JSON, and runs until Ctrl-C.

    Args:
        piped: Take the settings from the input, and end when that closes.

    Examples:
        portico browser serve
    """
    try:
        from portico.browser.serving.server import serve as run
    except ModuleNotFoundError:
        return _cannot(piped=piped)
    import msgspec

    from portico.browser.settings import BrowserSettings

    _log_to_stderr()
    if piped:
        reader = await _input()
        settings = msgspec.json.decode(await reader.readline(), type=BrowserSettings)
        ended = _closed(reader)
        shown: dict[str, str] = {}
    else:
        settings = _configured(here)
        ended = asyncio.sleep(float("inf"))
        shown = {"token": settings.token}

    def ready(port: int) -> None:
        print(json.dumps({"event": "ready", "port": port, **shown}), flush=True)

    await run(settings, env=os.environ, ended=ended, on_ready=ready)
    return ExitCode.OK


def _cannot(*, piped: bool) -> int:
    if not piped:
        raise Failure(NOT_INSTALLED, code="not_installed")
    print(json.dumps({"event": "failed", "message": NOT_INSTALLED}), flush=True)
    return ExitCode.FAILED


def _configured(here: Local) -> BrowserSettings:
    from portico.browser.configured import browser_settings
    from portico.config import load, resolve_paths

    paths = resolve_paths(env=os.environ, config=here.config, state_dir=here.state_dir)
    return browser_settings(load(paths, env=os.environ).require(), paths.state_dir)


def _log_to_stderr() -> None:
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


async def _input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=MAX_SETTINGS_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    return reader


async def _closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(1024):
        pass
