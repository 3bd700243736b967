"""The questions, in their order: one declarative list.

Not here: what the answers change (changes.py), and the look-ups between them (checks.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portico.setup.interview import Item
from portico.setup.model import KEEP, NONE, Check, Known, Option, Question, Step, Unacceptable
from portico.setup.steps_channel import channel_items
from portico.setup.steps_gateway import gateway_items
from portico.setup.steps_model import model_items
from portico.setup.summary import summary

FINISH = "finish"


def agenda(known: Known) -> Sequence[Item]:
    """Return what is asked, knowing the answers so far."""
    items: list[Item] = []
    if known.facts.flow == "setup":
        items += [WELCOME, *gateway_items(known)]
    if known.facts.flow != "channels":
        items += model_items(known)
    if known.facts.flow != "model":
        items += channel_items(known)
    if known.facts.flow == "setup":
        items.append(SERVICE)
    return [*items, CONFIRM]


def _welcome(known: Known) -> Step:
    return Step(
        id="welcome",
        type="note",
        title="Portico",
        message="A few questions, and the gateway is ready. Nothing is changed before the last "
        f"one is answered; then the settings go to {known.facts.loaded.paths.config_file}.",
    )


def _service(known: Known) -> Step:
    return Step(
        id="service",
        type="confirm",
        title="Service",
        message="Start the gateway with this machine?",
        initial_value=known.facts.install_service,
    )


def yes_or_no(value: Any, _known: Known) -> bool:
    """Read a confirmation.

    Raises:
        Unacceptable: it is neither.
    """
    if isinstance(value, bool):
        return value
    raise Unacceptable("Answer yes or no.")


WELCOME = Question(id="welcome", show=_welcome, read=lambda _value, _known: True)
SERVICE = Question(
    id="service", show=_service, read=yes_or_no, applies=lambda known: known.facts.service
)
CONFIRM = Question(
    id=FINISH,
    show=lambda known: Step(
        id=FINISH,
        type="confirm",
        title="Write these settings?",
        message=summary(known),
        initial_value=True,
    ),
    read=yes_or_no,
)

__all__ = ["FINISH", "KEEP", "NONE", "Check", "Option", "agenda", "yes_or_no"]
