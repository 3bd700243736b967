"""Ranked search for words: BM25 over the passages of a few files, made anew for each question.

Theory of operation: the files of a memory are small (a megabyte is ten years of notes), so reading
and counting them takes a fraction of a second and no index can be out of date. A passage is a run
of lines under one heading. Words are compared without case and accents; writings without spaces are
compared by pairs of letters. A longer word that begins with a word of the question counts half.

Pure: text in, passages out.

Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from portico.agents.tools.memory.notes import NoteFile

K1 = 1.5
B = 0.75
PASSAGE_CHARS = 700
SHORTEST_BEGINNING = 4
HALF = 0.5
MAX_TERMS = 50
_WORD = re.compile(r"\w+")
_HEADING = re.compile(r"#{1,6}\s")
# Writings whose words are not kept apart by spaces.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f]+")


@dataclass(frozen=True, slots=True)
class Passage:
    """Some lines of a file; lines count from 1."""

    path: str
    start_line: int
    end_line: int
    text: str
    is_outside: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A passage and how well it fits; higher is better."""

    passage: Passage
    score: float


def search(files: Iterable[NoteFile], query: str, *, most: int) -> list[Found]:
    """Return the passages that fit a question best."""
    wanted = [*dict.fromkeys(terms(query))][:MAX_TERMS]
    passages = [passage for file in files for passage in passages_of(file)]
    if not wanted or not passages:
        return []
    counted = [Counter(terms(passage.text)) for passage in passages]
    worth = _worth(counted, wanted)
    weights = [_weights(counts, worth, len(wanted)) for counts in counted]
    having = [sum(row[index] > 0 for row in weights) for index in range(len(wanted))]
    rarity = [_rarity(count, len(passages)) for count in having]
    lengths = [counts.total() for counts in counted]
    usual = sum(lengths) / len(lengths) or 1.0
    found = [
        Found(passage, _score(row, rarity, length / usual))
        for passage, row, length in zip(passages, weights, lengths, strict=True)
    ]
    best = sorted(found, key=lambda one: (-one.score, one.passage.path, one.passage.start_line))
    return [one for one in best[:most] if one.score > 0]


def _worth(counted: Sequence[Counter[str]], wanted: Sequence[str]) -> dict[str, dict[int, float]]:
    """Say of each word that occurs which words of the question it stands for, and how much."""
    worth: dict[str, dict[int, float]] = {}
    occurring = set().union(*counted)
    for index, term in enumerate(wanted):
        if term in occurring:
            worth.setdefault(term, {})[index] = 1.0
        if len(term) >= SHORTEST_BEGINNING:
            for word in occurring:
                if word != term and word.startswith(term):
                    worth.setdefault(word, {})[index] = HALF
    return worth


def _weights(
    counts: Counter[str], worth: Mapping[str, Mapping[int, float]], size: int
) -> list[float]:
    row = [0.0] * size
    for word in counts.keys() & worth.keys():
        for index, each in worth[word].items():
            row[index] += each * counts[word]
    return row


def _rarity(having: int, of: int) -> float:
    return math.log(1 + (of - having + 0.5) / (having + 0.5))


def _score(weights: Sequence[float], rarity: Sequence[float], length: float) -> float:
    damped = K1 * (1 - B + B * length)
    return sum(
        rare * weight * (K1 + 1) / (weight + damped)
        for weight, rare in zip(weights, rarity, strict=True)
        if weight
    )


def terms(text: str) -> list[str]:
    """Return the words of a text as they are compared."""
    if text.isascii():
        return _WORD.findall(text.lower())
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    found: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFC", plain)):
        rest = _UNSPACED.sub(" ", word)
        found += rest.split()
        for run in _UNSPACED.findall(word):
            found += [run[i : i + 2] for i in range(len(run) - 1)] or [run]
    return found


def passages_of(file: NoteFile) -> list[Passage]:
    """Cut a file into passages: at headings, and where one grows too long."""
    marks = file.outside()
    passages: list[Passage] = []
    lines: list[str] = []
    begin, size = 1, 0
    for number, line in enumerate(file.lines(), 1):
        if lines and (_HEADING.match(line) or size > PASSAGE_CHARS):
            passages += _passage(file, begin, lines, marks)
            begin, lines, size = number, [], 0
        lines.append(line)
        size += len(line)
    return passages + _passage(file, begin, lines, marks)


def _passage(
    file: NoteFile, begin: int, lines: Sequence[str], marks: Sequence[bool]
) -> list[Passage]:
    text = "\n".join(lines).strip()
    if not text:
        return []
    end = begin + len(lines) - 1
    return [Passage(file.path, begin, end, text, is_outside=any(marks[begin - 1 : end]))]
