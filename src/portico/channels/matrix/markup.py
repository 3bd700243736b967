"""Markdown, as agents write it, to the HTML of messages.

Guarantees: what comes out has only tags the specification recommends, whatever came in; HTML in
the Markdown is shown as it stands; pictures are named, not loaded.

Source: https://spec.matrix.org/latest/client-server-api/#mroommessage-msgtypes
"""

from __future__ import annotations

import re
from html import escape
from typing import Any
from urllib.parse import quote

from markdown_it import MarkdownIt

USER = re.compile(r"(?<![\w/])@[a-z0-9._=/+-]+:[A-Za-z0-9.-]+(?::\d+)?(?<![.-])")
MAX_MENTIONS = 20

_parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(
    ["strikethrough", "table"]
)


def _image(renderer: Any, tokens: Any, at: int, *_: Any) -> str:
    token = tokens[at]
    return escape(f"{token.content} ({token.attrGet('src')})")


_parser.add_render_rule("image", _image)


def to_html(markdown: str) -> str | None:
    """Return a text as HTML; `None` when it says no more than the text."""
    found = str(_parser.render(markdown)).strip()
    people = mentioned(markdown)
    if found == f"<p>{escape(markdown.strip(), quote=True)}</p>" and not people:
        return None
    # Only text, never inside of a tag: an address in a link's target stays as it is.
    parts = re.split(r"(<[^>]*>)", found)
    return "".join(part if part.startswith("<") else USER.sub(_pill, part) for part in parts)


def mentioned(text: str) -> list[str]:
    """Return the people a text names by their ids."""
    return sorted(set(USER.findall(text)))[:MAX_MENTIONS]


def _pill(found: re.Match[str]) -> str:
    user_id = found[0]
    return f'<a href="https://matrix.to/#/{quote(user_id, safe="@:")}">{user_id}</a>'
