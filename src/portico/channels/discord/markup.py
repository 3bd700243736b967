"""Markdown, as agents write it, to the Markdown Discord shows.

Discord shows most of it. What it does not is changed: tables become blocks of code, headings below
the third level bold lines, pictures their address. Code is left as it is. Mentions need no change:
every message is sent so that it mentions nobody.

Source: https://support.discord.com/hc/en-us/articles/210298617
"""

from __future__ import annotations

import re

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
_DEEP = re.compile(r"^ {0,3}#{4,6}\s+(.*?)\s*#*$")
_RULE = re.compile(r"^ {0,3}(?:(?:\*\s*){3,}|(?:_\s*){3,}|(?:-\s*){3,})$")
_ROW = re.compile(r"^\s*\|.*\|\s*$")
_DIVIDER = re.compile(r"^\s*\|(?:\s*:?-+:?\s*\|)+\s*$")
_PICTURE = re.compile(r"!\[([^\]\n]*)\]\((\S+?)(?:\s+\"[^\"\n]*\")?\)")


def to_discord(markdown: str) -> str:
    """Return a text as Discord shows it best."""
    lines = markdown.split("\n")
    shown: list[str] = []
    fence: str | None = None
    at = 0
    while at < len(lines):
        line = lines[at]
        was_open = fence is not None
        fence = _fence_after(line, fence)
        if was_open or fence is not None:
            shown.append(line)
        elif _is_table(lines, at):
            end = _end_of_table(lines, at)
            shown += ["```", *_aligned(lines[at:end]), "```"]
            at = end
            continue
        else:
            shown.append(_line(line))
        at += 1
    return "\n".join(shown)


def _line(line: str) -> str:
    if (deep := _DEEP.match(line)) is not None:
        return f"**{deep[1]}**" if deep[1] else ""
    if _RULE.match(line):
        return "———"
    return _PICTURE.sub(lambda match: f"{match[1]} {match[2]}".strip(), line)


def _fence_after(line: str, fence: str | None) -> str | None:
    """Return the fence that is open after a line."""
    found = _FENCE.match(line)
    if found is None:
        return fence
    marker, info = found[1], found[2]
    if fence is None:
        return None if marker[0] == "`" and "`" in info else marker
    closes = marker[0] == fence[0] and len(marker) >= len(fence) and not info.strip()
    return None if closes else fence


def _is_table(lines: list[str], at: int) -> bool:
    return at + 1 < len(lines) and bool(_ROW.match(lines[at]) and _DIVIDER.match(lines[at + 1]))


def _end_of_table(lines: list[str], at: int) -> int:
    while at < len(lines) and _ROW.match(lines[at]):
        at += 1
    return at


def _aligned(rows: list[str]) -> list[str]:
    cells = [[cell.strip() for cell in row.strip()[1:-1].split("|")] for row in rows]
    count = max(len(row) for row in cells)
    body = [row + [""] * (count - len(row)) for number, row in enumerate(cells) if number != 1]
    widths = [max(len(row[column]) for row in body) for column in range(count)]
    drawn = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in body]
    return [drawn[0], "  ".join("-" * width for width in widths), *drawn[1:]]
