"""`portico`: the table of commands, and the one place where every failure becomes an exit code.

Guarantees: commands are imported when they are called; this module imports cyclopts and nothing
of the gateway. Exit codes: `portico.cli.exit`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

from cyclopts import App, CycloptsError, Parameter

from portico import __version__
from portico.cli.exit import ExitCode, Failure
from portico.cli.explain import exit_code_of

# (group, name, where, summary). The summary is the first line of the command's docstring.
COMMANDS: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("", "run", "gateway_run:run", "Run the gateway in this terminal."),
    ("gateway", "run", "gateway_run:run", "Run the gateway in this terminal."),
    ("gateway", "stop", "gateway_control:stop", "Stop the gateway of this machine."),
    ("gateway", "restart", "gateway_control:restart", "Restart the gateway without a gap."),
    ("gateway", "status", "gateway_control:status", "Say whether the gateway runs, and how."),
    ("gateway", "probe", "probe:probe", "Knock at a gateway and say what answers."),
    (
        "",
        "update",
        "update:update",
        "Install the newest version and restart into it without a gap.",
    ),
    ("service", "install", "service:install", "Install the gateway as a service, and start it."),
    (
        "service",
        "uninstall",
        "service:uninstall",
        "Stop the service and remove it; state, configuration and gateway.env stay.",
    ),
    ("service", "start", "service:start", "Start the service."),
    (
        "service",
        "stop",
        "service:stop",
        "Stop the service until it is started again, or the machine is.",
    ),
    ("service", "restart", "service:restart", "Restart the service, without a gap where it runs."),
    ("service", "status", "service:status", "Say what the service manager knows."),
    ("service", "logs", "service:logs", "Print the end of what the service wrote."),
    (
        "gateway",
        "discover",
        "discover:discover_",
        "List the gateways that tell of themselves on the local network.",
    ),
    ("", "onboard", "onboard:onboard", "Set the gateway up, step by step."),
    ("", "chat", "chat:chat", "Chat with an agent in the terminal."),
    ("", "agent", "agent:agent", "Send one message to an agent and print its answer."),
    ("", "health", "health:health", "Show the gateway's health."),
    ("", "status", "health:status", "Show what the gateway is doing."),
    (
        "",
        "usage",
        "usage:usage",
        "Show what was used: by day, agent and model, and how the budgets stand.",
    ),
    ("", "call", "call:call", "Call one method of the gateway."),
    ("agents", "list", "agents:list_agents", "List the agents."),
    ("agents", "add", "agents:add", "Add an agent."),
    ("agents", "set", "agents:set_", "Change an agent."),
    ("agents", "set-identity", "agents:set_identity", "Change how an agent shows itself."),
    ("agents", "delete", "agents:delete", "Delete an agent; its directory goes to the trash."),
    (
        "agents",
        "files",
        "agents:files",
        "List, print or write the documents that make an agent what it is.",
    ),
    (
        "agents",
        "bindings",
        "agent_bindings:bindings",
        "List which agent answers what comes in through channels.",
    ),
    (
        "agents",
        "bind",
        "agent_bindings:bind",
        "Let an agent answer what comes in through a channel.",
    ),
    ("agents", "unbind", "agent_bindings:unbind", "Take bindings away from an agent."),
    (
        "models",
        "list",
        "models:list_models",
        "List the language models, and whether each can be asked now.",
    ),
    (
        "devices",
        "list",
        "devices:list_devices",
        "List the devices that ask to be let in, and those that are paired.",
    ),
    (
        "devices",
        "approve",
        "devices:approve",
        "Let in a device that asks, or allow it what it asks for.",
    ),
    ("devices", "reject", "devices:reject", "Refuse a device that asks; it may ask again."),
    (
        "devices",
        "remove",
        "devices:remove",
        "Forget a device; its connections are closed, its tokens work no more.",
    ),
    ("devices", "rename", "devices:rename", "Give a device the name it is shown under."),
    (
        "devices",
        "rotate",
        "devices:rotate",
        "Replace a device's token; the old one works no more.",
    ),
    (
        "devices",
        "revoke",
        "devices:revoke",
        "Take a role from a device; its connections in this role are closed.",
    ),
    (
        "nodes",
        "list",
        "nodes:list_nodes",
        "List nodes: what each may be used for, and which are here.",
    ),
    ("nodes", "describe", "nodes:describe", "Show one node."),
    ("nodes", "pending", "nodes:pending", "List what nodes ask to be used for."),
    ("nodes", "approve", "nodes:approve", "Let a node be used for what it asks."),
    (
        "nodes",
        "reject",
        "nodes:reject",
        "Refuse what a node asks; it may ask again when it connects.",
    ),
    (
        "nodes",
        "remove",
        "nodes:remove",
        "Forget a node, its approval and its device's right to be one.",
    ),
    ("nodes", "rename", "nodes:rename", "Give a node the name it is shown under."),
    (
        "nodes",
        "invoke",
        "nodes_use:invoke",
        "Have a node do something, and print its answer as JSON.",
    ),
    (
        "nodes",
        "run-command",
        "nodes_use:run_command",
        "Run a program on a node; print what it wrote, and end with its exit code.",
    ),
    ("", "qr", "qr:qr", "Show a setup code, by which one device is paired without being asked."),
    ("sessions", "list", "sessions:list_sessions", "List sessions, the latest first."),
    ("sessions", "show", "sessions:show", "Show one session and its last messages."),
    ("sessions", "reset", "sessions:reset", "Start a session afresh under its key."),
    ("sessions", "delete", "sessions:delete", "Delete a session and its transcript."),
    ("skills", "list", "skills:list_skills", "List skills, and which can be used."),
    ("skills", "info", "skills:info", "Show one skill, and what it needs."),
    ("skills", "check", "skills:check", "Say which skills lack something, and what."),
    (
        "skills",
        "install",
        "skills:install",
        "Install a skill for every agent of this machine.",
    ),
    ("skills", "remove", "skills:remove", "Remove an installed skill."),
    ("skills", "enable", "skills:enable", "Let agents use a skill."),
    ("skills", "disable", "skills:disable", "Do not let agents use a skill."),
    ("approvals", "list", "approvals:list_pending", "List the approvals that wait for a decision."),
    ("approvals", "allow", "approvals:allow", "Allow what an approval asks for."),
    ("approvals", "deny", "approvals:deny", "Deny what an approval asks for."),
    ("approvals", "history", "approvals:history", "List past approvals, the latest first."),
    ("approvals", "get", "approvals:get", "Show what agents may run without asking."),
    ("approvals", "set", "approvals:set_", "Replace what agents may run without asking."),
    ("cron", "list", "cron:list_jobs", "List scheduled jobs, the next one first."),
    ("cron", "show", "cron:show", "Show one scheduled job and its last runs."),
    ("cron", "add", "cron_change:add", "Add a scheduled job."),
    ("cron", "edit", "cron_change:edit", "Change a scheduled job; what is not given stays."),
    (
        "cron",
        "enable",
        "cron_change:enable",
        "Switch a scheduled job on; it runs what comes, not what it missed.",
    ),
    ("cron", "disable", "cron_change:disable", "Switch a scheduled job off."),
    (
        "cron",
        "remove",
        "cron_change:remove",
        "Delete a scheduled job; the history of its runs stays for a while.",
    ),
    ("cron", "run", "cron_change:run", "Run a scheduled job now."),
    (
        "cron",
        "runs",
        "cron:runs",
        "Show finished runs of a scheduled job, or of all, the latest first.",
    ),
    (
        "cron",
        "status",
        "cron:status",
        "Say whether jobs run by themselves, how many there are, and when the next one is due.",
    ),
    (
        "channels",
        "list",
        "channels:list_channels",
        "List the channels that are installed, and their configured accounts.",
    ),
    (
        "channels",
        "status",
        "channels:status",
        "Show how the accounts of channels are doing.",
    ),
    (
        "channels",
        "add",
        "channels:add",
        "Add an account of a channel to the configuration, or change one.",
    ),
    (
        "channels",
        "remove",
        "channels:remove",
        "Take an account of a channel out of the configuration.",
    ),
    ("channels", "start", "channels:start", "Start an account, or try it again now."),
    ("channels", "stop", "channels:stop", "Stop an account until it is started again."),
    ("channels", "login", "channels:login", "Log an account in, by a code or a picture of one."),
    ("channels", "logout", "channels:logout", "Stop an account and give its credentials back."),
    (
        "channels",
        "events",
        "channels:events",
        "List what channels told besides messages, the latest first.",
    ),
    ("pairing", "list", "pairing:list_pairing", "List who asks to write, and who was approved."),
    ("pairing", "approve", "pairing:approve", "Let somebody write who shows a pairing code."),
    (
        "pairing",
        "reject",
        "pairing:reject",
        "Reject somebody who asks; they are not answered for some hours.",
    ),
    (
        "pairing",
        "admit",
        "pairing:admit",
        "Let somebody write who has not asked, by their stable id.",
    ),
    ("pairing", "revoke", "pairing:revoke", "Let somebody write no longer."),
    ("message", "send", "message:send", "Send a message."),
    ("message", "reply", "message:reply", "Answer a message."),
    ("message", "poll", "message:poll", "Send a poll."),
    (
        "message",
        "react",
        "message:react",
        "React to a message, or take the reaction back.",
    ),
    ("message", "edit", "message:edit", "Change a message that was sent."),
    ("message", "delete", "message:delete", "Take back a message that was sent."),
    (
        "inbox",
        "list",
        "console:inbox_list",
        "List messages, the latest first, with what was decided about each.",
    ),
    ("inbox", "show", "console:inbox_show", "Show one message."),
    (
        "inbox",
        "retry",
        "console:inbox_retry",
        "Answer a message that was refused, only kept, or whose run went wrong.",
    ),
    (
        "inbox",
        "discard",
        "console:inbox_discard",
        "Do not answer a message that waits, or is being answered.",
    ),
    ("lanes", "list", "console:lanes_list", "List the sessions in which something runs or waits."),
    ("lanes", "show", "console:lanes_show", "Show what runs and waits for one session."),
    ("lanes", "retry", "console:lanes_retry", "Run again what ended without an answer."),
    (
        "lanes",
        "discard",
        "console:lanes_discard",
        "Take a turn out of its lane; one that runs is cancelled.",
    ),
    (
        "deliveries",
        "list",
        "console:deliveries_list",
        "List what is sent, waits or failed, the latest first.",
    ),
    ("deliveries", "show", "console:deliveries_show", "Show one delivery."),
    (
        "deliveries",
        "retry",
        "console:deliveries_retry",
        "Send again what failed, or whose outcome is unknown.",
    ),
    (
        "deliveries",
        "discard",
        "console:deliveries_discard",
        "Give up a delivery that is not sent.",
    ),
    ("system", "event", "system:event", "Tell an agent that something happened."),
    (
        "system",
        "heartbeat",
        "system:heartbeat",
        "Show the last heartbeat, or let all heartbeats go on or rest.",
    ),
    ("system", "presence", "system:presence", "List who is connected."),
    ("logs", "tail", "logs:tail", "Show the end of the gateway's log."),
    ("config", "get", "config:get", "Print a value of the configuration."),
    ("config", "set", "config_change:set_", "Change a value of the configuration."),
    ("config", "unset", "config_change:unset", "Remove a value from the configuration."),
    (
        "config",
        "patch",
        "config_change:patch",
        "Change several values of the configuration at once.",
    ),
    ("config", "apply", "config_change:apply", "Replace the whole configuration."),
    ("config", "validate", "config:validate", "Check the configuration and list every issue."),
    (
        "config",
        "schema",
        "config:schema",
        "Print the configuration's JSON Schema or reference page.",
    ),
    (
        "config",
        "plan",
        "config:plan",
        "Say what a changed configuration would do to the running gateway.",
    ),
    ("config", "file", "config:file", "Print where the config file is."),
    ("config", "path", "config:path", "Print where the configuration and the state are."),
    (
        "audit",
        "list",
        "audit:list_changes",
        "List who changed what on the gateway, the latest first.",
    ),
    (
        "browser",
        "serve",
        "browser:serve",
        "Run the browser service that the gateway starts when it needs it.",
    ),
    ("secrets", "list", "secrets:list_secrets", "List the stored secrets, without their values."),
    (
        "secrets",
        "set",
        "secrets:set_secret",
        "Store a secret; its value is asked for, or read from standard input.",
    ),
    ("secrets", "delete", "secrets:delete_secret", "Delete a stored secret."),
    (
        "secrets",
        "reload",
        "secrets:reload_secrets",
        "Look every secret reference of the configuration up again.",
    ),
    ("mcp", "list", "mcp:list_servers", "List the MCP servers whose tools agents may use."),
    (
        "mcp",
        "serve",
        "mcp:serve",
        "Serve the gateway's tools over MCP on standard input and output.",
    ),
    ("node", "run", "node:run", "Run this machine as a node of a gateway, in this terminal."),
    (
        "node",
        "status",
        "node:status",
        "Say whether this machine's node host runs, and how it stands with its gateway.",
    ),
    ("import", "openclaw", "importing:openclaw", "Take over an OpenClaw configuration."),
    ("", "doctor", "doctor:doctor", "Find what is wrong here, explain it, and mend it."),
    ("protocol", "docs", "protocol:docs", "Write the reference of the protocol as Markdown."),
    ("protocol", "export", "protocol:export", "Print the protocol as a schema or as types."),
)

# (name, summary, an example)
GROUPS: Final[tuple[tuple[str, str, str], ...]] = (
    ("gateway", "Run and control the gateway.", "portico gateway status"),
    ("service", "The gateway as a service: systemd, launchd.", "portico service install --dry-run"),
    ("agents", "Add, change, bind and delete agents.", "portico agents list"),
    ("models", "The language models agents think with.", "portico models list"),
    ("sessions", "List, show, reset and delete sessions.", "portico sessions list"),
    ("skills", "Folders of instructions for agents.", "portico skills list"),
    (
        "approvals",
        "Decide what agents ask for, and what they need not ask.",
        "portico approvals list",
    ),
    ("cron", "Let agents work on a schedule.", "portico cron list"),
    ("channels", "The channels people write through.", "portico channels status"),
    ("devices", "Which devices may connect, and which ask to.", "portico devices list"),
    ("nodes", "Devices whose commands can be used.", "portico nodes list"),
    ("pairing", "Who may write to the channels.", "portico pairing list"),
    ("message", "Write through a channel by hand.", "portico message send --help"),
    ("inbox", "Messages, and what was decided about them.", "portico inbox list"),
    ("lanes", "What runs and waits, by session.", "portico lanes list"),
    ("deliveries", "What was sent, waits or failed.", "portico deliveries list"),
    ("system", "Events, heartbeats and who is here.", "portico system heartbeat last"),
    ("logs", "Read the gateway's log.", "portico logs tail --follow"),
    ("config", "Read and change the configuration.", "portico config get gateway.port"),
    ("secrets", "What the configuration refers to.", "portico secrets list"),
    ("audit", "Who changed what.", "portico audit list"),
    ("node", "This machine as a node of a gateway.", "portico node status"),
    ("browser", "The browser that agents drive.", "portico browser serve"),
    ("mcp", "The Model Context Protocol, both ways.", "portico mcp list"),
    ("import", "Take over the configuration of another program.", "portico import openclaw"),
    ("protocol", "The wire protocol, for other programs.", "portico protocol export"),
)

_INTRODUCTION: Final = """\
Examples:
    portico onboard                    set it up, step by step
    portico run                        start the gateway
    portico chat                       talk to the agent
    portico agent --message "Hello"    one message, one answer
    portico doctor                     when something does not work

