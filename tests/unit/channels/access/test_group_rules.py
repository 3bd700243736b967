"""What a group is set to: its agent, and the tools it leaves."""

from __future__ import annotations

from typing import Any

from portico.agents.echo import EchoRuntime
from portico.agents.service import Agent, Agents
from portico.channels.access.policy import ClosedPolicy, NoPairing
from portico.channels.model import InboundMessage, Peer, ReplyRoute
from portico.config.channels import AccountEntry
from portico.config.sections.channels import AccountConfig
from portico.inbox.policy import OPEN_DOOR
from portico.wiring.channels import AccountRules

CONFIG = {
    "agent": "helper",
    "groups": {"g1": {"agent": "Expert", "tools": {"deny": ["exec"]}}, "g2": {"agent": "nobody"}},
}


def rules(config: dict[str, Any] | None = CONFIG) -> AccountRules:
    agents = Agents([Agent(name, EchoRuntime()) for name in ("main", "helper", "expert")], "main")
    settings = None if config is None else AccountConfig.model_validate(config)
    return AccountRules(
        [AccountEntry("c", "a", enabled=True, config=settings)],
        agents=agents,
        doors={"webchat": OPEN_DOOR}.get,
        pairing=NoPairing(),
    )


def said(peer: Peer, account: str = "a") -> InboundMessage:
    return InboundMessage(
        channel="c", account=account, event_key="e", peer=peer, sender="7", text="hi"
    )


def test_a_group_names_its_agent_and_else_the_account_does() -> None:
    known = rules()
    assert known.agent_of(said(Peer("group", "g1"))) == "expert"
    assert known.agent_of(said(Peer("group", "g9"))) == "helper"
    assert known.agent_of(said(Peer("direct", "7"))) == "helper"
    assert known.agent_of(said(Peer("group", "g2"))) is None  # no such agent: bindings decide
    assert known.agent_of(said(Peer("direct", "7"), account="b")) is None


def test_a_group_takes_tools_away() -> None:
    known = rules()
    narrowed = known.tools_of(ReplyRoute("c", "a", Peer("group", "g1")))
    assert narrowed is not None
    assert narrowed.deny == ("exec",)
    assert known.tools_of(ReplyRoute("c", "a", Peer("group", "g9"))) is None
    assert known.tools_of(ReplyRoute("c", "a", Peer("direct", "7"))) is None
    assert known.tools_of(ReplyRoute("c", "b", Peer("group", "g1"))) is None


def test_doors_without_accounts_have_their_own_rules_and_the_rest_is_closed() -> None:
    known = rules(None)
    assert known.policy_of("webchat", "default") is OPEN_DOOR
    assert isinstance(known.policy_of("c", "a"), ClosedPolicy)
    assert isinstance(known.policy_of("nobody", "default"), ClosedPolicy)
