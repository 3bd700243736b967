"""A gateway with a mailbox and nothing else: a stranger is paired by mail, and answered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.e2e.gateway import GatewayProcess
from tests.e2e.test_channels import Desk
from tests.support.mail import PASSWORD, PEOPLE, body_of, post_office
from tests.support.waiting import eventually

NEEDED = ("address", "password", "imapHost", "imapPort", "smtpHost", "smtpPort", "tlsCaFile")


async def test_a_mail_is_answered_after_pairing(start_gateway: Any, tmp_path: Path) -> None:
    async with post_office(tmp_path / "mail") as post:
        account = {name: post.settings()[name] for name in NEEDED}
        auth = {"token": "0123456789abcdef0123456789abcdef"}
        config = {"gateway": {"auth": auth}, "channels": {"email": account}}
        gateway: GatewayProcess = start_gateway(config)
        desk = Desk(gateway)

        async def is_connected() -> bool:
            status = await desk.json("channels", "status", "email")
            return bool(status["channelAccounts"]["email"][0]["connected"])

        await eventually(is_connected)
        await post.deliver(post.mail("hello", Subject="Hi"))
        (first,) = await eventually(lambda: post.smtp.taken)
        code = re.search(r"code: (\S+)", body_of(first))
        assert code is not None
        assert first["Subject"] == "Re: Hi"
        approved = await desk.run("pairing", "approve", "email", code[1])
        assert f"ann@{PEOPLE} may write" in approved

        await post.deliver(post.mail("hello again", Subject="Hi"))
        await eventually(lambda: len(post.smtp.taken) == 2)
        assert body_of(post.smtp.taken[1]) == "Echo: Subject: Hi\n\nhello again"
        await eventually(lambda: _all_seen(post))

        probed = await desk.json("channels", "status", "email", "--probe")
        assert probed["channelAccounts"]["email"][0]["probe"]["ok"] is True
        assert PASSWORD not in gateway.log()
        assert "hello again" not in gateway.log()
        assert gateway.tracebacks() == []


async def _all_seen(post: Any) -> bool:
    return all((await post.imap.seen()).values())
