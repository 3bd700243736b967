"""Markdown, as agents write it, to Slack's mrkdwn; and what Slack sends, to plain text.

Guarantees: whatever an agent writes cannot call a whole channel (`<!channel>`) or forge a link:
only mentions of one person or channel (`<@U…>`, `<#C…>`) pass as they are.

Source: https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

_parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
_MARKS = {"strong": "*", "em": "_", "s": "~"}
_LINKS = frozenset({"http", "https", "mailto", "tel"})
_JOINT = "\u200b"
"""Slack formats whole words only; a space of no width makes any place the edge of a word."""
_MENTION = re.compile(r"&lt;([@#][A-Z][A-Z0-9]{4,})&gt;")
_ANGLED = re.compile(r"<([@#!][^<>\n]+|[a-z][a-z0-9+.-]*:[^<>\n]+)>")


def escaped(text: str, *, mentions: bool = False) -> str:
    """Return a text with the three characters Slack reads as control characters escaped.

    Args:
        mentions: mentions of one person or channel stay what they are.
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MENTION.sub(r"<\1>", text) if mentions else text


def unescaped(text: str) -> str:
    """Return a text as it was before Slack escaped it."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def to_mrkdwn(markdown: str) -> str:
    """Return a Markdown text in Slack's own formatting."""
    writer = _Writer()
    writer.blocks(_parser.parse(markdown))
    return writer.text.strip("\n")


def to_text(said: str, *, own_id: str, own_name: str) -> str:
    """Return what somebody wrote as an agent reads it.

    Args:
        own_id: mentions of this user become `@own_name`.
    """
    text, end = "", 0
    for found in _ANGLED.finditer(said):
        text += unescaped(said[end : found.start()])
        text += _reference(found[1], own_id, own_name)
        end = found.end()
    return text + unescaped(said[end:])


def _reference(inner: str, own_id: str, own_name: str) -> str:
    """Return what stands between angle brackets: a person, a channel, everybody, a link."""
    target, _, label = inner.partition("|")
    label = unescaped(label)
    match target[:1]:
        case "@":
            if target[1:] == own_id:
                return f"@{own_name}"
            return f"@{label}" if label else f"<{target}>"
        case "#":
            return f"#{label}" if label else f"<{target}>"
        case "!":
            return label or f"@{target[1:].partition('^')[0]}"
        case _:
            return _shown_link(unescaped(target), label)


def _shown_link(link: str, label: str) -> str:
    bare = link.removeprefix("mailto:").removeprefix("tel:")
    if not label or label in {link, bare}:
        return bare
    without = link.partition("://")[2]
    return link if label == without else f"[{label}]({link})"


class _Writer:
    def __init__(self) -> None:
        self.text = ""
        self._lists: list[int | None] = []  # the next number; None: not numbered
        self._quotes: list[int] = []  # where they begin
        self._cells = 0
        self._is_heading = False
        self._has_closed = False  # the last thing written was the end of a mark

    def blocks(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            self._block(token)

    def _block(self, token: Token) -> None:
        match token.type:
            case "inline":
                self._inline(token.children or ())
            case "heading_open" | "heading_close":
                self._is_heading = token.type == "heading_open"
                self.text += "*" if self._is_heading else "*\n\n"
            case "paragraph_close":
                self.text += "\n" if self._lists or token.hidden else "\n\n"
            case "fence" | "code_block":
                self.text += f"```\n{escaped(token.content).rstrip()}\n```\n\n"
            case "hr":
                self.text += "———\n\n"
            case "blockquote_open":
                self._quotes.append(len(self.text))
            case "blockquote_close":
                self._quote()
            case _:
                self._list_or_row(token)

    def _quote(self) -> None:
        start = self._quotes.pop()
        lines = self.text[start:].strip("\n").split("\n")
        self.text = self.text[:start] + "".join(f"> {line}\n" for line in lines) + "\n"

    def _list_or_row(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open":
                self._lists.append(None)
            case "ordered_list_open":
                self._lists.append(int(token.attrGet("start") or 1))
            case "bullet_list_close" | "ordered_list_close":
                self._lists.pop()
                self.text += "" if self._lists else "\n"
            case "list_item_open":
                self._bullet()
            case "tr_open":
                self._cells = 0
            case "th_open" | "td_open":
                self.text += " | " if self._cells else ""
                self._cells += 1
            case "tr_close" | "table_close":
                self.text += "\n"
            case _:
                return

    def _bullet(self) -> None:
        indent = "    " * (len(self._lists) - 1)
        number = self._lists[-1]
        self.text += f"{indent}• " if number is None else f"{indent}{number}. "
        if number is not None:
            self._lists[-1] = number + 1

    def _inline(self, tokens: Sequence[Token]) -> None:
        links: list[bool] = []
        for token in tokens:
            kind, _, edge = token.type.rpartition("_")
            if token.type == "text":
                self._put(escaped(token.content, mentions=not any(links)))
            elif token.type == "code_inline":
                self._put(f"`{escaped(token.content)}`", is_mark=True)
            elif token.type in {"softbreak", "hardbreak"}:
                self.text += "\n"
            elif token.type == "image":
                self._put(escaped(f"{token.content} ({token.attrGet('src')})"))
            elif kind == "link":
                self._link(token, links)
            elif kind in _MARKS and not (self._is_heading and kind == "strong"):
                self._mark(_MARKS[kind], opens=edge == "open")

    def _put(self, text: str, *, is_mark: bool = False) -> None:
        """Add text; where formatting ends or begins inside a word, divide it invisibly."""
        ends_inside = self._has_closed and text[:1].isalnum()
        begins_inside = is_mark and self.text[-1:].isalnum()
        self.text += (_JOINT if ends_inside or begins_inside else "") + text
        self._has_closed = is_mark

    def _mark(self, mark: str, *, opens: bool) -> None:
        if opens and self.text[-1:].isalnum():
            self.text += _JOINT
        self.text += mark
        self._has_closed = not opens

    def _link(self, token: Token, links: list[bool]) -> None:
        self._has_closed = False
        if token.type == "link_close":
            self.text += ">" if links.pop() else ""
            return
        href = str(token.attrGet("href") or "")
        links.append(urlsplit(href).scheme in _LINKS)
        if links[-1]:
            self.text += f"<{_address(href)}|"


def _address(href: str) -> str:
    return href.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
