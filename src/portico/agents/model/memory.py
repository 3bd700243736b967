"""What an agent remembers of its session: the transcript since its last compaction.

Theory of operation: a compaction is an entry of the transcript that holds a summary and the seq of
the first entry it does not cover. What an agent is told is the newest summary and everything from
that seq on. Nothing is deleted by it: people still see the whole transcript.

Guarantees: reading costs what is remembered, not what was ever said. Sizes are estimates: four
characters a token, a fixed number for a picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from portico.agents.files import GivenFile
from portico.agents.runtime import HistoryMessage, Turn

FIRST_READ = 64
MOST_READ = 4096
CHARS_PER_TOKEN = 4
MEDIA_TOKENS = 1_000
ENTRY_TOKENS = 4
CALL_TOKENS = 12  # of a tool call beside its arguments: name, id, the shape around them
SHOWN_OF_RESULT = 2_000  # characters of an old tool result, for the model
SHOWN_IN_SUMMARY = 4_000  # characters of one message, for whoever summarises
_SPOKEN = frozenset({"user", "assistant", "toolResult"})


@dataclass(frozen=True, slots=True)
class Memory:
    """What came before a turn, oldest first, after what the summary covers."""

    entries: tuple[HistoryMessage, ...] = ()
    summary: str | None = None
    is_summary_untrusted: bool = False

    @property
    def is_untrusted(self) -> bool:
        """Whether text from outside is in it."""
        return self.is_summary_untrusted or any(entry.is_untrusted for entry in self.entries)

    @property
    def tokens(self) -> int:
        """About how many tokens it is."""
        return text_tokens(self.summary or "") + sum(entry_tokens(e) for e in self.entries)


@dataclass(frozen=True, slots=True)
class Split:
    """A memory cut in two: what a summary takes the place of, and what stays."""

    old: tuple[HistoryMessage, ...]
    kept: tuple[HistoryMessage, ...]

    @property
    def first_kept_seq(self) -> int:
        """The seq of the first entry that stays."""
        return self.kept[0].seq if self.kept else self.old[-1].seq + 1


async def recall(turn: Turn, *, most_tokens: int) -> Memory:
    """Read what the agent remembers; no more than about `most_tokens` of it."""
    if turn.request.prior:
        return Memory(turn.request.prior)
    limit = FIRST_READ
    while True:
        read = await turn.history(limit)
        memory, is_whole = remembered(read)
        if is_whole or len(read) < limit or limit >= MOST_READ or memory.tokens > most_tokens:
            return memory
        limit *= 4


def remembered(entries: Sequence[HistoryMessage]) -> tuple[Memory, bool]:
    """Return the memory in a transcript's newest entries, and whether it is all of it."""
    marks = [entry.meta for entry in entries if entry.meta.get("kind") == "compaction"]
    mark = marks[-1] if marks else None
    first = int(mark["firstKeptSeq"]) if mark else 0
    spoken = tuple(e for e in entries if e.role in _SPOKEN and e.seq >= first)
    whole = mark is not None and bool(entries) and entries[0].seq <= first
    if mark is None:
        return Memory(spoken), whole
    return Memory(spoken, str(mark["summary"]), bool(mark.get("untrusted"))), whole


def split(memory: Memory, keep_tokens: int) -> Split:
    """Cut before a person's message, so that about `keep_tokens` stay."""
    entries = memory.entries
    cut, size = len(entries), 0
    for index in range(len(entries) - 1, -1, -1):
        size += entry_tokens(entries[index])
        if size > keep_tokens:
            break
        if entries[index].role == "user":
            cut = index
    return Split(entries[:cut], entries[cut:])


def pruned(memory: Memory, *, fresh: int = 8) -> Memory:
    """Shorten tool results and drop media, but for those of the newest `fresh` entries."""
    edge = len(memory.entries) - fresh
    entries = tuple(_short(e) if i < edge else e for i, e in enumerate(memory.entries))
    return replace(memory, entries=entries)


def newest(memory: Memory, keep_tokens: int) -> Memory:
    """Drop the oldest entries, when nothing better can be done."""
    return replace(memory, entries=split(memory, keep_tokens).kept)


def text_tokens(text: str) -> int:
    """About how many tokens a text is."""
    return len(text) // CHARS_PER_TOKEN


def entry_tokens(entry: HistoryMessage) -> int:
    """About how many tokens an entry is."""
    size = 0
    for part in parts_of(entry.content):
        if part.get("type") == "toolCall":
            size += CALL_TOKENS * CHARS_PER_TOKEN
        if part.get("transcript"):
            size += len(str(part["transcript"]))
        elif part.get("type") in {"text", "toolCall", "toolResult"}:
            size += len(str(part.get("text") or "")) + len(_json(part.get("arguments")))
        else:
            size += MEDIA_TOKENS * CHARS_PER_TOKEN
    return size // CHARS_PER_TOKEN + ENTRY_TOKENS


def parts_of(content: Any) -> list[dict[str, Any]]:
    """Return an entry's content as parts."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [part for part in content or () if isinstance(part, dict)]


def as_text(entries: Sequence[HistoryMessage]) -> Iterator[str]:
    """Yield each entry as a line of a protocol, for whoever summarises it."""
    for entry in entries:
        if entry.role == "toolResult" and entry.meta.get("toolName"):
            result = " ".join(_shown(part) for part in parts_of(entry.content))
            yield f"Tool {entry.meta['toolName']}: {_cut(result, SHOWN_IN_SUMMARY)}"
            continue
        said = " ".join(_shown(part) for part in parts_of(entry.content))
        if said:
            yield f"{entry.role.capitalize()}: {_cut(said, SHOWN_IN_SUMMARY)}"


def _shown(part: dict[str, Any]) -> str:
    kind = part.get("type")
    if part.get("transcript"):
        return GivenFile.part(part).heard()
    if kind in {"text", "toolResult"}:
        return str(part.get("text") or "")
    if kind == "toolCall":
        return f"[calls {part.get('name')}({_json(part.get('arguments'))})]"
    return f"[{kind}]"


def _short(entry: HistoryMessage) -> HistoryMessage:
    content = entry.content
    if entry.role == "toolResult":
        shown = " ".join(_shown(part) for part in parts_of(content))
        content = [{"type": "text", "text": _cut(shown, SHOWN_OF_RESULT)}]
    elif not isinstance(content, str):
        content = [
            part
            if part.get("type") in {"text", "toolCall", "toolResult"}
            else {"type": "text", "text": _shown(part)}
            for part in parts_of(content)
        ]
    return msgspec.structs.replace(entry, content=content)


def _json(value: Any) -> str:
    if value is None or value == {}:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[… {len(text) - limit} characters left out …]\n{text[-half:]}"
