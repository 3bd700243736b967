"""The commands as they are declared, and the page that lists them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portico.app import Gateway
from portico.channels.model import InboundMessage, Peer
from portico.chat.commands.book import CommandBook, command
from portico.chat.commands.model import Asked, Command
from portico.chat.commands.rules import CommandRules, CommandSettings
from portico.chat.commands.words import count, money, span
from portico.config import resolve_paths
from portico.config.service import load_text
from portico.wiring.commands import menu_of

PAGE = Path(__file__).parents[3] / "docs" / "commands.md"
TEXT = '{ gateway: { auth: { mode: "none" } }, commands: { native: %s } }'


def gateway(native: str = '"auto"') -> Gateway:
    return Gateway(load_text(resolve_paths(env={}), TEXT % native, env={}), env={})


def row(one: Command) -> str:
    args = "".join(f" <{a.name}>" if a.is_required else f" [{a.name}]" for a in one.args)
    names = f"`/{one.name}{args}`" + "".join(f", `/{alias}`" for alias in one.aliases)
    scope = one.scope.removeprefix("operator.")
    return f"| {names} | {one.description} | `{scope}` | {one.audience} |"


def test_the_page_lists_what_there_is() -> None:
    rows = [row(one) for one in gateway().path.orders.book]
    listed = re.search(r"\| --- \| --- \| --- \| --- \|\n((?:\|.*\n)+)", PAGE.read_text())
    assert listed
    assert listed[1].splitlines() == rows


def test_every_command_fits_into_the_menus_of_providers() -> None:
    menu = menu_of(gateway().path.orders)
    assert ("status", "Show how this conversation stands.") in menu
    for name, description in menu:
        assert re.fullmatch(r"[a-z0-9_]{1,32}", name)  # Telegram's
        assert 3 <= len(description) <= 100  # Discord's
    assert menu_of(gateway("false").path.orders) == []


def test_a_name_is_declared_once() -> None:
    class Twice:
        @command("a", "One.", category="status")
        async def one(self, asked: Asked) -> str:
            return ""

        @command("b", "Two.", category="status", aliases=("a",))
        async def two(self, asked: Asked) -> str:
            return ""

    with pytest.raises(TypeError, match="/a is declared twice"):
        CommandBook([Twice()])


def test_programs_give_no_commands() -> None:
    rules = CommandRules(CommandSettings(), is_channel=lambda channel: channel == "telegram")
    for channel, expected in [("telegram", True), ("http", False), ("openai", False)]:
        message = InboundMessage(
            channel=channel,
            account="default",
            event_key="e",
            peer=Peer("direct", "p"),
            sender="p",
            text="/status",
        )
        assert (rules.giver_of(message) is not None) is expected


def test_numbers_are_said_as_people_say_them() -> None:
    assert [span(ms) for ms in (0, 8_400, 192_000, 11_520_000, 187_200_000)] == [
        "0 s", "8 s", "3 min 12 s", "3 h 12 min", "2 d 4 h",
    ]  # fmt: skip
    assert [count(1, "turn"), count(1_204, "turn")] == ["1 turn", "1,204 turns"]
    assert [money(0), money(12.5), money(0.0312)] == ["$0.00", "$12.50", "$0.0312"]
