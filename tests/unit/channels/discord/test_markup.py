from __future__ import annotations

import pytest

from portico.channels.discord.markup import to_discord


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("**bold** `code` > a < b", "**bold** `code` > a < b"),
        ("# one\n### three\n#### four ##\n####", "# one\n### three\n**four**\n####"),
        ("a\n\n---\n\nb", "a\n\n———\n\nb"),
        ('see ![a cat](https://e.org/c.png "Cat")', "see a cat https://e.org/c.png"),
        ("![](https://e.org/c.png)", "https://e.org/c.png"),
        ("| a | b |\n|---|:-:|\n| 1 | 22 |\nend", "```\na  b\n-  --\n1  22\n```\nend"),
        ("| a |\n| - |\n| 1 | more |", "```\na\n-  ----\n1  more\n```"),
        ("| no table", "| no table"),
        (
            "```\n#### x\n| a |\n| - |\n---\n```\n#### y",
            "```\n#### x\n| a |\n| - |\n---\n```\n**y**",
        ),
        ("~~~py\n```\n---\n~~~", "~~~py\n```\n---\n~~~"),
        ("```never closed\n---", "```never closed\n---"),
        ("", ""),
    ],
)
def test_what_discord_does_not_show_is_changed(written: str, shown: str) -> None:
    assert to_discord(written) == shown