Exit codes: 0 done, 1 failed, 2 usage, 3 gateway unreachable, 4 unauthorized,
5 refused or not found, 6 configuration broken, 130 interrupted."""


def build_app() -> App:
    """Return the command tree, with nothing imported yet."""
    app = App(
        name="portico",
        help="The gateway for AI assistants.",
        version=__version__,
        help_format="plaintext",
        help_epilogue=_INTRODUCTION,
        default_parameter=Parameter(negative="", show_default=False),
    )
    groups = {"": app}
    for name, summary, example in GROUPS:
        group = App(name=name, help=summary, help_epilogue=f"Examples:\n    {example}")
        groups[name] = group
        app.command(group)
    for group_name, name, where, summary in COMMANDS:
        groups[group_name].command(f"portico.cli.commands.{where}", name=name, help=summary)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return exit_code_of(lambda: _run(arguments), as_json="--json" in arguments)


def _run(arguments: list[str]) -> int:
    app = build_app()
    app.suppress_keyboard_interrupt = False
    try:
        result: Any = app(
            arguments, result_action="return_value", exit_on_error=False, print_error=False
        )
    except CycloptsError as error:
        raise _usage(error, arguments) from error
    return result if isinstance(result, int) else ExitCode.OK


def _usage(error: CycloptsError, arguments: list[str]) -> Failure:
    words = [word for word in arguments[:2] if not word.startswith("-")]
    known = {name for name, _, _ in GROUPS} | {entry[1] for entry in COMMANDS}
    command = " ".join(("portico", *(word for word in words if word in known)))
    return Failure(
        str(error), code="usage", next_step=f"{command} --help", exit_code=ExitCode.USAGE
    )


if __name__ == "__main__":
    sys.exit(main())
