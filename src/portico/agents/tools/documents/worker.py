"""The process that opens a document somebody else made: a page or a PDF becomes text.

Theory of operation: run as a program of its own, isolated, with nothing of the gateway in it. It
reads one line of JSON and then the document from its input, writes one JSON object, and ends. What
the document makes of the parsers ends with it: memory and processor time are limited by the system.

Guarantees: opens no file but modules and no connection; answers `{"error": …}` for whatever cannot
be read.
"""

from __future__ import annotations

import json
import re
import sys
from io import BytesIO
from typing import Any

_CHARSET = re.compile(
    rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE
)
_CHARSETS = re.compile(
    r"utf-?8|utf-?16(le|be)?|us-ascii|ascii|iso-?8859-\d{1,2}|latin-?1|windows-125\d|cp125\d|"
    r"koi8-[ru]|shift[_-]jis|sjis|euc-(jp|kr)|iso-2022-jp|gb18030|gbk|gb2312|big5",
    re.IGNORECASE,
)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_SNIFFED_BYTES = 4_096


class Unreadable(Exception):
    """The document cannot be read; the text says why."""


def main() -> None:
    """Read a document from the input and say what is in it."""
    asked = json.loads(sys.stdin.buffer.readline())
    _limit(asked["memoryBytes"], asked["cpuSeconds"])
    body = sys.stdin.buffer.read()
    try:
        said = {"html": page, "pdf": pdf}[asked["kind"]](body, asked)
    except Unreadable as error:
        said = {"error": str(error)}
    except ModuleNotFoundError as error:
        said = {"error": f"the package {error.name} is not installed", "missing": error.name}
    except (Exception, RecursionError) as error:  # noqa: BLE001  # a parser may raise anything
        said = {"error": f"it is damaged ({type(error).__name__})"}
    sys.stdout.write(json.dumps(said))


def _limit(memory_bytes: int, cpu_s: int) -> None:
    try:
        import resource
    except ImportError:  # pragma: no cover - not on Windows; the caller's time limit remains
        return
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(what, (most, most))


def page(body: bytes, asked: dict[str, Any]) -> dict[str, Any]:
    """Return what a page says, as Markdown or plain text."""
    from html_to_markdown import ConversionOptions, PreprocessingOptions, convert

    text = decoded(body, str(asked.get("charset") or _declared(body))).replace("\0", "")
    found = convert(
        text,
        ConversionOptions(
            base_url=str(asked["url"]),
            compact_tables=True,
            inline_data_media="alt_text_only",
            output_format="markdown" if asked.get("markdown", True) else "plain",
            preprocessing=PreprocessingOptions(preset="aggressive"),
        ),
    )
    content = _FRONT_MATTER.sub("", found.content or "", count=1).strip()
    title = found.metadata.document.title
    most = int(asked["maxChars"])
    return {"text": content[:most], "title": title, "isCut": len(content) > most}


def decoded(body: bytes, charset: str) -> str:
    """Return bytes as text; an unknown charset counts as UTF-8."""
    name = charset if _CHARSETS.fullmatch(charset) else "utf-8"
    try:
        return body.decode(name, "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _declared(body: bytes) -> str:
    found = _CHARSET.search(body[:_SNIFFED_BYTES])
    return found[1].decode("ascii", "replace") if found else ""


def pdf(body: bytes, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the text of some pages of a PDF."""
    from pypdf import PdfReader

    reader = PdfReader(BytesIO(body))
    if reader.is_encrypted and not reader.decrypt(""):
        raise Unreadable("it is protected by a password")
    count = len(reader.pages)
    wanted = [number for number in asked["pages"] or range(1, count + 1) if number <= count]
    left, pages, is_cut = int(asked["maxChars"]), [], False
    for number in wanted[: int(asked["maxPages"])]:
        text = reader.pages[number - 1].extract_text().strip()
        is_cut = len(text) > left
        pages.append({"page": number, "text": text[:left]})
        left -= len(text)
        if left <= 0:
            break
    is_cut = is_cut or len(pages) < len(wanted)
    return {"pageCount": count, "pages": pages, "isCut": is_cut, "title": _title(reader)}


def _title(reader: Any) -> str | None:
    try:
        title = reader.metadata.title if reader.metadata else None
    except Exception:  # noqa: BLE001  # a damaged title is no reason to give up the text
        return None
    return str(title)[:500] if title else None


if __name__ == "__main__":
    main()
