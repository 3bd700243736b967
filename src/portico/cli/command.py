"""What makes a function a command, and the options that commands share.

A command is one function: the first line of its docstring is the summary, `Args:` documents the
parameters, `Examples:` (required) ends the help. The rest of the docstring is shown as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

DEFAULT_TIMEOUT_S: Final = 10.0
_SECTIONS: Final = ("Args:", "Returns:", "Raises:", "Examples:")


def command(name: str) -> Callable[[Callable[..., Any]], App]:
    """Turn a function into the command `name`."""

    def wrap(function: Callable[..., Any]) -> App:
        doc = inspect.cleandoc(function.__doc__ or "")
        summary, _, rest = doc.partition("\n")
        if "Examples:" not in _section_names(rest):
            raise TypeError(f"command {name} has no Examples: in its docstring")
        epilogue = "\n\n".join(part for part in (_prose(rest), _examples(rest)) if part)
        return App(name=name, help=summary, help_epilogue=epilogue, default_command=function)

    return wrap


def _section_names(text: str) -> list[str]:
    return [line for line in text.splitlines() if line in _SECTIONS]


def _prose(text: str) -> str:
    lines: list[str] = []
    for line in text.splitlines():
        if line in _SECTIONS:
            break
        lines.append(line)
    paragraphs = "\n".join(lines).strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _examples(text: str) -> str:
    lines = text.splitlines()
    start = lines.index("Examples:")
    block = [lines[start]]
    for line in lines[start + 1 :]:
        if line and not line.startswith(" "):
            break
        block.append(line)
    return "\n".join(block).rstrip()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Local:
    """Where this machine keeps its configuration, and how to print."""

    config: Annotated[
        str | None, Parameter(help="Configuration file. [env: PORTICO_CONFIG]", group="Common")
    ] = None
    state_dir: Annotated[
        str | None, Parameter(help="State directory. [env: PORTICO_STATE_DIR]", group="Common")
    ] = None
    json: Annotated[bool, Parameter(help="Print JSON; errors too, on stderr.", group="Common")] = (
        False
    )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Remote(Local):
    """Which gateway to talk to; by default the one of this machine's configuration."""

    url: Annotated[
        str | None,
        Parameter(
            help="Gateway to talk to: ws://, wss://, http:// or https://. "
            "[env: PORTICO_GATEWAY_URL]",
            group="Gateway",
        ),
    ] = None
    token: Annotated[
        str | None,
        Parameter(help="Its token. [env: PORTICO_GATEWAY_TOKEN]", group="Gateway"),
    ] = None
    password: Annotated[
        str | None,
        Parameter(help="Its password. [env: PORTICO_GATEWAY_PASSWORD]", group="Gateway"),
    ] = None
    tls_fingerprint: Annotated[
        str | None,
        Parameter(
            help="SHA-256 of its certificate: believe this one and no other. "
            "[env: PORTICO_GATEWAY_TLS_FINGERPRINT]",
            group="Gateway",
        ),
    ] = None
    timeout: Annotated[
        float | None,
        Parameter(help="Seconds to wait for an answer. [default: 10]", group="Gateway"),
    ] = None

    @property
    def timeout_s(self) -> float:
        """How long to wait for one answer."""
        return DEFAULT_TIMEOUT_S if self.timeout is None else self.timeout


HERE: Final = Local()
THERE: Final = Remote()
