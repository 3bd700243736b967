"""Which commands of nodes may be used."""

from __future__ import annotations

import pytest

from portico.nodes import policy
from portico.nodes.model import About, Surface
from portico.nodes.policy import CommandRules, platform_of

LINUX = About(platform="linux", device_family="Linux")
PHONE = About(platform="iOS 26.1", device_family="iPhone")


@pytest.mark.parametrize(
    ("platform", "family", "expected"),
    [
        ("linux", "Linux", "linux"),
        ("linux", None, "linux"),
        ("Linux", "Mac", "unknown"),
        ("macOS 26.0", "Mac", "macos"),
        ("darwin", None, "macos"),
        ("darwin", "iPhone", "unknown"),
        ("win32", "Windows", "windows"),
        ("iOS 26.1", "iPhone", "ios"),
        ("iPadOS 26", "iPad", "ios"),
        ("iOS 26.1", "Mac", "unknown"),
        ("android 15 (sdk 35)", "Android", "android"),
        ("watchOS 12.0", "Apple Watch", "watchos"),
        (None, "iPhone 17", "ios"),
        ("haiku", None, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_platform(platform: str | None, family: str | None, expected: str) -> None:
    assert platform_of(About(platform=platform, device_family=family)) == expected


def reason(
    command: str,
    *,
    about: About = LINUX,
    declared: tuple[str, ...] = (),
    approved: tuple[str, ...] = (),
    allow: tuple[str, ...] = (),
    deny: tuple[str, ...] = (),
) -> tuple[str, str] | None:
    rules = CommandRules(frozenset(allow), frozenset(deny))
    return policy.why_not(
        command, about=about, declared=Surface((), declared), approved=approved, rules=rules
    )


def test_a_program_on_a_computer_needs_approval() -> None:
    run = ("system.run",)
    assert reason("system.run", declared=run, approved=run) is None
    refused = reason("system.run", declared=run)
    assert refused is not None
    assert refused[0] == "command not approved"
    assert "portico nodes approve" in refused[1]


def test_a_program_on_a_phone_is_never_allowed_by_default() -> None:
    run = ("system.run",)
    refused = reason("system.run", about=PHONE, declared=run, approved=run)
    assert refused == (
        "command not allowlisted",
        '"system.run" is not in the allowlist for platform "iOS 26.1"',
    )


def test_dangerous_commands_need_the_configuration() -> None:
    snap = ("camera.snap",)
    refused = reason("camera.snap", about=PHONE, declared=snap, approved=snap)
    assert refused is not None
    assert "gateway.nodes.commands.allow" in refused[1]
    assert reason("camera.snap", about=PHONE, declared=snap, approved=snap, allow=snap) is None


def test_deny_wins_over_allow() -> None:
    snap = ("camera.snap",)
    refused = reason(
        "camera.snap", about=PHONE, declared=snap, approved=snap, allow=snap, deny=snap
    )
    assert refused is not None
    assert "gateway.nodes.commands.deny" in refused[1]


def test_what_was_not_declared_is_not_sent() -> None:
    assert (reason("system.which") or ("",))[0] == "node did not declare commands"
    refused = reason("system.which", declared=("system.run",), approved=("system.which",))
    assert refused is not None
    assert refused[0] == "command not declared by node"


def test_own_commands_by_configuration() -> None:
    own = ("lamp.switch",)
    assert (reason("lamp.switch", declared=own, approved=own) or ("",))[0] == (
        "command not allowlisted"
    )
    assert reason("lamp.switch", declared=own, approved=own, allow=own) is None


def test_a_node_may_ask_for_dangerous_commands_but_not_for_unknown_or_private_ones() -> None:
    declared = Surface(
        ("camera",), ("camera.snap", "lamp.switch", "worker.launch.v1", "location.get")
    )
    asked = policy.may_ask_for(PHONE, declared, CommandRules(deny=frozenset({"camera.snap"})))
    assert asked.commands == ("camera.snap", "location.get")
    assert policy.usable(PHONE, asked, CommandRules()) == ("location.get",)


def test_canvas_and_talk_come_with_their_capability() -> None:
    surface = Surface(("canvas", "talk"), ("canvas.eval", "talk.ptt.start"))
    assert policy.usable(PHONE, surface, CommandRules()) == surface.commands
    assert policy.usable(PHONE, Surface((), ("canvas.eval",)), CommandRules()) == ()
