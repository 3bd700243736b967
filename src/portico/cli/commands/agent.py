"""`portico agent`: one message, one answer."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any, Final

from cyclopts import Parameter

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import note, print_json
from portico.cli.streaming import AnswerPrinter
from portico.cli.target import connected
from portico.client import ClientError, Event, GatewayClient
from portico.ids import new_uuid
from portico.tasks import Tasks

# The gateway ends the run at its own limit; we wait a little longer to hear of it.
_GRACE_S: Final = 10.0
# A gateway that restarts is back by then, and goes on with the run.
_PATIENCE_S: Final = 60.0


@command("agent")
async def agent(
    *,
    message: Annotated[str, Parameter(alias="-m")],
    session_key: str | None = None,
    agent_id: Annotated[str | None, Parameter(name="--agent")] = None,
    deliver: bool = False,
    to: Remote = THERE,
) -> int:
    """Send one message to an agent and print its answer.

    On a terminal the answer appears while it is written. --timeout limits the run, in seconds;
    without it the gateway's own limit holds. Ctrl-C stops the run.

    Args:
        message: What to say; `-` reads it from stdin.
        session_key: The session to say it in. [default: the agent's main session]
        agent_id: The agent to ask. [default: the default agent]
        deliver: Also send the answer to the session's channel.

    Examples:
        portico agent --message "Hello"
        portico agent --agent main --session-key main -m "Again" --timeout 60
        git diff | portico agent -m - --json
    """
    text = sys.stdin.read() if message == "-" else message
    target = {"agentId": agent_id, "sessionKey": session_key}
    params: dict[str, Any] = {name: value for name, value in target.items() if value is not None}
    params |= {"message": text, "idempotencyKey": new_uuid()}
    params |= {"deliver": True} if deliver else {}
    params |= {} if to.timeout is None else {"timeout": max(1, round(to.timeout))}
    async with connected(to, reconnect=True, gives_up_after_s=_PATIENCE_S) as client:
        if not target["agentId"] and not target["sessionKey"]:
            params["sessionKey"] = _main_session(client)
        final = await _run(client, params, to)
    return _report(final, as_json=to.json)


def _main_session(client: GatewayClient) -> str:
    defaults = client.hello.snapshot.get("sessionDefaults") or {}
    return str(defaults.get("mainSessionKey") or defaults.get("mainKey") or "main")


async def _run(client: GatewayClient, params: dict[str, Any], to: Remote) -> dict[str, Any]:
    printer = AnswerPrinter() if sys.stdout.isatty() and not to.json else None
    accepted: dict[str, Any] = {}
    tasks = Tasks(_not_shown)
    if printer is not None:
        tasks.start(_show(client, params["idempotencyKey"], printer), name="agent.show")
    wait_s = None if to.timeout is None else to.timeout + _GRACE_S
    try:
        final = await client.call(
            "agent", params, timeout_s=wait_s, wants_final=True, on_accepted=accepted.update
        )
    except asyncio.CancelledError:
        await _abort(client, params, accepted)
        raise
    finally:
        await tasks.stop()
    if printer is not None:
        printer.finish(_text(final))
    elif not to.json:
        print(_text(final))
    return dict(final)


def _not_shown(_name: str, error: BaseException) -> None:
    # The request fails for the same reason and says so; anything else is a fault.
    if not isinstance(error, ClientError):
        raise error


async def _show(client: GatewayClient, run_id: str, printer: AnswerPrinter) -> None:
    async for event in client.events():
        if isinstance(event, Event) and event.name == "chat":
            payload = event.payload
            if payload.get("runId") == run_id and payload.get("state") == "delta":
                printer.take(payload)


async def _abort(client: GatewayClient, params: dict[str, Any], accepted: dict[str, Any]) -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
    key = accepted.get("sessionKey") or params.get("sessionKey") or "main"
    request = {"sessionKey": key, "runId": params["idempotencyKey"]}
    await client.request("chat.abort", request, timeout_s=3)
    note("(stopped)")


def _text(final: dict[str, Any]) -> str:
    payloads = (final.get("result") or {}).get("payloads") or []
    return "\n\n".join(str(part["text"]) for part in payloads if part.get("text"))


def _report(final: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        print_json(final)
    status = final.get("status")
    if status == "ok":
        return ExitCode.OK
    if not as_json:
        raise Failure(
            f"The run ended with {status} ({final.get('summary', 'no summary')}).",
            code="agent.not_ok",
            next_step="Look at the log: portico logs tail",
        )
    return ExitCode.FAILED
