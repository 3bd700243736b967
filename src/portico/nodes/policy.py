"""Which commands of a node may be used, and why not the others. No I/O.

What a platform's nodes may do at all is a fixed list; the configuration adds to it and takes from
it, and what it takes wins. What can hurt (`DANGEROUS`) is on no list and must be added; what runs
on a computer (`DESKTOP_HOST`) must be approved with the node.

Source: OpenClaw gateway protocol, "Nodes", command policy.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

from portico.nodes.model import About, Surface

SYSTEM_RUN = frozenset({"system.run", "system.run.prepare", "system.which"})
EXEC_APPROVALS = frozenset({"system.execApprovals.get", "system.execApprovals.set"})
BROWSER_PROXY = frozenset({"browser.proxy", "browser.proxy.upload.v1"})
ADMIN_TO_INVOKE = BROWSER_PROXY | {"fs.listDir", "terminal.upload"}
ADMIN_TO_APPROVE = ADMIN_TO_INVOKE | SYSTEM_RUN | EXEC_APPROVALS
AGENT_RUN = "agent.cli.claude.run.v1"
_SYSTEM = SYSTEM_RUN | EXEC_APPROVALS | ADMIN_TO_INVOKE | {"mcp.tools.call.v1", AGENT_RUN}
_SCREEN = frozenset({"screen.snapshot", "desktop.stream"})
DESKTOP_HOST = _SYSTEM | _SCREEN
DANGEROUS = frozenset(
    [
        "camera.snap",
        "camera.clip",
        "camera.ptz.control",
        "screen.record",
        "contacts.add",
        "calendar.add",
        "reminders.add",
        "sms.send",
        "sms.search",
        "health.summary",
    ]
)
ON_RECORD = (ADMIN_TO_APPROVE | DANGEROUS | _SCREEN) - {"system.run.prepare", "system.which"}
"""What is put on record when it is used: programs, files, cameras, screens, messages."""
_PERSONAL = frozenset(
    [
        "camera.list",
        "location.get",
        "device.info",
        "device.status",
        "contacts.search",
        "calendar.events",
        "reminders.list",
        "photos.latest",
        "motion.activity",
        "motion.pedometer",
        "system.notify",
    ]
)
_DESKTOP = DESKTOP_HOST | {"system.notify", "computer.act"}
_BY_PLATFORM: dict[str, frozenset[str]] = {
    "ios": _PERSONAL,
    "watchos": frozenset({"device.info", "device.status", "system.notify"}),
    "android": _PERSONAL
    | frozenset(
        [
            "notifications.list",
            "notifications.actions",
            "device.permissions",
            "device.health",
            "device.apps",
            "callLog.search",
            "mobile.ui.observe",
            "mobile.ui.act",
        ]
    ),
    "macos": _PERSONAL | _DESKTOP | {"camera.ptz.status", "device.apps"},
    "linux": _DESKTOP,
    "windows": _DESKTOP | {"camera.list", "location.get", "device.info", "device.status"},
    "unknown": frozenset({"camera.list", "location.get", "system.notify"}),
}
_CANVAS = frozenset(
    [
        "canvas.present",
        "canvas.hide",
        "canvas.navigate",
        "canvas.eval",
        "canvas.snapshot",
        "canvas.a2ui.push",
        "canvas.a2ui.pushJSONL",
        "canvas.a2ui.reset",
    ]
)
_WATCH_RELAY = frozenset({"watch.status", "watch.notify"})
_TALK = frozenset({"talk.ptt.start", "talk.ptt.stop", "talk.ptt.cancel", "talk.ptt.once"})
_FAMILY_OF = {"ios": ("", "iphone", "ipad", "ios"), "watchos": ("apple watch", "watchos")} | {
    "android": ("", "android"),
    "macos": ("mac",),
    "windows": ("windows",),
    "linux": ("linux",),
}
_NATIVE = (
    (re.compile(r"(?:ios|ipados) \d+(?:\.\d+){0,2}"), "ios", ("iphone", "ipad", "ios")),
    (re.compile(r"watchos \d+(?:\.\d+){0,2}"), "watchos", ("apple watch", "watchos")),
    (re.compile(r"macos \d+(?:\.\d+){0,2}"), "macos", ("mac",)),
    (re.compile(r"android \d+(?: \(sdk \d+\))?"), "android", ("android",)),
)
_BY_FAMILY = (
    ("iphone", "ios"),
    ("ipad", "ios"),
    ("ios", "ios"),
    ("apple watch", "watchos"),
    ("watchos", "watchos"),
    ("android", "android"),
    ("mac", "macos"),
    ("windows", "windows"),
    ("linux", "linux"),
)
_COMPUTERS = frozenset({"macos", "windows", "linux"})
# What node hosts of protocol 3 call their platform.
_OLD_NAMES = {"darwin": "macos", "win32": "windows"}


@dataclass(frozen=True, slots=True)
class CommandRules:
    """What the configuration adds to the lists and takes from them; taking wins."""

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()


def platform_of(about: About) -> str:
    """Return the platform a node's commands are judged by; what does not fit is `unknown`."""
    platform, family = _plain(about.platform), _plain(about.device_family)
    if platform in _OLD_NAMES and family in {"", *_FAMILY_OF[_OLD_NAMES[platform]]}:
        return _OLD_NAMES[platform]
    if platform in _FAMILY_OF:
        fits = family in _FAMILY_OF[platform] or (not family and platform in _COMPUTERS)
        return platform if fits else "unknown"
    for pattern, name, families in _NATIVE:
        if pattern.fullmatch(platform) and family in families:
            return name
    if platform:
        return "unknown"
    return next((name for token, name in _BY_FAMILY if token in family), "unknown")


