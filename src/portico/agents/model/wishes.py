"""What the caller of a turn wants of the model: sampling, which of its tools, the answer's format.

Guarantees: what a model or its provider's interface has no setting for is left out, as servers of
OpenAI's API do. `tool_choice` is about the caller's tools; the agent keeps its own.

Source: OpenAI API reference, "Chat" and "Responses".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_ai.messages import InstructionPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.tools import ToolDefinition

from portico.agents.client_tools import tool_choice

CLIENT_TOOLS = "openai.tools"
JSON_ONLY = "Answer with one JSON object and nothing else: no Markdown around it, no other text."
_AS_THEY_ARE = frozenset({"temperature", "top_p", "frequency_penalty", "presence_penalty", "seed"})


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted of the answers of one turn.

    Attributes:
        settings: as pydantic-ai names them.
        max_tokens: the longest answer.
        tools: the caller's tools the model may choose from, by name.
        must_use: the names of which one must be called; empty: as the model likes.
        schema: what the answer must be; `None`: any text.
        is_json: the answer must be a JSON object, whatever is in it.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    tools: Mapping[str, ToolDefinition] = field(default_factory=dict)
    must_use: tuple[str, ...] = ()
    schema: OutputObjectDefinition | None = None
    is_json: bool = False

    @property
    def wants_json(self) -> bool:
        """Whether the answer must be JSON."""
        return self.is_json or self.schema is not None

    @property
    def wants_object(self) -> bool:
        """Whether it must be a JSON object."""
        return self.is_json or (
            self.schema is not None and self.schema.json_schema.get("type") == "object"
        )

    @classmethod
    def of(cls, extensions: Mapping[str, Any]) -> Wishes:
        """Read what came with a turn."""
        sampling = _mapping(extensions.get("openai.sampling"))
        mode, names = tool_choice(extensions.get("openai.tool_choice"))
        offered = _tools(extensions.get(CLIENT_TOOLS))
        chosen = tuple(name for name in offered if not names or name in names)
        if mode == "none":
            offered = {}
        elif mode == "auto":
            offered = {name: offered[name] for name in chosen}
        limit = sampling.get("max_tokens")
        wanted = _format(extensions.get("openai.response_format"))
        return cls(
            settings=_settings(sampling, extensions.get("openai.parallel_tool_calls")),
            max_tokens=limit if isinstance(limit, int) and limit > 0 else None,
            tools=offered,
            must_use=chosen if mode == "required" else (),
            schema=_schema(wanted),
            is_json=wanted.get("type") == "json_object",
        )

    def lenient(self) -> Wishes:
        """Return these without what a model may refuse outright."""
        return replace(self, must_use=(), schema=None, is_json=False)

    def settings_for(self, model: Model[Any]) -> dict[str, Any]:
        """Return the settings of a call."""
        known = model.unsupported_settings
        settings = {name: value for name, value in self.settings.items() if name not in known}
        if self.must_use:
            settings["tool_choice"] = [*self.must_use]
        return settings

    def shape(
        self, parameters: ModelRequestParameters, model: Model[Any]
    ) -> ModelRequestParameters:
        """Return the parameters of a call, with the format of its answer."""
        profile = model.profile
        if self.schema is not None:
            native = profile.get("supports_json_schema_output", False)
            return replace(
                parameters,
                output_mode="native" if native else "prompted",
                output_object=self.schema,
            )
        if not self.is_json:
            return parameters
        if profile.get("supports_json_object_output", False):
            return replace(parameters, output_mode="prompted", prompted_output_template=False)
        told = [*(parameters.instruction_parts or ()), InstructionPart(content=JSON_ONLY)]
        return replace(parameters, instruction_parts=told)


def _settings(sampling: Mapping[str, Any], parallel: Any) -> dict[str, Any]:
    found = {name: value for name, value in sampling.items() if name in _AS_THEY_ARE}
    stop = sampling.get("stop")
    if stop and isinstance(stop, str | list | tuple):
        found["stop_sequences"] = [stop] if isinstance(stop, str) else [*stop]
    if isinstance(parallel, bool):
        found["parallel_tool_calls"] = parallel
    return found


def _tools(given: Any) -> dict[str, ToolDefinition]:
    found: dict[str, ToolDefinition] = {}
    for tool in given if isinstance(given, list | tuple) else ():
        shape = _mapping(_mapping(tool).get("function")) or _mapping(tool)
        name = shape.get("name")
        if isinstance(name, str) and name:
            found[name] = ToolDefinition(
                name=name,
                description=shape.get("description"),
                parameters_json_schema=shape.get("parameters") or {"type": "object"},
                strict=shape.get("strict"),
            )
    return found


def _format(given: Any) -> Mapping[str, Any]:
    """Return a format in the shape of Responses: chat puts the schema one level deeper."""
    shape = _mapping(given)
    return {**shape, **_mapping(shape.get("json_schema"))}


def _schema(wanted: Mapping[str, Any]) -> OutputObjectDefinition | None:
    schema = wanted.get("schema")
    if wanted.get("type") != "json_schema" or not isinstance(schema, Mapping):
        return None
    return OutputObjectDefinition(
        json_schema=dict(schema),
        name=wanted.get("name"),
        description=wanted.get("description"),
        strict=True if wanted.get("strict") is True else None,  # `False` is refused by some
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
