"""One log for everything: JSON lines in a bounded file, readable lines on the console.

Theory of operation: structlog and the standard library's loggers (uvicorn, websockets, alembic …)
meet in one `_Lines` object: redact, then write one JSON line to a rotating file and one line to the
console. Event names are dotted constants; data are fields; context comes from contextvars.

Guarantees: at most `FILES` files of `FILE_BYTES` each, readable by the owner only; secrets are
replaced before anything is written; a full disk never stops the gateway.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

from portico.clock import Clock, SystemClock
from portico.observe.redaction import Redactor

FILE_BYTES = 10 * (1 << 20)
FILES = 5

Level = Literal["silent", "fatal", "error", "warn", "info", "debug", "trace"]
Style = Literal["pretty", "compact", "json"]
_LEVELS: Mapping[str, int] = {
    "silent": 100,
    "fatal": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": 5,
}
_QUIET = {  # chatty libraries: only what an operator can act upon
    "uvicorn.access": logging.CRITICAL,
    "uvicorn": logging.WARNING,
    "websockets": logging.WARNING,
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
    "alembic": logging.WARNING,
    "asyncio": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "mcp": logging.CRITICAL,  # tells of each broken connection with a traceback; we tell of it once
}


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where the log goes.

    Attributes:
        file: JSON lines; `None`: no file.
    """

    level: Level = "info"
    file: Path | None = None
    console_style: Style = "pretty"


class _Lines:
    """Writes finished events."""

    def __init__(
        self, settings: LogSettings, redactor: Redactor, clock: Clock, console: TextIO
    ) -> None:
        self._redactor = redactor
        self._clock = clock
        self._console = console
        self._style = settings.console_style
        self._file = None if settings.file is None else _open_file(settings.file)

    def write(self, level: str, event: MutableMapping[str, Any]) -> None:
        """Write one event to the file and the console."""
        moment = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        name = str(event.pop("event", ""))
        error = _error_text(event.pop("exc_info", None))
        fields = self._redactor.fields(dict(event))
        if error:
            fields["error"] = self._redactor.text(error)
        stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"timestamp": stamp, "level": level, "event": self._redactor.text(name), **fields}
        encoded = msgspec.json.encode(line, enc_hook=str).decode()
        if self._file is not None:
            self._file.put(encoded)
        shown = encoded if self._style == "json" else _readable(line, self._style, moment)
        try:
            self._console.write(shown + "\n")
            self._console.flush()
        except (OSError, ValueError):  # the terminal is gone
            return

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class _Bridge(logging.Handler):
    """Brings the standard library's records into the log."""

    def __init__(self, lines: _Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        event: dict[str, Any] = {"event": record.getMessage(), "logger": record.name}
        if record.exc_info:
            event["exc_info"] = record.exc_info
        self._lines.write(_level_name(record.levelno), event)


def configure_logging(
    settings: LogSettings,
    *,
    secrets: Collection[str] = (),
    clock: Clock | None = None,
    console: TextIO | None = None,
) -> Callable[[], None]:
    """Send every log event where the settings say; return the function that closes the file.

    Args:
        secrets: values that must never be written, wherever they appear.
    """
    lines = _Lines(settings, Redactor(secrets), clock or SystemClock(), console or sys.stderr)

    def write(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        lines.write("error" if method == "exception" else method, event)
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _with_traceback, write],
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    logging.getLogger().handlers = [_Bridge(lines)]
    for name in _QUIET:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    set_level(settings.level)
    return lines.close


def set_level(name: Level) -> None:
    """Write what is at least this important, from now on."""
    level = _LEVELS[name]
    wrapper = structlog.make_filtering_bound_logger(min(level, logging.CRITICAL))
    structlog.configure(**{**structlog.get_config(), "wrapper_class": wrapper})
    logging.getLogger().setLevel(max(level, logging.INFO))
    for library, quietest in _QUIET.items():
        logging.getLogger(library).setLevel(max(level, quietest))


def _with_traceback(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if method == "exception":
        event.setdefault("exc_info", True)
    return event


def _error_text(exc_info: Any) -> str:
    if not exc_info:
        return ""
    if isinstance(exc_info, BaseException):
        return "".join(traceback.format_exception(exc_info)).rstrip()
    if isinstance(exc_info, tuple):
        return "".join(traceback.format_exception(*exc_info)).rstrip()
    return "" if sys.exc_info()[0] is None else traceback.format_exc().rstrip()


def _level_name(number: int) -> str:
    if number >= logging.CRITICAL:
        return "critical"
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


class _OwnersFile(RotatingFileHandler):
    """A rotating file only its owner can read; what cannot be written is let go."""

    def _open(self) -> Any:  # type: ignore[explicit-override]  # typing has it since 3.12
        stream = super()._open()
        path = Path(self.baseFilename)
        path.chmod(0o600)
        self._rotates = path.is_file()  # and not, say, a pipe
        return stream

    def put(self, line: str) -> None:
        """Append a line, without the two questions `emit` asks the file system for each."""
        try:
            if self.stream is None:
                self.stream = self._open()
            if self._rotates and self.stream.tell() + len(line) >= self.maxBytes:
                self.doRollover()
            self.stream.write(line + "\n")
            self.stream.flush()
        except (OSError, ValueError):
            return


def _open_file(path: Path) -> _OwnersFile:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return _OwnersFile(path, maxBytes=FILE_BYTES, backupCount=FILES - 1, encoding="utf-8")


def _readable(line: Mapping[str, Any], style: Style, moment: datetime) -> str:
    local = moment.astimezone()
    stamp = local.strftime("%H:%M:%S") if style == "pretty" else line["timestamp"]
    hidden = {"timestamp", "level", "event", "error"}
    rest = "  ".join(f"{k}={_short(v)}" for k, v in line.items() if k not in hidden)
    error = f"\n{line['error']}" if "error" in line else ""
    return f"{stamp} {line['level']:<8} {line['event']}  {rest}".rstrip() + error


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
    return text if len(text) <= 300 else f"{text[:300]}…"
