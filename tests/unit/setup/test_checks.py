from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from portico.channels.contract import AuthExpired
from portico.channels.manifest import find_manifests
from portico.channels.webhook.config import WebhookAccount
from portico.clock import SystemClock
from portico.config.paths import resolve_paths
from portico.config.service import load_text
from portico.setup.checks import Checks, Trial, models_of
from portico.setup.model import Facts, Known

KEY = "sk-0123456789-very-secret"


def known(tmp_path: Path, answers: dict[str, Any]) -> Known:
    loaded = load_text(resolve_paths(env={}, state_dir=tmp_path), "{}", env={})
    facts = Facts(flow="setup", loaded=loaded, env={}, manifests=find_manifests(), token="t")
    return Known(facts, answers)


@asynccontextmanager
async def provider(status: int, body: str, heads: list[str]) -> AsyncIterator[str]:
    """A provider that answers everything alike; `heads` keeps what it was asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@pytest.mark.parametrize(
    ("status", "body", "problem", "found"),
    [
        (200, {"data": [{"id": "b"}, {"id": "a"}, {"no": "id"}, 3]}, None, ("a", "b")),
        (200, {"data": []}, None, ()),
        (200, [], "custom answered something that is no list of models.", ()),
        (401, {}, "custom does not take this key (status 401).", ()),
        (500, {}, "custom answered (status 500).", ()),
    ],
)
async def test_models_are_asked_for(
    tmp_path: Path, status: int, body: Any, problem: str | None, found: tuple[str, ...]
) -> None:
    heads: list[str] = []
    async with provider(status, json.dumps(body), heads) as url:
        answers = {"model.provider": "custom", "model.url": url, "model.key": KEY}
        checked = await models_of(known(tmp_path, answers))
    assert (checked.problem, checked.found) == (problem, found)
    assert heads[0].startswith("GET /v1/models ")
    assert f"Bearer {KEY}" in heads[0]


async def test_a_provider_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    answers = {"model.provider": "custom", "model.url": "http://127.0.0.1:1/v1"}
    checked = await models_of(known(tmp_path, answers))
    assert checked.problem == "custom cannot be reached: ConnectError."


async def test_an_account_that_connects_is_good_and_is_ended(tmp_path: Path) -> None:
    answers = {"channel": "webhook", "channel.set.secret": "0123456789abcdef0123"}
    checked = await Checks(clock=SystemClock()).run("channel.check", known(tmp_path, answers))
    assert checked.problem is None
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("setup.")] == []


class Refusing:
    """An account whose provider does not take its token, and whose library says it aloud."""

    def __init__(self, ctx: Any) -> None:
        self.ctx = ctx

    async def run(self) -> None:
        raise AuthExpired(f"the token {self.ctx.config.secret} was rejected\nsecond line")


class Silent(Refusing):
    async def run(self) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (Refusing, "the token {secret} was rejected"),
        (Silent, "It did not connect within 0 seconds."),
    ],
)
async def test_an_account_that_does_not_connect_is_a_problem(
    tmp_path: Path, kind: Any, problem: str
) -> None:
    config = WebhookAccount.model_validate({"secret": "0123456789abcdef0123"})
    trial = Trial("webhook", config, SystemClock(), tmp_path)
    checked = await trial.connect(kind, 0.05)
    assert checked.problem == problem.format(secret=config.secret)
    assert len(trial.tasks) == 0


async def test_secrets_are_not_in_what_is_said(tmp_path: Path, monkeypatch: Any) -> None:
    manifest = find_manifests()["webhook"]
    monkeypatch.setattr(type(manifest), "load", lambda _self: Refusing)
    answers = {"channel": "webhook", "channel.set.secret": "0123456789abcdef0123"}
    checked = await Checks(clock=SystemClock()).run("channel.check", known(tmp_path, answers))
    assert checked.problem == "the token … was rejected"
