"""What a wizard is made of: questions, checks, and what is known when one of them is asked.

Source: OpenClaw gateway protocol, "wizard" (`WizardStep`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from portico.channels.manifest import Manifest
from portico.config.service import LoadedConfig
from portico.protocol.validation import Result

Flow = Literal["setup", "channels", "model"]
Status = Literal["running", "done", "cancelled", "error"]
StepType = Literal["note", "select", "text", "confirm"]
KEEP = "keep"
NONE = "none"
ACCOUNT = "default"
"""The account of a channel that is set up."""


class Option(Result, frozen=True, kw_only=True):
    """One thing that can be chosen."""

    value: str
    label: str
    hint: str | None = None


class Step(Result, frozen=True, kw_only=True):
    """What is shown to the person.

    Attributes:
        initial_value: what stands if nothing else is said; never a secret.
        sensitive: what is typed must not be seen.
    """

    id: str
    type: StepType
    title: str | None = None
    message: str | None = None
    options: tuple[Option, ...] | None = None
    initial_value: Any = None
    placeholder: str | None = None
    sensitive: bool = False


class Unacceptable(Exception):
    """An answer that cannot be taken; the text says why and is for the person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known before anything is asked.

    Attributes:
        env: variables that secrets may stay in.
        service: whether the gateway can be installed as a service of this machine.
        token: what the gateway's token becomes, where it gets a new one.
        channel: the channel that is to be set up; `None`: that is asked.
        workspace: what is proposed; `None`: what is configured.
    """

    flow: Flow
    loaded: LoadedConfig
    env: Mapping[str, str]
    manifests: Mapping[str, Manifest]
    token: str
    service: bool = False
    install_service: bool = False
    channel: str | None = None
    workspace: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """The facts, and what was answered so far by the ids of the steps."""

    facts: Facts
    answers: Mapping[str, Any] = field(default_factory=dict)

    def get(self, step_id: str, default: Any = None) -> Any:
        """Return an answer."""
        return self.answers.get(step_id, default)


def always(_known: Known) -> bool:
    """Ask in any case."""
    return True


def as_it_is(value: Any, _known: Known) -> Any:
    """Take any answer."""
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question.

    Attributes:
        show: what the person sees.
        read: the answer that stands for what the person gave; raises `Unacceptable`.
        applies: whether it is asked, knowing the answers to those before it.
        again: the answers this one may ask to be given anew (beginnings of ids), and the value
            that asks for it.
    """

    id: str
    show: Callable[[Known], Step]
    read: Callable[[Any, Known], Any] = as_it_is
    applies: Callable[[Known], bool] = always
    again: tuple[str, tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Something that is looked up outside between two questions; what it found is its answer."""

    id: str
    applies: Callable[[Known], bool] = always


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        problem: what is wrong, for the person; `None`: nothing.
        found: names that help with a later question.
    """

    problem: str | None = None
    found: tuple[str, ...] = ()


class WizardNotFound(LookupError):
    """No such wizard, or it is over for long."""


class TooManyWizards(Exception):
    """No other wizard can be begun now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WizardSettings:
    """How many wizards there may be, and how long each may wait for an answer."""

    most: int = 8
    idle_ms: int = 1_800_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a wizard is.

    Attributes:
        error: why the last answer was not taken, or why the wizard failed.
        channels: the channels that were set up.
        loaded: the configuration it wrote.
        notes: what else is to be told.
    """

    status: Status
    step: Step | None = None
    error: str | None = None
    channels: tuple[str, ...] = ()
    loaded: LoadedConfig | None = None
    notes: tuple[str, ...] = ()
