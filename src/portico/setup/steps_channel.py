"""A first channel: which one, the settings its account cannot do without, and whether they work."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from portico.channels.manifest import Manifest
from portico.setup.fields import Wanted, problem_of, wanted_fields
from portico.setup.interview import Item
from portico.setup.model import NONE, Check, Checked, Known, Option, Question, Step, Unacceptable
from portico.setup.reading import one_of, text_of

PREFIX = "channel.set."
_AFTER = (
    Option(value="again", label="Give the settings again"),
    Option(value="keep", label="Take them all the same"),
    Option(value="skip", label="Leave the channel out"),
)


def channel_items(known: Known) -> Sequence[Item]:
    """Return the questions about the channel."""
    items: list[Item] = [
        Question(
            id="channel",
            show=_channel,
            read=lambda value, known: one_of(value, _channels(known)),
            applies=lambda known: known.facts.channel is None,
        )
    ]
    manifest = chosen_channel(known)
    if manifest is None:
        return items
    wanted = wanted_fields(manifest, channel_settings(known), known.facts.env)
    items += [_question(manifest, one) for one in wanted]
    again = ("channel.set.", "channel.check", "channel.after")
    return [
        *items,
        Check(id="channel.check"),
        Question(
            id="channel.after",
            show=_after,
            read=lambda value, _known: one_of(value, _AFTER),
            applies=_has_problem,
            again=("again", again),
        ),
    ]


def chosen_channel(known: Known) -> Manifest | None:
    """Return the channel that is set up; `None`: none is."""
    name = known.facts.channel or known.get("channel")
    return known.facts.manifests.get(name) if name else None


def channel_settings(known: Known) -> dict[str, str]:
    """Return the settings that were given, empty ones included."""
    return {
        name.removeprefix(PREFIX): value
        for name, value in known.answers.items()
        if name.startswith(PREFIX)
    }


def wants_channel(known: Known) -> bool:
    """Whether an account will be written."""
    return chosen_channel(known) is not None and known.get("channel.after") != "skip"


def _channels(known: Known) -> tuple[Option, ...]:
    there = {entry.channel for entry in known.facts.loaded.channel_accounts}
    named = [
        Option(
            value=name,
            label=manifest.label,
            hint="configured" if name in there else (manifest.blurb or None),
        )
        for name, manifest in known.facts.manifests.items()
    ]
    return (Option(value=NONE, label="None now"), *named)


def _channel(known: Known) -> Step:
    return Step(
        id="channel",
        type="select",
        title="Channel",
        message="Where people write to the agent, besides the page.",
        options=_channels(known),
        initial_value=NONE,
    )


def _question(manifest: Manifest, wanted: Wanted) -> Question:
    step_id = f"{PREFIX}{wanted.name}"
    left_out = "" if wanted.is_needed else " Leave it empty to do without."
    step = Step(
        id=step_id,
        type="text",
        title=f"{manifest.label}: {wanted.name}",
        message=f"{wanted.doc}{left_out}",
        sensitive=wanted.is_secret,
        initial_value=None if wanted.is_needed else "",
    )
    return Question(id=step_id, show=lambda _known: step, read=partial(_read, manifest, wanted))


def _read(manifest: Manifest, wanted: Wanted, value: Any, known: Known) -> str:
    text = text_of("" if value is None else value)
    if not text:
        if wanted.is_needed:
            raise Unacceptable(f"{wanted.name} is needed.")
        return ""
    given = {k: v for k, v in channel_settings(known).items() if k != wanted.name}
    problem = problem_of(manifest, wanted.name, text, given, known.facts.env)
    if problem is not None:
        raise Unacceptable(f"{wanted.name}: {problem}")
    return text


def _has_problem(known: Known) -> bool:
    found = known.get("channel.check")
    return isinstance(found, Checked) and found.problem is not None


def _after(known: Known) -> Step:
    return Step(
        id="channel.after",
        type="select",
        title="The account could not be connected",
        message=known.get("channel.check").problem,
        options=_AFTER,
        initial_value="again",
    )
