from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from portico.config.sections.node_host import NodeCommand
from portico.node_host.children import Children
from portico.node_host.configured import ConfiguredCommand, fill
from portico.node_host.model import CommandError, Invoked
from tests.support.pages import png

Invoke = Callable[..., Awaitable[Any]]
ENV = {"PATH": os.environ["PATH"]}


async def ignore(_name: str, _payload: dict[str, Any]) -> None:
    return


@pytest.fixture
def invoke(tmp_path: Path) -> Invoke:
    async def carry_out(run: list[str], params: dict[str, Any], **spec: Any) -> Any:
        return await _invoke(tmp_path / "work", run, params, spec)

    return carry_out


async def _invoke(work: Path, run: list[str], params: dict[str, Any], spec: Any) -> Any:
    children = Children()
    command = ConfiguredCommand(
        NodeCommand.model_validate({"run": run, **spec}), children=children, env=ENV, work=work
    )
    invoked = Invoked("i", "camera.snap", params, None, None, lambda _chunk: None, ignore)
    try:
        async with asyncio.timeout(30):
            return await command(invoked)
    finally:
        await children.close()
        assert list(work.iterdir()) == []


def python(program: str, *words: str) -> list[str]:
    return [sys.executable, "-c", program, *words]


async def test_parameters_come_as_json_and_the_answer_goes_back(invoke: Invoke) -> None:
    run = python("import json, sys; print(json.dumps({'got': json.load(sys.stdin)}))")
    assert await invoke(run, {"facing": "front"}) == {"got": {"facing": "front"}}


async def test_values_stay_one_word_and_meet_no_shell(invoke: Invoke) -> None:
    run = python("import json, sys; print(json.dumps(sys.argv[1:]))", "{name}", "--at={n:1}")
    assert await invoke(run, {"name": "$(id); 'x' y"}) == ["$(id); 'x' y", "--at=1"]


async def test_file_is_answered_with_what_is_said_of_it(invoke: Invoke) -> None:
    program = (
        "import sys, base64; open(sys.argv[1], 'wb').write(base64.b64decode(sys.argv[2]));"
        "print('{\"width\": 7}')"
    )
    picture = base64.b64encode(png()).decode()
    run = python(program, "{output:png}", picture)
    answer = await invoke(run, {}, output="file")
    assert base64.b64decode(answer["base64"]) == png()
    assert (answer["format"], answer["mimeType"], answer["width"]) == ("png", "image/png", 7)


async def test_text_is_answered_as_text(invoke: Invoke) -> None:
    assert await invoke(["echo", "hi"], {}, output="text") == {"text": "hi\n"}


@pytest.mark.parametrize(
    ("run", "spec", "code"),
    [
        (["false"], {}, "COMMAND_FAILED"),
        (["echo", "no json"], {}, "COMMAND_FAILED"),
        (["true"], {"output": "file"}, "COMMAND_FAILED"),
        (["no-such-program-here"], {}, "UNAVAILABLE"),
        (["sleep", "600"], {"timeoutMs": 100}, "TIMEOUT"),
        (["yes"], {"output": "text", "maxBytes": 1000}, "PAYLOAD_TOO_LARGE"),
    ],
)
async def test_failures_have_codes(
    invoke: Invoke, run: list[str], spec: dict[str, Any], code: str
) -> None:
    with pytest.raises(CommandError) as caught:
        await invoke(run, {}, **spec)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "params", [{}, {"name": "-rf"}, {"name": ["x"]}, {"name": "a\0b"}, {"name": "x" * 5000}]
)
def test_values_that_do_not_fit_are_refused(params: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        fill(("rm", "{name}"), params, tmp_path)
    assert caught.value.code == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "wrong",
    [
        {"commands": {"system.run": {"run": ["x"]}}},
        {"commands": {"worker.x": {"run": ["x"]}}},
        {"commands": {"Camera": {"run": ["x"]}}},
        {"commands": {"camera.snap": {"run": []}}},
        {"commands": {"camera.snap": {"run": ["{program}"]}}},
        {"exec": {"envAllow": ["A=B"]}},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    from portico.config.sections.node_host import NodeHost

    with pytest.raises(ValueError, match="validation error"):
        NodeHost.model_validate(json.loads(json.dumps(wrong)))
