"""Markdown, as agents write it, to the HTML Telegram takes.

Guarantees: what comes out is well-formed and has only tags Telegram knows, whatever came in; HTML
in the Markdown is shown as it stands.

Source: https://core.telegram.org/bots/api#html-style
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

_parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
_TAGS = {"strong": "b", "em": "i", "s": "s"}
_FIXED = {
    "heading_open": "<b>",
    "heading_close": "</b>\n\n",
    "blockquote_open": "<blockquote>",
    "hr": "———\n\n",
    "tr_close": "\n",
    "table_close": "\n",
}
_LINKS = frozenset({"http", "https", "mailto", "tel", "tg"})


def to_html(markdown: str) -> str:
    """Return a text in Telegram's HTML."""
    writer = _Writer()
    writer.blocks(_parser.parse(markdown))
    return writer.text.strip("\n")


class _Writer:
    def __init__(self) -> None:
        self.text = ""
        self._lists: list[int | None] = []  # the next number; None: not numbered
        self._cells = 0

    def blocks(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            self._block(token)

    def _block(self, token: Token) -> None:
        if token.type in _FIXED:
            self.text += _FIXED[token.type]
        elif token.type == "inline":
            self._inline(token.children or ())
        elif token.type in {"fence", "code_block"}:
            self._code(token)
        elif token.type == "paragraph_close":
            self.text += "\n" if self._lists or token.hidden else "\n\n"
        elif token.type == "list_item_open":
            self._bullet()
        elif token.type == "blockquote_close":
            self.text = self.text.rstrip("\n") + "</blockquote>\n\n"
        else:
            self._list_or_row(token)

    def _list_or_row(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open":
                self._lists.append(None)
            case "ordered_list_open":
                self._lists.append(int(token.attrGet("start") or 1))
            case "bullet_list_close" | "ordered_list_close":
                self._lists.pop()
                self.text += "" if self._lists else "\n"
            case "tr_open":
                self._cells = 0
            case "th_open" | "td_open":
                self.text += " | " if self._cells else ""
                self._cells += 1
            case _:
                return

    def _bullet(self) -> None:
        indent = "  " * (len(self._lists) - 1)
        number = self._lists[-1]
        if number is None:
            self.text += f"{indent}• "
        else:
            self.text += f"{indent}{number}. "
            self._lists[-1] = number + 1

    def _code(self, token: Token) -> None:
        language = token.info.split(" ")[0]
        inner = escape(token.content.rstrip("\n"), quote=False)
        if language:
            inner = f'<code class="language-{escape(language)}">{inner}</code>'
        self.text += f"<pre>{inner}</pre>\n\n"

    def _inline(self, tokens: Sequence[Token]) -> None:
        links: list[bool] = []
        for token in tokens:
            kind, _, edge = token.type.rpartition("_")
            if token.type == "text":
                self.text += escape(token.content, quote=False)
            elif token.type == "code_inline":
                self.text += f"<code>{escape(token.content, quote=False)}</code>"
            elif token.type in {"softbreak", "hardbreak"}:
                self.text += "\n"
            elif token.type == "image":
                self.text += escape(f"{token.content} ({token.attrGet('src')})", quote=False)
            elif kind == "link":
                self._link(token, links)
            elif kind in _TAGS:
                self.text += f"<{_TAGS[kind]}>" if edge == "open" else f"</{_TAGS[kind]}>"

    def _link(self, token: Token, links: list[bool]) -> None:
        if token.type == "link_close":
            self.text += "</a>" if links.pop() else ""
            return
        href = str(token.attrGet("href") or "")
        links.append(urlsplit(href).scheme in _LINKS)
        if links[-1]:
            self.text += f'<a href="{escape(href)}">'
