"""A declared tool: its schema, its validation, and what is refused when it is declared."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest

from portico.agents.tools.contract import Tool, ToolArgs, ToolCall, tool, tools_of
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope

CALL = ToolCall(agent_id="main", session_key="agent:main:main", call_id="c1")


class Where(ToolArgs, frozen=True, kw_only=True):
    lat: float
    lon: float


class Weather(ToolArgs, frozen=True, kw_only=True):
    city: Annotated[str, msgspec.Meta(min_length=1, description="Its name.")]
    max_days: Annotated[int, msgspec.Meta(ge=1, le=14)] = 3
    units: Literal["c", "f"] = "c"
    near: Where | None = None


class WeatherTools:
    def __init__(self, sky: str) -> None:
        self._sky = sky

    @tool("weather", group="world", changes=False, scope=Scope.READ)
    async def weather(self, call: ToolCall, args: Weather) -> dict[str, Any]:
        """Say what the weather will be."""
        return {"city": args.city, "days": args.max_days, "sky": self._sky, "for": call.agent_id}


def declared() -> Tool:
    (found,) = tools_of(WeatherTools("blue"))
    return found


def test_a_model_is_shown_the_docstring_and_the_schema() -> None:
    shown = declared()
    assert (shown.name, shown.group, shown.changes, shown.scope) == (
        "weather",
        "world",
        False,
        Scope.READ,
    )
    assert shown.description == "Say what the weather will be."
    schema = shown.parameters
    assert schema["required"] == ["city"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["city"] == {
        "type": "string",
        "minLength": 1,
        "description": "Its name.",
    }
    assert "maxDays" in schema["properties"]
    assert schema["$defs"]["Where"]["required"] == ["lat", "lon"]
    assert msgspec.json.encode(schema)


async def test_arguments_come_as_their_type() -> None:
    result = await declared().run(CALL, {"city": "Oslo", "maxDays": 2})
    assert result == {"city": "Oslo", "days": 2, "sky": "blue", "for": "main"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "must have required property 'city'"),
        ({"city": ""}, "/city"),
        ({"city": "Oslo", "maxDays": "many"}, "/maxDays"),
        ({"city": "Oslo", "zip": 1}, "zip"),
        ({"city": "Oslo", "near": {"lat": 1}}, "/near"),
        ({"city": None}, "/city"),
    ],
)
async def test_wrong_arguments_are_refused_with_their_path(given: Any, said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await declared().run(CALL, given)
    assert "invalid weather arguments: " in refused.value.message
    assert said in refused.value.message


def test_a_declaration_without_docstring_args_or_await_fails_when_it_is_read() -> None:
    class Silent:
        @tool("silent", group="x")
        async def silent(self, call: ToolCall, args: Weather) -> None:
            raise AssertionError

    Silent.silent.__doc__ = None

    class Argless:
        @tool("argless", group="x")
        async def argless(self, call: ToolCall) -> None:
            """Have no args."""

    class Blocking:
        @tool("blocking", group="x")
        def blocking(self, call: ToolCall, args: Weather) -> None:
            """Block."""

    for feature in (Silent(), Argless(), Blocking()):
        with pytest.raises(TypeError, match="tool "):
            [*tools_of(feature)]
