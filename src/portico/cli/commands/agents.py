"""`portico agents list | add | set | set-identity | delete | files`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from portico.cli.agent_calls import Ask, agent_calls
from portico.cli.bindings import matches_of
from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import ask as ask_yes
from portico.cli.output import print_fields, print_json, print_table

_LOOKS: Final = ("name", "emoji", "avatar", "theme")


@command("list")
async def list_agents(*, bindings: bool = False, to: Remote = THERE) -> int:
    """List the agents.

    Args:
        bindings: Also what comes to each through channels.

    Examples:
        portico agents list
        portico agents list --bindings
        portico agents list --json
    """
    async with agent_calls(to) as call:
        found = await call("agents.list", {})
        bound = (await call("agents.bindings.list", {}))["bindings"] if bindings else []
    if to.json:
        print_json({**found, "bindings": bound} if bindings else found)
        return ExitCode.OK
    rows = [_row(agent, found["defaultId"], bound) for agent in found["agents"]]
    columns = ("Agent", "Name", "Model", "Runtime", "Workspace")
    print_table((*columns, "Bindings") if bindings else columns, rows if bindings else _cut(rows))
    return ExitCode.OK


def _row(agent: dict[str, Any], default: str, bound: list[dict[str, Any]]) -> tuple[Any, ...]:
    looks = agent.get("identity") or {}
    name = " ".join(part for part in (looks.get("emoji"), looks.get("name")) if part)
    mine = [one["description"] for one in bound if one["agentId"] == agent["id"]]
    return (
        f"{agent['id']} (default)" if agent["id"] == default else agent["id"],
        name,
        agent["model"]["primary"],
        agent["agentRuntime"]["id"],
        agent.get("workspace"),
        ", ".join(mine),
    )


def _cut(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [row[:-1] for row in rows]


@command("add")
async def add(
    name: str,
    /,
    *,
    workspace: str | None = None,
    model: str | None = None,
    emoji: str | None = None,
    avatar: str | None = None,
    bind: tuple[str, ...] = (),
    to: Remote = THERE,
) -> int:
    """Add an agent.

    It gets a directory of its own with first documents, and answers at once.

    Args:
        name: What to call it; its id is made from the name.
        workspace: Its directory, instead of one in the state directory.
        model: The model it thinks with, as provider/name or an alias.
        emoji: One emoji.
        avatar: A picture: an address, or a path in its directory.
        bind: What comes to it: channel, channel:account or channel:*; may be given again.

    Examples:
        portico agents add "Research"
        portico agents add Ops --model anthropic/claude-sonnet-4-5 --emoji 🔧
        portico agents add Support --bind telegram:support --bind discord
    """
    given = {"workspace": workspace, "model": model, "emoji": emoji, "avatar": avatar}
    params = {"name": name, **{key: value for key, value in given.items() if value}}
    matches = matches_of(bind)
    async with agent_calls(to) as call:
        made = await call("agents.create", params)
        if matches:
            wanted = {"agentId": made["agentId"], "matches": matches}
            made = {**made, "bindings": (await call("agents.bindings.add", wanted))["added"]}
    if to.json:
        print_json(made)
    else:
        print(f"Added: {made['agentId']}, with its files in {made['workspace']}")
    return ExitCode.OK


@command("set")
async def set_(
    agent: str,
    /,
    *,
    name: str | None = None,
    model: str | None = None,
    workspace: str | None = None,
    runtime: str | None = None,
    default: bool = False,
    to: Remote = THERE,
) -> int:
    """Change an agent.

    Args:
        agent: Its id.
        name: Another name.
        model: Another model; an empty text: the default one.
        workspace: Another directory; its files stay where they are.
        runtime: echo or model.
        default: Let it answer when no agent is named.

    Examples:
        portico agents set ops --model openai/gpt-5
        portico agents set ops --model ""
        portico agents set ops --default
    """
    params: dict[str, Any] = {"name": name, "workspace": workspace, "agentRuntime": runtime}
    params = {key: value for key, value in params.items() if value}
    if model is not None:
        params["model"] = model or None
    if default:
        params["default"] = True
    return await _update(agent, params, to)


@command("set-identity")
async def set_identity(
    *,
    agent: str | None = None,
    name: str | None = None,
    emoji: str | None = None,
    avatar: str | None = None,
    theme: str | None = None,
    from_identity: bool = False,
    to: Remote = THERE,
) -> int:
    """Change how an agent shows itself.

    An empty text takes a value away.

    Args:
        agent: Its id. [default: the default agent]
        name: Its name.
        emoji: One emoji.
        avatar: A picture: an address, a data URL, or a path in its directory.
        theme: What it is like, in a few words.
        from_identity: Take what its IDENTITY.md says and is not given here.

    Examples:
        portico agents set-identity --name Ada --emoji 🦋
        portico agents set-identity --agent ops --avatar avatars/ops.png
        portico agents set-identity --agent ops --from-identity
    """
    given = {"name": name, "emoji": emoji, "avatar": avatar, "theme": theme}
    params = {key: value for key, value in given.items() if value is not None}
    async with agent_calls(to) as call:
        agent = agent or await _default(call)
        if from_identity:
            params = {**await _said(call, agent), **params}
    return await _update(agent, params, to)


async def _default(call: Ask) -> str:
    return str((await call("agents.list", {}))["defaultId"])


async def _said(call: Ask, agent: str) -> dict[str, str]:
    from portico.agents.workspace.identity import parse

    found = await call("agents.files.get", {"agentId": agent, "name": "IDENTITY.md"})
    said = parse(found["file"].get("content") or "")
    if not said:
        raise Failure(
            f"{found['file']['path']} says nothing of a name, an emoji, an avatar or a theme.",
            code="identity.empty",
            next_step=f"Write it: portico agents files IDENTITY.md --agent {agent} --from FILE",
            exit_code=ExitCode.REFUSED,
        )
    return {key: said[key] for key in _LOOKS if key in said}


async def _update(agent: str, params: dict[str, Any], to: Remote) -> int:
    if not params:
        raise Failure(
            "Nothing to change.",
            code="usage.nothing",
            next_step="Say what: portico agents set --help",
            exit_code=ExitCode.USAGE,
        )
    async with agent_calls(to) as call:
        answer = await call("agents.update", {"agentId": agent, **params})
    if to.json:
        print_json(answer)
    else:
        print(f"Changed: {answer['agentId']}")
    return ExitCode.OK


@command("delete")
async def delete(
    agent: str,
    /,
    *,
    yes: Annotated[bool, Parameter(alias=("-y", "--force"))] = False,
    keep_files: bool = False,
    trash_files: bool = False,
    to: Remote = THERE,
) -> int:
    """Delete an agent; its directory goes to the trash.

    A directory outside of the state directory stays unless --trash-files is given. Its sessions
    can still be read.

    Args:
        agent: Its id.
        yes: Do not ask.
        keep_files: Leave its directory alone.
        trash_files: Move its directory to the trash wherever it is.

    Examples:
        portico agents delete ops
        portico agents delete ops --yes --keep-files
    """
    if not yes and not ask_yes(f"Delete agent {agent}?"):
        raise Failure(
            "Nothing was changed.",
            code="not_confirmed",
            next_step="Answer y, or give --yes",
            exit_code=ExitCode.REFUSED,
        )
    params: dict[str, Any] = {"agentId": agent}
    if keep_files or trash_files:
        params["deleteFiles"] = not keep_files
    async with agent_calls(to) as call:
        answer = await call("agents.delete", params)
    if to.json:
        print_json(answer)
        return ExitCode.OK
    print(f"Deleted: {answer['agentId']}")
    for moved in answer.get("removed", ()):
        print(f"Moved to the trash: {moved['path']}" if moved["method"] == "trash" else "No files.")
    for kept in answer.get("failed", ()):
        print(f"Still there: {kept['path']} ({kept['reason']})")
    return ExitCode.OK


@command("files")
async def files(
    name: str | None = None,
    /,
    *,
    agent: str | None = None,
    from_: Annotated[str | None, Parameter(name="--from", allow_leading_hyphen=True)] = None,
    to: Remote = THERE,
) -> int:
    """List, print or write the documents that make an agent what it is.

    Args:
        name: One of them, such as SOUL.md; all are listed when none is named.
        agent: Whose. [default: the default agent]
        from_: Write this file in its place; - is the standard input.

    Examples:
        portico agents files
        portico agents files SOUL.md --agent ops
        portico agents files SOUL.md --agent ops --from ./soul.md
        echo "- Name: Ada" | portico agents files IDENTITY.md --from -
    """
    content = None if from_ is None else _read(from_)
    async with agent_calls(to) as call:
        whose = {"agentId": agent or await _default(call)}
        if name is None:
            found = await call("agents.files.list", whose)
        elif content is None:
            found = await call("agents.files.get", {**whose, "name": name})
        else:
            found = await call("agents.files.set", {**whose, "name": name, "content": content})
    if to.json:
        print_json(found)
    elif name is None:
        rows = [(one["name"], _size(one), one["path"]) for one in found["files"]]
        print_table(("Document", "Bytes", "Path"), rows)
    elif content is not None:
        print_fields((("Written", found["file"]["path"]), ("Bytes", found["file"]["size"])))
    elif found["file"]["missing"]:
        raise Failure(
            f"{found['file']['path']} is not there.",
            code="file.missing",
            next_step=f"Write it: portico agents files {name} --from FILE",
            exit_code=ExitCode.REFUSED,
        )
    else:
        sys.stdout.write(found["file"]["content"])
    return ExitCode.OK


def _size(document: dict[str, Any]) -> Any:
    return "missing" if document["missing"] else document["size"]


def _read(source: str) -> str:
    return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
