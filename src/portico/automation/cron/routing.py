"""Where a run happens and where its answer goes: pure functions, and one work that looks it up.

Guarantees: the route is decided when the run begins and never again; an answer that is already in a
conversation is not sent into the same conversation once more.

Source: OpenClaw gateway protocol, "cron.*"; architecture, "Session keys".
"""

from __future__ import annotations

import msgspec

from portico.automation.cron.model import Delivery, Job
from portico.channels.model import Peer, ReplyRoute
from portico.channels.registry import DEFAULT_ACCOUNT, ChannelRegistry
from portico.channels.webchat import CHANNEL as CHAT
from portico.sessions import transcript
from portico.store import Work

LAST = "last"
SESSION_PREFIX = "session:"


def session_key_of(job: Job, agent_id: str, slot: str, *, main_key: str) -> str:
    """Return the session a run happens in; an isolated run has one of its own."""
    target = job.definition.session_target
    if target == "isolated":
        return f"agent:{agent_id}:cron:{job.job_id}:run:{slot}"
    if target.startswith(SESSION_PREFIX):
        return target.removeprefix(SESSION_PREFIX)
    return job.definition.session_key or f"agent:{agent_id}:{main_key}"


def is_isolated(job: Job) -> bool:
    """Whether each run has a session of its own."""
    return job.definition.session_target == "isolated"


def route_of(
    job: Job, agent_id: str, session_key: str, *, senders: ChannelRegistry, main_key: str
) -> Work[ReplyRoute | None]:
    """Return where a run's answer is sent; `None`: it is only kept."""
    delivery = job.definition.delivery
    if delivery is None:
        if is_isolated(job):
            return None
        delivery = Delivery(mode="announce")  # an event in a conversation is answered there
    if delivery.mode == "none":
        return None
    if delivery.channel not in {None, LAST}:
        return _explicit(delivery, f"agent:{agent_id}:{main_key}")
    anchor = job.definition.session_key or f"agent:{agent_id}:{main_key}"
    if not is_isolated(job):
        anchor = session_key
    last = yield from last_route(anchor, senders)
    if last is not None:
        peer = last.peer if delivery.to is None else Peer("direct", delivery.to)
        account = delivery.account_id or last.account
        return ReplyRoute(last.channel, account, peer, _thread(delivery) or last.thread_id)
    return _chat_of(anchor) if anchor != session_key else None


def _explicit(delivery: Delivery, main_session: str) -> ReplyRoute:
    channel = str(delivery.channel)
    to = delivery.to or (main_session if channel == CHAT else "")
    account = delivery.account_id or DEFAULT_ACCOUNT
    return ReplyRoute(channel, account, Peer("direct", to), _thread(delivery))


def _thread(delivery: Delivery) -> str | None:
    return None if delivery.thread_id is None else str(delivery.thread_id)


def _chat_of(session_key: str) -> ReplyRoute:
    return ReplyRoute(CHAT, DEFAULT_ACCOUNT, Peer("direct", session_key))


def last_route(session_key: str, senders: ChannelRegistry) -> Work[ReplyRoute | None]:
    """Return where a session's last message came from, when answers can be sent there."""
    session = yield from transcript.find_session(session_key)
    if session is None or session.reply_route is None:
        return None
    route = msgspec.convert(session.reply_route, ReplyRoute)
    return None if senders.is_mailbox(route.channel) else route


def notice_route(job: Job, agent_id: str, *, main_key: str) -> ReplyRoute:
    """Return where a person is told that a job was switched off: in the agent's main chat."""
    return _chat_of(job.definition.session_key or f"agent:{agent_id}:{main_key}")
