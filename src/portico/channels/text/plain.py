"""Markdown as plain text, for channels and places that show nothing else."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_BREAKS = frozenset({"softbreak", "hardbreak"})


def to_plain(markdown: str) -> str:
    """Return what a reader of the Markdown sees, without its marks.

    Links keep their address in parentheses, lists their bullets, code its text.
    """
    lines: list[str] = []
    lists: list[int | None] = []  # the next number, or `None` for bullets
    item = ""
    for token in _parser().parse(markdown):
        match token.type:
            case "bullet_list_open":
                lists.append(None)
            case "ordered_list_open":
                lists.append(int(token.attrGet("start") or 1))
            case "bullet_list_close" | "ordered_list_close":
                lists.pop()
            case "list_item_open":
                item = _bullet(lists)
            case "inline":
                lines.append(item + _inline(token.children or []))
                item = " " * len(item)
            case "list_item_close":
                item = ""
            case "fence" | "code_block":
                lines.append(token.content.rstrip("\n"))
            case "hr":
                lines.append("---")
            case "paragraph_close" | "heading_close" if not token.hidden and not lists:
                lines.append("")
            case _:
                continue
    return "\n".join(lines).strip()


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def _bullet(lists: list[int | None]) -> str:
    indent = "  " * (len(lists) - 1)
    number = lists[-1]
    if number is None:
        return f"{indent}- "
    lists[-1] = number + 1
    return f"{indent}{number}. "


def _inline(tokens: list[Token]) -> str:
    said: list[str] = []
    links: list[tuple[str, int]] = []
    for token in tokens:
        if token.type == "link_open":
            links.append((str(token.attrGet("href") or ""), len(said)))
        elif token.type == "link_close":
            address, start = links.pop()
            if "".join(said[start:]) != address:
                said.append(f" ({address})")
        elif token.type in _BREAKS:
            said.append("\n")
        else:
            said.append(token.content)
    return "".join(said)
