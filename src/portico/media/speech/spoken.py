"""From Markdown to what a voice would say.

Guarantees: pure; linear in the text; nothing is left of code, addresses and marks but their words.
"""

from __future__ import annotations

import re

_CODE = re.compile(r"^(```|~~~).*?(?:^\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"!\[([^\]\n]{0,500})\]\([^)\s]{0,2000}[^)]{0,200}\)"), r"\1"),
    (re.compile(r"\[([^\]\n]{1,500})\]\([^)\s]{0,2000}[^)]{0,200}\)"), r"\1"),
    (re.compile(r"<?https?://\S+"), ""),
    (re.compile(r"^[ \t]*\|?[ \t:|-]*-{3}[ \t:|-]*$", re.MULTILINE), ""),
    (re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+(.*?)[ \t]*#*$", re.MULTILINE), r"\1."),
    (re.compile(r"^[ \t]*(?:>[ \t]?)+", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*[-*+][ \t]+(?:\[[ xX]\][ \t]+)?", re.MULTILINE), ""),
    (re.compile(r"(?<![\w*_~])(\*\*|__|~~|\*|_)(?=\S)([^*~\n]{1,500}?)(?<=\S)\1(?!\w)"), r"\2"),
    (re.compile(r"`([^`\n]*)`"), r"\1"),
    (re.compile(r"[ \t]*\|[ \t]*"), ", "),
    (re.compile(r"</?[A-Za-z][^<>\n]{0,200}>"), ""),
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r"\s*\n\s*\n\s*"), "\n\n"),
    (re.compile(r"\.{2}$", re.MULTILINE), "."),
)


def spoken(text: str) -> str:
    """Return a text as it is to be read aloud; empty when there is nothing to say."""
    said = _without_comments(_CODE.sub("", text))
    for pattern, replacement in _RULES:
        said = pattern.sub(replacement, said)
    return said.strip(" \t\n,")


def _without_comments(text: str) -> str:
    """Leave HTML comments out; by hand, since a pattern would look for each end again and again."""
    kept: list[str] = []
    at = 0
    while (begins := text.find("<!--", at)) >= 0 and (ends := text.find("-->", begins)) >= 0:
        kept.append(text[at:begins])
        at = ends + 3
    return "".join([*kept, text[at:]])
