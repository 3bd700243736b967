"""`portico agents bindings | bind | unbind`."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from portico.cli.agent_calls import Ask, agent_calls
from portico.cli.bindings import matches_of
from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import print_json, print_table


@command("bindings")
async def bindings(*, agent: str | None = None, to: Remote = THERE) -> int:
    """List which agent answers what comes in through channels.

    The most specific binding wins: a conversation, a server or workspace, an account, a channel.

    Args:
        agent: Only those of this agent.

    Examples:
        portico agents bindings
        portico agents bindings --agent ops --json
    """
    async with agent_calls(to) as call:
        found = await call("agents.bindings.list", {"agentId": agent} if agent else {})
    if to.json:
        print_json(found)
    elif not found["bindings"]:
        print("There are none: the default agent answers. Add one: portico agents bind --help")
    else:
        rows = [
            (one["agentId"], one["description"], one.get("comment")) for one in found["bindings"]
        ]
        print_table(("Agent", "Messages", "Comment"), rows)
    return ExitCode.OK


@command("bind")
async def bind(
    *,
    bind: tuple[str, ...],
    agent: str | None = None,
    peer: str | None = None,
    guild: str | None = None,
    team: str | None = None,
    role: tuple[str, ...] = (),
    to: Remote = THERE,
) -> int:
    """Let an agent answer what comes in through a channel.

    Args:
        bind: channel (its default account), channel:account, or channel:* for every account; may
            be given again.
        agent: Its id. [default: the default agent]
        peer: Only this conversation: direct:ID, group:ID or channel:ID.
        guild: Only this server (Discord).
        team: Only this workspace (Slack, Teams).
        role: Only senders with this role; may be given again.

    Examples:
        portico agents bind --agent ops --bind telegram:ops
        portico agents bind --agent vip --bind telegram:* --peer direct:42
        portico agents bind --agent mods --bind discord --guild 123 --role 456
    """
    matches = matches_of(bind, peer=peer, guild=guild, team=team, roles=role)
    async with agent_calls(to) as call:
        params = {"agentId": agent or await _default(call), "matches": matches}
        answer = await call("agents.bindings.add", params)
    if to.json:
        print_json(answer)
    else:
        print(f"{answer['agentId']}: {len(answer['added'])} of {len(matches)} added")
    return ExitCode.OK


@command("unbind")
async def unbind(
    *,
    bind: tuple[str, ...] = (),
    every: Annotated[bool, Parameter(name="--all")] = False,
    agent: str | None = None,
    peer: str | None = None,
    guild: str | None = None,
    team: str | None = None,
    role: tuple[str, ...] = (),
    to: Remote = THERE,
) -> int:
    """Take bindings away from an agent.

    Args:
        bind: Which, written as for `bind`; may be given again.
        every: All of them.
        agent: Its id. [default: the default agent]
        peer: As for `bind`.
        guild: As for `bind`.
        team: As for `bind`.
        role: As for `bind`.

    Examples:
        portico agents unbind --agent ops --bind telegram:ops
        portico agents unbind --agent ops --all
    """
    if bool(bind) == every:
        raise Failure(
            "Say which: --bind, or --all.",
            code="usage.binding",
            next_step="See what there is: portico agents bindings",
            exit_code=ExitCode.USAGE,
        )
    matches = matches_of(bind, peer=peer, guild=guild, team=team, roles=role)
    async with agent_calls(to) as call:
        params: dict[str, Any] = {"agentId": agent or await _default(call)}
        answer = await call(
            "agents.bindings.remove", {**params, **({"matches": matches} if bind else {})}
        )
    if to.json:
        print_json(answer)
    else:
        print(f"{answer['agentId']}: {answer['removed']} removed")
    return ExitCode.OK


async def _default(call: Ask) -> str:
    return str((await call("agents.list", {}))["defaultId"])
