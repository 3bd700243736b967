"""No secret reaches the log."""

from __future__ import annotations

from typing import Any

import pytest

from portico.observe.redaction import MASK, Redactor

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    "fields",
    [
        {"token": SECRET},
        {"authToken": SECRET},
        {"headers": {"Authorization": f"Bearer {SECRET}"}},
        {"note": f"sent Authorization: Bearer {SECRET} along"},
        {"url": f"https://x.example/a?token={SECRET}&b=1"},
        {"url": f"postgresql://portico:{SECRET}@db.example/portico"},
        {"deep": [{"a": {"apiKey": SECRET}}]},
        {"text": f'{{"password": "{SECRET}"}}'},
        {"text": "key sk-hunter2hunter2"},
    ],
)
def test_secrets_are_replaced_by_name_and_by_shape(fields: dict[str, Any]) -> None:
    assert SECRET not in str(Redactor().fields(fields))


def test_named_secrets_are_replaced_wherever_they_are() -> None:
    redactor = Redactor(["plain-looking-value", "x"])
    assert redactor.text("it is plain-looking-value, x") == f"it is {MASK}, x"


def test_what_is_no_secret_stays() -> None:
    fields = {
        "event": "turn.ended",
        "tokens": 12,
        "run_id": "run_1",
        "keys": ["a", "b"],
        "token_count": 3,
        "text": "the token of appreciation",
    }
    assert Redactor().fields(fields) == fields


def test_bytes_are_only_counted() -> None:
    assert Redactor().fields({"frame": b"abc"}) == {"frame": "<3 bytes>"}
