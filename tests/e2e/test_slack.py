"""Slack in a real process, with nothing but its tokens configured."""

from __future__ import annotations

import re

from tests.e2e.test_channels import Desk
from tests.fakes.slack import APP_TOKEN, BOT_TOKEN, FakeSlack
from tests.support.waiting import eventually


async def test_nothing_but_tokens_and_a_direct_message_is_answered_after_pairing(
    start_gateway,
) -> None:
    async with FakeSlack() as slack:
        tokens = {"botToken": BOT_TOKEN, "appToken": APP_TOKEN, "apiUrl": f"{slack.url}/api/"}
        auth = {"token": "0123456789abcdef0123456789abcdef"}
        desk = Desk(start_gateway({"gateway": {"auth": auth}, "channels": {"slack": tokens}}))
        ann = slack.person("Ann")
        slack.says(ann, "hello")
        (asked,) = await eventually(lambda: slack.texts(ann))
        code = re.search(r"code: (\S+)", asked)
        assert code is not None
        shown = await desk.run("pairing", "list")
        assert ann.id in shown
        assert "Ann" in shown
        await desk.run("pairing", "approve", "slack", code[1], "--notify")
        await eventually(lambda: len(slack.texts(ann)) == 2)
        slack.says(ann, "hello again")
        await eventually(lambda: slack.texts(ann)[2:] == ["Echo: hello again"])
        status = await desk.json("channels", "status", "slack", "--probe")
        (account,) = status["channelAccounts"]["slack"]
        assert account["connected"] is True
        assert account["probe"]["ok"] is True
        assert BOT_TOKEN not in str(status)
    assert slack.leaks == []
