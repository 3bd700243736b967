"""A gateway told nothing but a homeserver and a token answers a message, after pairing."""

from __future__ import annotations

import re

from tests.e2e.test_channels import Desk
from tests.support.synapse import Synapse
from tests.support.waiting import eventually


async def test_a_homeserver_and_a_token_are_enough(start_gateway, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    gateway = start_gateway(
        {
            "gateway": {"auth": {"token": "0123456789abcdef0123456789abcdef"}},
            "channels": {"matrix": {"homeserver": synapse.url, "accessToken": bot.token}},
        }
    )
    desk = Desk(gateway)
    room_id = ann.room(bot, is_direct=True)
    ann.say(room_id, "hello?")
    (asked,) = await eventually(lambda: ann.said_by(bot, room_id))
    code = re.search(r"code: (\S+)", asked)
    assert code is not None, asked
    approved = await desk.run("pairing", "approve", "matrix", code[1])
    assert approved == f"Approved: {ann.user_id} may write to matrix:default\n"
    ann.say(room_id, "hello")
    await eventually(lambda: ann.said_by(bot, room_id)[1:] == ["Echo: hello"])
    status = await desk.json("channels", "status", "matrix", "--probe")
    (account,) = status["channelAccounts"]["matrix"]
    assert account["connected"] is True
    assert account["probe"]["user"]["id"] == bot.user_id
    await desk.json("channels", "logout", "matrix")
    assert bot.token not in gateway.log()
