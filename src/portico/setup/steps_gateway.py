"""Where the agents' files are, where the gateway listens, and who gets in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portico.config.checks import auth_mode
from portico.config.references import has_variable
from portico.setup.fields import unset_variable
from portico.setup.model import KEEP, Known, Option, Question, Step, Unacceptable
from portico.setup.reading import one_of, plain_text_of, some_text_of, text_of

MIN_PASSWORD_CHARS = 12
_LAST_PORT = 65_535
_PORT_DIGITS = 5
_BINDS = (
    Option(value="loopback", label="This machine only"),
    Option(value="lan", label="Every network of this machine"),
)


def gateway_items(_known: Known) -> Sequence[Question]:
    """Return the questions about the gateway itself."""
    return (
        Question(id="workspace", show=_workspace, read=_read_workspace),
        Question(id="gateway.port", show=_port, read=_read_port),
        Question(
            id="gateway.bind",
            show=_bind,
            read=lambda value, known: one_of(value, _binds(known)),
        ),
        Question(
            id="gateway.auth",
            show=_auth,
            read=lambda value, known: one_of(value, _auths(known)),
        ),
        Question(
            id="gateway.password",
            show=_password,
            read=_read_password,
            applies=lambda known: known.get("gateway.auth") == "password",
        ),
    )


def configured_workspace(known: Known) -> Path:
    """Where the files of the agent that answers by default are now."""
    loaded = known.facts.loaded
    agents = loaded.require().agents
    return agents.workspace_for(agents.default_id(), loaded.paths.state_dir)


def _workspace(known: Known) -> Step:
    return Step(
        id="workspace",
        type="text",
        title="Workspace",
        message="The directory with the agent's documents and files.",
        initial_value=known.facts.workspace or str(configured_workspace(known)),
    )


def _read_workspace(value: Any, _known: Known) -> str:
    text = plain_text_of(value, what="A directory")
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise Unacceptable("Give the whole path, from / or ~.")
    try:
        taken = next(one for one in (path, *path.parents) if one.exists())
        if not taken.is_dir():
            raise Unacceptable(f"{taken} is not a directory.")
    except OSError as error:
        raise Unacceptable(f"That cannot be a directory: {error.strerror or error}.") from None
    return str(path)


def _port(known: Known) -> Step:
    return Step(
        id="gateway.port",
        type="text",
        title="Port",
        message="The one port of the gateway: its page, its API and its clients.",
        initial_value=str(known.facts.loaded.require().gateway.port),
    )


def _read_port(value: Any, known: Known) -> int:
    text = str(value) if type(value) is int else text_of(value)
    is_number = text.isascii() and text.isdigit() and len(text) <= _PORT_DIGITS
    stays = known.facts.loaded.require().gateway.port  # 0, any free one, may stay
    if not is_number or (not 1 <= int(text) <= _LAST_PORT and int(text) != stays):
        raise Unacceptable(f"A port is a number from 1 to {_LAST_PORT}.")
    return int(text)


def _binds(known: Known) -> tuple[Option, ...]:
    now = known.facts.loaded.require().gateway.bind
    if any(one.value == now for one in _BINDS):
        return _BINDS
    return (*_BINDS, Option(value=now, label=f"As it is: {now}"))


def _bind(known: Known) -> Step:
    return Step(
        id="gateway.bind",
        type="select",
        title="Network",
        message="Who can reach the port.",
        options=_binds(known),
        initial_value=known.facts.loaded.require().gateway.bind,
    )


def _auths(known: Known) -> tuple[Option, ...]:
    config = known.facts.loaded.require()
    mode = auth_mode(config)
    secrets = {"token": config.gateway.auth.token, "password": config.gateway.auth.password}
    can_stay = bool(secrets.get(mode, True))
    if mode == "none" and known.get("gateway.bind") != "loopback":
        can_stay = False  # the gateway would refuse to start
    kept = (Option(value=KEEP, label=f"As it is: {mode}"),) if can_stay else ()
    return (
        *kept,
        Option(value="token", label="A new token", hint="recommended"),
        Option(value="password", label="A password"),
    )


def _auth(known: Known) -> Step:
    options = _auths(known)
    return Step(
        id="gateway.auth",
        type="select",
        title="Way in",
        message="What clients prove themselves with.",
        options=options,
        initial_value=options[0].value,
    )


def _password(_known: Known) -> Step:
    return Step(
        id="gateway.password",
        type="text",
        title="Password",
        message=f"At least {MIN_PASSWORD_CHARS} characters, or ${{NAME}} of a variable.",
        sensitive=True,
    )


def _read_password(value: Any, known: Known) -> str:
    text = some_text_of(value, what="A password")
    if unset := unset_variable(text, known.facts.env):
        raise Unacceptable(f"The variable {unset} is not set here.")
    if not has_variable(text) and len(text) < MIN_PASSWORD_CHARS:
        raise Unacceptable(f"A password has at least {MIN_PASSWORD_CHARS} characters.")
    return text