def _plain(text: str | None) -> str:
    decomposed = unicodedata.normalize("NFKD", (text or "").strip())
    return "".join(one for one in decomposed if not unicodedata.combining(one)).lower()


def _listed(about: About, surface: Surface) -> frozenset[str]:
    platform = platform_of(about)
    listed = _BY_PLATFORM[platform]
    if "canvas" in surface.caps and platform != "watchos":
        listed |= _CANVAS
    if platform == "ios" and _plain(about.device_family) == "iphone":
        listed |= _WATCH_RELAY
    if "talk" in surface.caps or any(name.startswith("talk.") for name in surface.commands):
        listed |= _TALK
    return listed


def may_ask_for(about: About, declared: Surface, rules: CommandRules) -> Surface:
    """Return what of its offer a node may be approved for: what some configuration could allow.

    A dangerous command may be approved before the configuration allows it.
    """
    listed = (_listed(about, declared) | DANGEROUS | rules.allow) - (rules.deny - DANGEROUS)
    commands = tuple(name for name in declared.commands if name in listed and not is_private(name))
    return Surface(declared.caps, commands, declared.permissions)


def usable(about: About, surface: Surface, rules: CommandRules) -> tuple[str, ...]:
    """Return which commands of an approved surface may be used now."""
    listed = (_listed(about, surface) | rules.allow) - rules.deny
    return tuple(name for name in surface.commands if name in listed)


def is_closed_to_agents(command: str, *, for_tool: bool = False) -> bool:
    """Whether agents may not use a command by its name.

    Programs have an action of their own, which asks a person; the rest is for administrators.

    Args:
        for_tool: a tool that the node has published does the calling.
    """
    closed = (ADMIN_TO_APPROVE - {"system.which"}) | {AGENT_RUN}
    if not for_tool:
        closed |= {"mcp.tools.call.v1"}
    return is_private(command) or command in closed


def is_private(command: str) -> bool:
    """Whether a command is none that anybody may call."""
    return command.startswith("worker.")


def why_not(
    command: str,
    *,
    about: About,
    declared: Surface,
    approved: Collection[str],
    rules: CommandRules,
) -> tuple[str, str] | None:
    """Return why a command of a node may not be used, for programs and for people; `None`: it may.

    Args:
        approved: the commands the node was approved for.
    """
    listed = _listed(about, declared) | rules.allow
    refused = "command not allowlisted"
    said = f'"{command}" is not in the allowlist for platform "{about.platform or "unknown"}"'
    if command in rules.deny:
        return refused, f'"{command}" is blocked by gateway.nodes.commands.deny'
    if command in DANGEROUS and command not in rules.allow:
        return refused, f'"{command}" requires explicit gateway.nodes.commands.allow opt-in'
    if command not in listed:
        return refused, said
    if not declared.commands:
        return "node did not declare commands", "the node did not declare any supported commands"
    if command not in declared.commands:
        where = f"the node (platform: {about.platform or 'unknown'})"
        return "command not declared by node", f'{where} does not support "{command}"'
    if command not in approved:
        return "command not approved", (
            f'"{command}" waits for approval; run `portico nodes pending`, '
            "then `portico nodes approve <requestId>`"
        )
    return None
