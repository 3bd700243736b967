"""Reading SKILL.md: YAML between two lines of `---`, then the instructions in Markdown.

Guarantees: no YAML tag or alias is followed, so a small file cannot become a large one; whatever
stands in the file, the answer is a `Document` or `BrokenSkill` with what is wrong in a sentence.

Not here: whether what a skill needs is there (readiness.py).

Source: the Agent Skills specification; OpenClaw, "SKILL.md format".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from portico.agents.skills.model import (
    MAX_DESCRIPTION_CHARS,
    Document,
    Gating,
    is_skill_name,
)

_FENCE = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_LOOSE = re.compile(
    r"^(name|description|license|compatibility|homepage):[ \t]+(?![\"'|>&*!\[{])(.+)$"
)
_HOLDERS = ("openclaw", "clawdbot")  # the second is what OpenClaw's was called before


class BrokenSkill(Exception):
    """It cannot be used; the text says why."""


def parse(text: str, *, folder_name: str | None) -> Document:
    """Return what a SKILL.md declares.

    Args:
        folder_name: what the name should be, and is when none is given.

    Raises:
        BrokenSkill: it declares too little, or something that makes no sense.
    """
    found = _FENCE.match(text)
    if found is None:
        raise BrokenSkill("it does not begin with front matter between two lines of ---")
    warnings: list[str] = []
    fields = _fields(found[1], warnings)
    name = _text(fields, "name") or folder_name
    if name is None:
        raise BrokenSkill("it has no name")
    if not is_skill_name(name):
        raise BrokenSkill(
            f"its name {name[:80]!r} is not lower-case letters, digits and single hyphens, "
            "at most 64 of them"
        )
    if folder_name not in {None, name}:
        warnings.append(f"its folder is called {folder_name!r}, and should be called {name!r}")
    return Document(
        name=name,
        description=_description(fields),
        gating=_gating(fields.get("metadata")),
        license=_text(fields, "license"),
        compatibility=_text(fields, "compatibility"),
        homepage=_text(fields, "homepage"),
        allowed_tools=_words(fields, "allowed-tools"),
        is_listed=not _flag(fields, "disable-model-invocation", default=False),
        is_command=_flag(fields, "user-invocable", default=True),
        warnings=tuple(warnings),
    )


def body(text: str) -> str:
    """Return the instructions without the front matter."""
    found = _FENCE.match(text)
    return text[found.end() :].strip() if found else text.strip()


def _fields(source: str, warnings: list[str]) -> Mapping[str, Any]:
    try:
        value = _yaml(source)
    except _NotYaml as error:
        quoted = "\n".join(_LOOSE.sub(_quoted, line) for line in source.splitlines())
        try:
            value = _yaml(quoted)
        except _NotYaml:
            raise BrokenSkill(f"its front matter is not YAML: {error}") from None
        warnings.append(f"its front matter is not quite YAML ({error}); quote the text")
    if not isinstance(value, Mapping):
        raise BrokenSkill("its front matter is not a list of keys and values")
    return value


def _yaml(source: str) -> Any:
    import yaml

    try:
        # Of aliases a file of a kilobyte can make a gigabyte.
        for event in yaml.parse(source, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise _NotYaml("aliases are not taken")
        return yaml.safe_load(source)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        said = str(problem or error)
        # The front matter begins on the file's second line; marks count from 0.
        raise _NotYaml(said if mark is None else f"line {mark.line + 2}: {said}") from None


class _NotYaml(Exception):
    pass


def _quoted(found: re.Match[str]) -> str:
    # `description: Use this: …` is no YAML, and is written all the time.
    return f"{found[1]}: {json.dumps(found[2].strip())}"


def _text(fields: Mapping[str, Any], key: str) -> str | None:
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BrokenSkill(f"{key} is not text; put it in quotes")
    return value.strip() or None


def _description(fields: Mapping[str, Any]) -> str:
    given = " ".join((_text(fields, "description") or "").split())
    if not given:
        raise BrokenSkill("it has no description, by which an agent would know when to use it")
    if len(given) > MAX_DESCRIPTION_CHARS:
        raise BrokenSkill(f"its description is longer than {MAX_DESCRIPTION_CHARS} characters")
    return given


def _flag(fields: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = fields.get(key, default)
    if not isinstance(value, bool):
        raise BrokenSkill(f"{key} is neither true nor false")
    return value


def _words(fields: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = fields.get(key)
    if isinstance(value, str):
        return tuple(value.replace(",", " ").split())
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(value)
    if value is None:
        return ()
    raise BrokenSkill(f"{key} is not a list of names")


def _gating(metadata: Any) -> Gating:
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except ValueError:
            raise BrokenSkill("metadata is text that is not JSON") from None
    if not isinstance(metadata, Mapping):
        if metadata is None:
            return Gating()
        raise BrokenSkill("metadata is not a list of keys and values")
    given: Any = next((metadata[name] for name in _HOLDERS if name in metadata), {})
    try:
        return msgspec.convert(given, Gating)
    except msgspec.ValidationError as error:
        raise BrokenSkill(f"metadata.openclaw: {error}") from None
