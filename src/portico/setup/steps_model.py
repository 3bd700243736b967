"""The language model: who provides it, with which key, and which one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from portico.agents.model.catalog import BUILT_IN, NEEDS_NO_KEY
from portico.setup.fields import unset_variable
from portico.setup.interview import Item
from portico.setup.model import (
    KEEP,
    NONE,
    Check,
    Checked,
    Known,
    Option,
    Question,
    Step,
    Unacceptable,
)
from portico.setup.reading import one_of, plain_text_of, some_text_of

CUSTOM = "custom"
_LABELS = {
    "openai": "OpenAI",
    "anthropic": "Anthropic",
    "google": "Google Gemini",
    "mistral": "Mistral",
    "openrouter": "OpenRouter",
    "groq": "Groq",
    "deepseek": "DeepSeek",
    "xai": "xAI",
    "ollama": "Ollama, on this machine",
}
_SHOWN_MODELS = 30


def model_items(known: Known) -> Sequence[Item]:
    """Return the questions about the model."""
    return (
        Question(
            id="model.provider",
            show=_provider,
            read=lambda value, known: one_of(value, _providers(known)),
        ),
        Question(id="model.url", show=_url, read=_read_url, applies=_needs_url),
        Question(
            id="model.keySource",
            show=_source,
            read=lambda value, known: one_of(value, _sources(known)),
            applies=lambda known: has_provider(known) and len(_sources(known)) > 1,
        ),
        Question(id="model.key", show=_key, read=_read_key, applies=_needs_key),
        Check(id="model.check", applies=has_provider),
        Question(
            id="model.after",
            show=_after,
            read=lambda value, _known: one_of(value, _AFTER),
            applies=_has_problem,
            again=("again", ("model.url", "model.key", "model.check", "model.after")),
        ),
        Question(id="model.id", show=_model, read=_read_model, applies=wants_model),
    )


def has_provider(known: Known) -> bool:
    """Whether a provider was chosen."""
    return known.get("model.provider") not in {None, KEEP, NONE}


def wants_model(known: Known) -> bool:
    """Whether a model of the provider will be used."""
    return has_provider(known) and known.get("model.after") != "skip"


def key_reference(known: Known) -> str | None:
    """Return what is written as the key; `None`: none."""
    given = known.get("model.key")
    if given:
        return str(given)
    if known.get("model.keySource") == "env":
        return f"${{{_variable(known)}}}"
    return None


def key_of(known: Known) -> str | None:
    """Return the key itself."""
    from portico.setup.fields import resolved

    return resolved({"key": key_reference(known) or ""}, known.facts.env).get("key")


def _variable(known: Known) -> str:
    _, _, variable = BUILT_IN.get(known.get("model.provider", ""), ("", "", ""))
    return variable


def _current(known: Known) -> str | None:
    agents = known.facts.loaded.require().agents
    return agents.model_for(agents.default_id()).primary


def _providers(known: Known) -> tuple[Option, ...]:
    now = _current(known)
    if now is None:
        runtime = known.facts.loaded.require().agents
        kind = runtime.runtime_for(runtime.default_id()).type
        stays = Option(value=NONE, label=f"None yet: the {kind} runtime answers")
    else:
        stays = Option(value=KEEP, label=f"As it is: {now}")
    named = [Option(value=name, label=_LABELS.get(name, name)) for name in BUILT_IN]
    return (stays, *named, Option(value=CUSTOM, label="Another, with OpenAI's API"))


def _provider(known: Known) -> Step:
    options = _providers(known)
    return Step(
        id="model.provider",
        type="select",
        title="Language model",
        message="Who provides the model the agent thinks with.",
        options=options,
        initial_value=options[0].value,
    )


def _needs_url(known: Known) -> bool:
    return known.get("model.provider") in {CUSTOM, *NEEDS_NO_KEY}


def _url(known: Known) -> Step:
    where = BUILT_IN.get(known.get("model.provider", ""), (None, "", ""))[0]
    return Step(
        id="model.url",
        type="text",
        title="Address",
        message="The address of its API, up to /v1.",
        initial_value=where,
        placeholder="https://models.example.com/v1",
    )


def _read_url(value: Any, _known: Known) -> str:
    text = plain_text_of(value, what="An address")
    if not _is_address(text):
        raise Unacceptable("Write it like https://models.example.com/v1.")
    return text.rstrip("/")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises when it is none
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None


def _sources(known: Known) -> tuple[Option, ...]:
    variable = _variable(known)
    may_do_without = known.get("model.provider") in {CUSTOM, *NEEDS_NO_KEY}
    found = [Option(value="enter", label="Enter it now", hint="kept in the private config file")]
    if variable and variable in known.facts.env:
        found.insert(0, Option(value="env", label=f"From the variable {variable}"))
    if may_do_without:
        found.insert(0, Option(value=NONE, label="There is none"))
    return tuple(found)


def _source(known: Known) -> Step:
    options = _sources(known)
    return Step(
        id="model.keySource",
        type="select",
        title="Key",
        message="Where the provider's key is.",
        options=options,
        initial_value=options[0].value,
    )


def _needs_key(known: Known) -> bool:
    return has_provider(known) and known.get("model.keySource", "enter") == "enter"


def _key(known: Known) -> Step:
    return Step(
        id="model.key",
        type="text",
        title="Key",
        message="The provider's key, or ${NAME} of a variable that holds it.",
        sensitive=True,
    )


def _read_key(value: Any, known: Known) -> str:
    text = some_text_of(value, what="A key")
    if unset := unset_variable(text, known.facts.env):
        raise Unacceptable(f"The variable {unset} is not set here.")
    return text


def _has_problem(known: Known) -> bool:
    found = known.get("model.check")
    return isinstance(found, Checked) and found.problem is not None


_AFTER = (
    Option(value="again", label="Give it again"),
    Option(value="keep", label="Take it all the same"),
    Option(value="skip", label="Leave the model out"),
)


def _after(known: Known) -> Step:
    return Step(
        id="model.after",
        type="select",
        title="The provider could not be asked",
        message=known.get("model.check").problem,
        options=_AFTER,
        initial_value="again",
    )


def _model(known: Known) -> Step:
    found = known.get("model.check")
    names = found.found if isinstance(found, Checked) else ()
    shown = ", ".join(names[:_SHOWN_MODELS])
    more = f" and {len(names) - _SHOWN_MODELS} more" if len(names) > _SHOWN_MODELS else ""
    return Step(
        id="model.id",
        type="text",
        title="Model",
        message=f"Its name at the provider. There are: {shown}{more}."
        if names
        else "Its name at the provider.",
        initial_value=names[0] if len(names) == 1 else None,
    )


def _read_model(value: Any, known: Known) -> str:
    text = plain_text_of(value, what="The name of a model")
    provider = known.get("model.provider")
    text = text.removeprefix(f"{provider}/") if provider != "openrouter" else text
    if not text or any(one.isspace() for one in text):
        raise Unacceptable("The name of a model has no spaces.")
    return text
