"""Many accounts in one process, half of them broken in every way there is."""

from __future__ import annotations

import asyncio
import gc
import ssl
from pathlib import Path
from typing import Any

from portico.testkit import FakeHttp, Reply, Request
from tests.fakes.webhook_partner import SECRET, Partner
from tests.support.http import House, house, listening, settings
from tests.support.waiting import eventually

GOOD = [f"good{number}" for number in range(10)]
STATES = {
    "badurl": {"unusable"},
    "revoked": {"login"},
    "refused": {"waiting", "starting", "closing"},
    "silent": {"starting", "waiting", "closing"},
}


class Ills(FakeHttp):
    """A Bot API that knows one token no more, and says nothing to another."""

    async def answer(self, request: Request) -> Reply:
        if request.path.startswith("/bot1:"):
            return Reply.json({"ok": False, "error_code": 401, "description": "Unauthorized"}, 401)
        await asyncio.Event().wait()
        raise AssertionError


def crowd(partner: Partner, ills: Ills) -> dict[str, Any]:
    """Ten good accounts, ten bad ones."""
    good = {name: {"url": f"{partner.url}/in"} for name in GOOD}
    bad = {f"badurl{number}": {"url": "nowhere"} for number in range(3)}
    shared = {"secret": SECRET, "dmPolicy": "open", "allowFrom": ["*"]}
    bots = {
        "revoked1": {"botToken": "1:x", "apiRoot": ills.url},
        "silent1": {"botToken": "2:x", "apiRoot": ills.url},
        "silent2": {"botToken": "3:x", "apiRoot": ills.url},
        "silent3": {"botToken": "4:x", "apiRoot": ills.url},
        "refused1": {"botToken": "5:x", "apiRoot": "http://127.0.0.1:1"},
        "refused2": {"botToken": "6:x", "apiRoot": "http://127.0.0.1:1"},
        "refused3": {"botToken": "7:x", "apiRoot": "http://127.0.0.1:1"},
    }
    return settings(
        session={"dmScope": "per-account-channel-peer"},
        channels={
            "webhook": {**shared, "accounts": good | bad},
            "telegram": {"accounts": bots},
        },
    )


def states(there: House, *names: str) -> dict[str, str]:
    accounts = there.gateway.path.accounts.all()
    return {one.account: one.state.value for one in accounts if one.account.startswith(names)}


def contexts() -> int:
    gc.collect()
    return sum(issubclass(type(one), ssl.SSLContext) for one in gc.get_objects())


async def test_ten_broken_accounts_hold_up_nobody(tmp_path: Path) -> None:
    before = contexts()
    async with (
        Partner("") as partner,
        Ills() as ills,
        house(tmp_path, crowd(partner, ills)) as there,
        listening(there.gateway) as url,
    ):
        await eventually(lambda: set(states(there, "good").values()) == {"connected"}, within_s=30)
        for name in GOOD:
            partner.door = f"{url}/integrations/webhook/{name}"
            await partner.post(
                f"e-{name}", f'{{"from": {{"id": "ann"}}, "text": "to {name}"}}'.encode()
            )
        await eventually(lambda: len(partner.sent()) == len(GOOD), within_s=30)
        for kind, expected in STATES.items():
            shown = states(there, kind)
            assert shown
            assert set(shown.values()) <= expected, shown
        await eventually(lambda: set(states(there, "revoked").values()) == {"login"})
        # What reading the authorities costs is paid once, not by each account.
        assert contexts() - before < 10
