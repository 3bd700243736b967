"""The JSON Schema published with the protocol package, and what of ours is held against it.

Guarantees: every answer a test gets over the WebSocket is checked against the published result of
its method (`check_answer`), and so is every parameter a method takes (`uncovered_params`). What we
do otherwise stands here, with its reason.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from functools import cache
from typing import Any

import jsonschema_rs
import pytest

from tests.contract.covering import Difference, Document, uncovered
from tests.e2e.node_client import INSTALLED

SCHEMA = INSTALLED.parent / "gateway-protocol" / "protocol.schema.json"
needs_schema = pytest.mark.skipif(
    not SCHEMA.exists() and "PORTICO_REQUIRE_CLIENTS" not in os.environ,
    reason="the protocol package is not installed: `make e2e` or `make test` does it",
)
NO_LONE_SURROGATES = r"^(?!\.{1,2}$)(?:[^\uD800-\uDFFF]|[\uD800-\uDBFF][\uDC00-\uDFFF])+$"

# Members of answers that the published, closed objects do not list.
UNLISTED: dict[str, dict[str, str]] = {
    "channels.status": {"statusIssues": "the installed package is older than the protocol"},
    "cron.add": {"misfire": "what becomes of missed slots; only in jobs that ask for it"},
    "agents.files.get": {"hash": "the installed package is older than the protocol that has it"},
    "agents.files.list": {"hash": "as above"},
    "agents.files.set": {"hash": "as above"},
    "tasks.cancel": {"hasTranscript": "as above", "execution": "as above"},
    "tasks.get": {"hasTranscript": "as above", "execution": "as above"},
    "tasks.list": {"hasTranscript": "as above", "execution": "as above"},
    "update.status": {"lastRun": "as above", "activeRun": "as above"},
}
# Methods with more than one published result.
ALTERNATIVES = {"cron.add": "CronDeclarativeAddResult"}
# What clients may send that we do not take.
NOT_TAKEN: dict[str, dict[str, str]] = {
    "agent": {".attachments[]": "an attachment is an object; published as anything"},
    "cron.add": {
        ".schedule": "no jobs on a program's end or output (on-exit, stream)",
        ".payload": "no jobs that run commands or scripts without an agent",
        ".delivery.threadId": "a text or a whole number",
    },
    "exec.approvals.node.set": {"": "which of two members is required stands beside the object"},
    "cron.update": {
        ".patch.schedule": "as above",
        ".patch.payload": "as above",
    },
}


@cache
def published() -> dict[str, Any]:
    """Return the published document."""
    text = SCHEMA.read_text()
    # A pattern in JavaScript's UTF-16, which regular expressions elsewhere cannot say.
    return dict(json.loads(text.replace(json.dumps(NO_LONE_SURROGATES), json.dumps("."))))


def definition_of(method: str, kind: str) -> str | None:
    """Return the name of the `Params` or `Result` of a method, `None` where none is published."""
    return _names().get(f"{method}{kind}".replace(".", "").replace("-", "").lower())


def problems(name: str, value: Any) -> list[str]:
    """Say what is wrong with a value of a published definition."""
    return [
        f"{name} at {list(error.instance_path)}: {error.message[:300]}"
        for error in _validator(name).iter_errors(value)
    ]


def check_answer(method: str, result: Any) -> None:
    """Fail when an answer is not what is published for its method."""
    name = definition_of(method, "Result") if SCHEMA.exists() else None
    if name is None:
        return
    listed = _without(UNLISTED.get(method, {}), result)
    other = ALTERNATIVES.get(method)
    if other is None or problems(other, listed):
        wrong = problems(name, listed)
        assert wrong == [], f"{method} answers what is not published: {wrong}"


def uncovered_params(method: str, ours: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """Say what clients may send to a method, by the published schema, that ours would refuse."""
    name = definition_of(method, "Params")
    if name is None:
        return []
    return _report(
        uncovered(
            ours,
            published()["definitions"][name],
            wide_in=Document(document["$defs"], "#/$defs/", jsonschema_rs.Draft202012Validator),
            narrow_in=_theirs(),
        ),
        NOT_TAKEN.get(method, {}),
    )


def _report(found: list[Difference], known: dict[str, str]) -> list[str]:
    # Bounds are ours to set and documented; published ones are often missing.
    return [
        f"{one.path}: {one.message}"
        for one in found
        if one.kind != "bound" and not any(one.path.startswith(path) for path in known)
    ]


def _without(members: Collection[str], value: Any) -> Any:
    if isinstance(value, list):
        return [_without(members, one) for one in value]
    if isinstance(value, dict):
        return {name: _without(members, one) for name, one in value.items() if name not in members}
    return value


@cache
def _names() -> dict[str, str]:
    return {name.lower(): name for name in published()["definitions"]}


@cache
def _theirs() -> Document:
    return Document(published()["definitions"], "#/definitions/", jsonschema_rs.Draft7Validator)


@cache
def _validator(name: str) -> jsonschema_rs.Draft7Validator:
    schema = {"$ref": f"#/definitions/{name}", "definitions": published()["definitions"]}
    return jsonschema_rs.Draft7Validator(schema)
