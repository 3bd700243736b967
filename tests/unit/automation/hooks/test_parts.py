"""Templates, signatures and mappings: the parts of hooks without a gateway."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.automation.hooks.mapping import GMAIL, choose, context, opened
from portico.automation.hooks.model import HookMapping, HookRequest, Verification
from portico.automation.hooks.signature import is_signed, sign
from portico.automation.hooks.template import find, render, render_key

BODY = {"a": {"b": [{"c": "deep"}, 2]}, "n": 3, "yes": True, "s": "{{n}}", "null": None}
NOW_S = 1_700_000_000


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{a.b[0].c}} and {{ n }}", "deep and 3"),
        ("{{yes}} {{a.b[1]}}", "true 2"),
        ("[{{none}}{{null}}{{a.b[9].c}}{{a.x.y}}{{n.x}}{{s[0]}}]", "[]"),
        ("{{a.b}}", '[{"c":"deep"},2]'),
        ("{{s}}", "{{n}}"),
        ("{{ {{n}} }}", "{{ 3 }}"),
        ("{{}} {n}", "{{}} {n}"),
    ],
)
def test_templates(template: str, text: str) -> None:
    assert render(template, BODY) == text


@given(st.text())
def test_what_was_filled_in_is_never_a_template(text: str) -> None:
    assert render("<{{x}}>", {"x": text + "{{secret}}", "secret": "s3cret"}) == (
        f"<{text}{{{{secret}}}}>"
    )


@given(st.text())
def test_a_value_is_one_part_of_a_session_key(text: str) -> None:
    key = render_key("hook:x:{{id}}", {"id": text})
    assert key.startswith("hook:x:")
    assert ":" not in key.removeprefix("hook:x:")
    assert key.isascii()


@given(st.recursive(st.none() | st.text() | st.integers(), lambda e: st.lists(e)), st.text())
def test_any_path_into_anything_is_found_or_nothing(value: Any, path: str) -> None:
    find(path, {"x": value})


GITHUB = Verification("github", "It's a Secret to Everybody")
STRIPE = Verification("stripe", "whsec_test")
HMAC = Verification("hmac", "a long secret", header="x-sig")


def stripe(body: bytes, *, at_s: int = NOW_S, secret: str = "whsec_test") -> str:
    return f"t={at_s},v1={sign(secret, f'{at_s}.'.encode() + body)},v0=old"


def test_the_example_of_github() -> None:
    # Source: GitHub docs, "Validating webhook deliveries", "Testing the webhook payload".
    wanted = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = {"x-hub-signature-256": wanted}
    assert is_signed(GITHUB, headers, b"Hello, World!", now_s=0)
    assert not is_signed(GITHUB, headers, b"Hello, World?", now_s=0)


@pytest.mark.parametrize(
    ("how", "headers", "is_good"),
    [
        (GITHUB, {}, False),
        (GITHUB, {"x-hub-signature-256": sign(GITHUB.secret, b"{}")}, False),
        (GITHUB, {"x-hub-signature-256": "sha256=é"}, False),
        (STRIPE, {"stripe-signature": stripe(b"{}")}, True),
        (STRIPE, {"stripe-signature": stripe(b"{}", at_s=NOW_S - 299)}, True),
        (STRIPE, {"stripe-signature": stripe(b"{}", at_s=NOW_S - 301)}, False),
        (STRIPE, {"stripe-signature": stripe(b"{}", at_s=NOW_S + 301)}, False),
        (STRIPE, {"stripe-signature": stripe(b"{}", secret="other")}, False),
        (STRIPE, {"stripe-signature": f"t={NOW_S},{stripe(b'{}', at_s=NOW_S - 900)}"}, False),
        (STRIPE, {"stripe-signature": f"t={NOW_S},v1=bad,{stripe(b'{}')[13:]}"}, True),
        (STRIPE, {"stripe-signature": "t=²,v1=x"}, False),
        (STRIPE, {}, False),
        (HMAC, {"x-sig": sign(HMAC.secret, b"{}")}, True),
        (HMAC, {"x-sig": "sha256=" + sign(HMAC.secret, b"{}")}, True),
        (HMAC, {"x-sig": sign(HMAC.secret, b"{ }")}, False),
    ],
)
def test_signatures(how: Verification, headers: dict[str, str], is_good: bool) -> None:
    assert is_signed(how, headers, b"{}", now_s=NOW_S) is is_good


def fits(mapping: HookMapping, payload: dict[str, Any], **headers: str) -> bool:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    told = context(payload, HookRequest("p", named, b""), now="")
    return choose([mapping], told, named) is not None


def test_mappings_fit_by_source_header_and_content() -> None:
    assert fits(HookMapping(source="ci"), {"source": "ci"})
    assert not fits(HookMapping(source="ci"), {"source": ["ci"]})
    push = HookMapping(headers={"x-github-event": "push"})
    assert fits(push, {}, x_github_event="push")
    assert not fits(push, {}, x_github_event="ping")
    assert fits(HookMapping(has="pull_request.title"), {"pull_request": {"title": "x"}})
    assert not fits(HookMapping(has="pull_request.title"), {"pull_request": None})


def test_secrets_are_no_part_of_what_templates_name() -> None:
    headers = {"authorization": "Bearer x", "x-openclaw-token": "x", "x-a": "b"}
    told = context({}, HookRequest("p", headers, b""), now="")
    assert told["headers"] == {"x-a": "b"}


def test_a_push_of_pubsub_is_opened() -> None:
    data = base64.urlsafe_b64encode(
        json.dumps({"emailAddress": "ann@example.com", "historyId": 9}).encode()
    ).decode()
    push = {"message": {"data": data, "messageId": "m1"}, "subscription": "projects/p/s"}
    told = context(opened(push), HookRequest("gmail", {}, b""), now="")
    chosen = choose(GMAIL, told, {})
    assert chosen is not None
    assert render(chosen.template, told) == (
        "New mail has arrived for ann@example.com (history 9)."
    )
    assert render(chosen.idempotency or "", told) == "m1"
    assert opened({**push, "message": {"data": "%"}}) == {**push, "message": {"data": "%"}}
    assert opened({**push, "message": "x"})["message"] == "x"
