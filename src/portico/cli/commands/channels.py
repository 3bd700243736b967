"""`portico channels list | status | add | remove | start | stop | login | logout | events`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import ask, duration, note, print_json, print_table
from portico.cli.target import connected, resolve_target, running_url
from portico.clock import SystemClock

if TYPE_CHECKING:
    from portico.client import GatewayClient

_LOGIN_S: Final = 300.0
_LOGIN_STEP_MS: Final = 30_000
_PROBE_MS: Final = 15_000


@command("list")
def list_channels(*, to: Remote = THERE) -> int:
    """List the channels that are installed, and their configured accounts.

    Examples:
        portico channels list
        portico channels list --json
    """
    from portico.channels.manifest import find_manifests
    from portico.config import load

    loaded = load(resolve_target(to).paths, env=os.environ)
    accounts: dict[str, list[str]] = {}
    for entry in loaded.channel_accounts:
        accounts.setdefault(entry.channel, []).append(entry.account)
    found = [
        {
            "channel": name,
            "label": manifest.label,
            "accounts": accounts.get(name, []),
            "extra": manifest.extra,
            "capabilities": manifest.capabilities.as_json(),
        }
        for name, manifest in find_manifests().items()
    ]
    if to.json:
        print_json({"channels": found})
        return ExitCode.OK
    rows = [
        (one["channel"], one["label"], ", ".join(accounts.get(str(one["channel"]), [])))
        for one in found
    ]
    print_table(("Channel", "Name", "Accounts"), rows)
    return ExitCode.OK


@command("status")
async def status(channel: str | None = None, /, *, probe: bool = False, to: Remote = THERE) -> int:
    """Show how the accounts of channels are doing.

    Args:
        channel: Only this channel.
        probe: Ask the providers, too.

    Examples:
        portico channels status
        portico channels status telegram --probe --json
    """
    params: dict[str, Any] = {"probe": probe}
    if channel is not None:
        params["channel"] = channel
    if probe:
        params["timeoutMs"] = _PROBE_MS
    async with connected(to) as client:
        wait_s = to.timeout_s + (_PROBE_MS / 1000 if probe else 0)
        found = await client.request("channels.status", params, timeout_s=wait_s)
    if to.json:
        print_json(found)
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    rows = [
        _row(name, account, now_ms)
        for name in found["channelOrder"]
        for account in found["channelAccounts"][name]
    ]
    print_table(("Channel", "Account", "State", "Received", "Sent", "Trouble"), rows)
    for issue in found.get("statusIssues", ()):
        fix = f" ({issue['fix']})" if issue.get("fix") else ""
        note(f"{issue['channel']}:{issue['accountId']}: {issue['message']}{fix}")
    return ExitCode.OK


def _row(channel: str, account: dict[str, Any], now_ms: int) -> tuple[Any, ...]:
    probe = account.get("probe")
    state = account.get("healthState", "")
    if probe is not None:
        state += ", answers" if probe.get("ok") else f", does not answer: {probe.get('error')}"
    return (
        channel,
        account["accountId"],
        state,
        _ago(account.get("lastInboundAt"), now_ms),
        _ago(account.get("lastOutboundAt"), now_ms),
        account.get("lastError"),
    )


def _ago(at_ms: int | None, now_ms: int) -> str | None:
    return None if at_ms is None else f"{duration(max(0, now_ms - at_ms) / 1000)} ago"


@command("add")
async def add(
    channel: str,
    /,
    *settings: str,
    account: str = "default",
    to: Remote = THERE,
) -> int:
    """Add an account of a channel to the configuration, or change one.

    Settings are written `name=value`, values as JSON5 or plain text. A secret can stay in the
    environment: `botToken='${TELEGRAM_TOKEN}'`. A gateway that runs follows at once.

    Args:
        channel: The channel, such as telegram.
        settings: The account's settings.
        account: The account's id. [default: default]

    Examples:
        portico channels add telegram 'botToken=${TELEGRAM_TOKEN}'
        portico channels add webhook --account crm secret=whsec_… url=https://crm.example/in
    """
    from portico.config import parse_value

    given = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.strip():
            raise Failure(
                f"{setting} is not a setting.",
                code="usage.setting",
                next_step="Write it like botToken=123:abc",
                exit_code=ExitCode.USAGE,
            )
        given[name.strip()] = parse_value(value)
    params = {"channel": channel, "accountId": account, "settings": given}
    return await _configure("channels.add", params, to)


@command("remove")
async def remove(
    channel: str,
    /,
    *,
    account: str = "default",
    yes: Annotated[bool, Parameter(alias="-y")] = False,
    to: Remote = THERE,
) -> int:
    """Take an account of a channel out of the configuration.

    Args:
        channel: The channel, such as telegram.
        account: The account's id. [default: default]
        yes: Do not ask.

    Examples:
        portico channels remove telegram --yes
        portico channels remove webhook --account crm
    """
    if not yes and not ask(f"Remove account {account} of {channel}?"):
        raise Failure(
            "Nothing was changed.",
            code="not_confirmed",
            next_step="Answer y, or give --yes",
            exit_code=ExitCode.REFUSED,
        )
    return await _configure("channels.remove", {"channel": channel, "accountId": account}, to)


async def _configure(method: str, params: dict[str, Any], to: Remote) -> int:
    target = resolve_target(to)
    if target.is_own and running_url(target.paths) is None:
        answer = _edit_file(method, params, to)
    else:
        async with connected(to, target=target) as client:
            answer = await client.request(method, params, timeout_s=to.timeout_s)
    if to.json:
        print_json(answer)
    else:
        done = "Added" if method == "channels.add" else "Removed"
        print(f"{done}: {params['channel']}:{params['accountId']} in {answer['path']}")
    return ExitCode.OK


def _edit_file(method: str, params: dict[str, Any], to: Remote) -> dict[str, Any]:
    """Change the file of a gateway that does not run."""
    from portico.config.channel_edits import adding, removing
    from portico.config.edit import prepare, write_prepared

    paths = resolve_target(to).paths
    channel, account = params["channel"], params["accountId"]
    prepared = prepare(
        paths,
        lambda now: (
            adding(now, channel, account, params["settings"])
            if method == "channels.add"
            else removing(now, channel, account)
        ),
        env=os.environ,
    )
    write_prepared(paths, prepared)
    return {
        "channel": channel,
        "accountId": account,
        "path": str(paths.config_file),
        "hash": prepared.loaded.hash,
    }


@command("start")
async def start(channel: str, /, *, account: str | None = None, to: Remote = THERE) -> int:
    """Start an account, or try it again now.

    Args:
        channel: The channel, such as telegram.
        account: The account's id; without it, the channel's default.

    Examples:
        portico channels start telegram
        portico channels start webhook --account crm --json
    """
    answer = await _call("channels.start", channel, account, to)
    if to.json:
        print_json(answer)
    elif answer["started"]:
        print(f"Connected: {channel}:{answer['accountId']}")
    if not answer["started"]:
        issues = answer.get("statusIssues") or [{}]
        why = issues[0].get("message", answer["outcome"])
        raise Failure(
            f"{channel}:{answer['accountId']} is {answer['outcome']}: {why}",
            code="channel.not_started",
            next_step=f"portico channels status {channel}",
            exit_code=ExitCode.FAILED,
        )
    return ExitCode.OK


@command("stop")
async def stop(channel: str, /, *, account: str | None = None, to: Remote = THERE) -> int:
    """Stop an account until it is started again.

    Args:
        channel: The channel, such as telegram.
        account: The account's id; without it, the channel's default.

    Examples:
        portico channels stop telegram
    """
    answer = await _call("channels.stop", channel, account, to)
    if to.json:
        print_json(answer)
    else:
        done = "Stopped" if answer["stopped"] else "Stopping"
        print(f"{done}: {channel}:{answer['accountId']}")
    return ExitCode.OK


@command("logout")
async def logout(channel: str, /, *, account: str | None = None, to: Remote = THERE) -> int:
    """Stop an account and give its credentials back.

    Args:
        channel: The channel.
        account: The account's id; without it, the channel's default.

    Examples:
        portico channels logout matrix
    """
    answer = await _call("channels.logout", channel, account, to)
    if to.json:
        print_json(answer)
    elif answer["cleared"]:
        print(f"Logged out: {channel}:{answer['accountId']}")
    else:
        print(f"Stopped: {channel}:{answer['accountId']}; there was no login to give back.")
    return ExitCode.OK


@command("login")
async def login(
    channel: str | None = None,
    /,
    *,
    account: str | None = None,
    force: bool = False,
    to: Remote = THERE,
) -> int:
    """Log an account in, by a code or a picture of one.

    Args:
        channel: The channel; without it, the first that has a login.
        account: The account's id; without it, the channel's default.
        force: Forget an existing login first.

    Examples:
        portico channels login
        portico channels login matrix --force
    """
    chosen = {"channel": channel, "accountId": account}
    params = {name: value for name, value in chosen.items() if value is not None}
    async with connected(to) as client:
        request = {**params, "force": force, "timeoutMs": _LOGIN_STEP_MS}
        wait_s = _LOGIN_STEP_MS / 1000 + to.timeout_s
        step = await client.request("web.login.start", request, timeout_s=wait_s)
        step = await _until_logged_in(client, params, step, to)
    if to.json:
        print_json(step)
    return ExitCode.OK


async def _until_logged_in(
    client: GatewayClient, params: dict[str, Any], step: dict[str, Any], to: Remote
) -> dict[str, Any]:
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + _LOGIN_S
    shown = None
    while True:
        if (step.get("message"), step.get("qrDataUrl")) != shown:
            shown = (step.get("message"), step.get("qrDataUrl"))
            note(step.get("message", ""))
            if step.get("qrDataUrl") and not to.json:
                note(f"Open this picture in a browser: {step['qrDataUrl']}")
        if step.get("connected"):
            return step
        if clock.monotonic_s() > deadline_s:
            raise Failure(
                "Nobody logged in within 5 minutes.",
                code="login.timeout",
                next_step="Try again: portico channels login",
                exit_code=ExitCode.FAILED,
            )
        request = {**params, "timeoutMs": _LOGIN_STEP_MS}
        if step.get("qrDataUrl"):
            request["currentQrDataUrl"] = step["qrDataUrl"]
        wait_s = _LOGIN_STEP_MS / 1000 + to.timeout_s
        step = await client.request("web.login.wait", request, timeout_s=wait_s)


@command("events")
async def events(channel: str | None = None, /, *, limit: int = 50, to: Remote = THERE) -> int:
    """List what channels told besides messages, the latest first.

    Args:
        channel: Only this channel.
        limit: How many at most. [default: 50]

    Examples:
        portico channels events
        portico channels events telegram --limit 200 --json
    """
    params: dict[str, Any] = {"limit": limit}
    if channel is not None:
        params["channel"] = channel
    async with connected(to) as client:
        found = await client.request("channels.events", params, timeout_s=to.timeout_s)
    if to.json:
        print_json(found)
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    rows = [
        (
            _ago(one["receivedAt"], now_ms),
            f"{one['channel']}:{one['accountId']}",
            one["event"]["kind"],
            one["event"].get("sender"),
            one["event"].get("targetId"),
        )
        for one in found["events"]
    ]
    print_table(("When", "Account", "Event", "Sender", "About"), rows)
    return ExitCode.OK


async def _call(method: str, channel: str, account: str | None, to: Remote) -> dict[str, Any]:
    params = {"channel": channel}
    if account is not None:
        params["accountId"] = account
    async with connected(to) as client:
        answer: dict[str, Any] = await client.request(method, params, timeout_s=to.timeout_s + 15)
    return answer
