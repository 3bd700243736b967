"""`portico call`: any method of the gateway, by name."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

from cyclopts import Parameter

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import print_json
from portico.cli.target import connected


@command("call")
async def call(
    method: str | None = None,
    /,
    *,
    params: str | None = None,
    final: Annotated[bool, Parameter(alias="--expect-final")] = False,
    list_methods: Annotated[bool, Parameter(name="--list")] = False,
    to: Remote = THERE,
) -> int:
    """Call one method of the gateway.

    The result is printed as JSON.

    Args:
        method: The method's name.
        params: Its params as JSON; `-` reads them from stdin.
        final: The method answers twice; print the second answer.
        list_methods: List the methods this gateway has.

    Examples:
        portico call health
        portico call sessions.list --params '{"limit":5}'
        portico call --list
    """
    if method is None and not list_methods:
        raise _usage("Which method? None was named.", "See what there is: portico call --list")
    decoded = _decode(params)
    async with connected(to) as client:
        if method is None:
            _print_methods(sorted(client.hello.features.methods), as_json=to.json)
            return ExitCode.OK
        if final:
            result = await client.call(method, decoded, timeout_s=to.timeout_s, wants_final=True)
        else:
            result = await client.request(method, decoded, timeout_s=to.timeout_s)
    print_json(result)
    return ExitCode.OK


def _decode(params: str | None) -> Any:
    if params is None:
        return {}
    text = sys.stdin.read() if params == "-" else params
    try:
        return json.loads(text)
    except ValueError as error:
        raise _usage(
            f"--params is not JSON: {error}.", """Quote it: --params '{"limit":5}'"""
        ) from None


def _print_methods(methods: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"methods": methods})
    else:
        print("\n".join(methods))


def _usage(message: str, next_step: str) -> Failure:
    return Failure(message, code="usage", next_step=next_step, exit_code=ExitCode.USAGE)
