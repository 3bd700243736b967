"""Which events of the gateway are worth a notification, and what it says.

Guarantees: nothing here waits or raises; what an event does not say as expected is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from portico.events.hub import Hub
from portico.protocol import keys
from portico.push.model import Notice

EVENTS = ("exec.approval.requested", "question.requested", "chat", "cron")
MAX_TEXT = 500


class Notices:
    """Turns events into notices.

    Args:
        is_elsewhere: whether a session's answers go out through a channel, where they notify.
        send: tells the browsers.
    """

    def __init__(
        self, hub: Hub, *, is_elsewhere: Callable[[str], bool], send: Callable[[Notice], None]
    ) -> None:
        self._hub = hub
        self._is_elsewhere = is_elsewhere
        self._send = send

    def begin(self) -> None:
        """Hear of events from now on."""
        for name in EVENTS:
            self._hub.listen(name, self.heard)

    def heard(self, name: str, payload: Any) -> None:
        """Take an event."""
        if not isinstance(payload, Mapping):
            return
        notice = {
            "exec.approval.requested": _approval,
            "question.requested": _question,
            "chat": self._answer,
            "cron": _job,
        }[name](payload)
        if notice is not None:
            self._send(notice)

    def _answer(self, payload: Mapping[str, Any]) -> Notice | None:
        """An answer, when nobody is there to see it come."""
        key = str(payload.get("sessionKey", ""))
        message = payload.get("message")
        if payload.get("state") != "final" or not isinstance(message, Mapping):
            return None
        if self._is_elsewhere(key) or self._hub.receivers("chat"):
            return None
        agent = str(payload.get("agentId", ""))
        return Notice(
            topic="agent_finished",
            title="An answer",
            body="An agent has answered.",
            subject=agent,
            text=_text(message.get("content")),
            agent_id=agent,
            session_key=key,
            tag=f"answer:{key}",
        )


def elsewhere(is_channel: Callable[[str], bool]) -> Callable[[str], bool]:
    """Return whether a session's key names a channel."""

    def decide(key: str) -> bool:
        parts = keys.parse(key).rest.split(":") if key.startswith("agent:") else key.split(":")
        return len(parts) > 1 and parts[0] != "webchat" and is_channel(parts[0])

    return decide


def _approval(payload: Mapping[str, Any]) -> Notice | None:
    request = payload.get("request")
    if not isinstance(request, Mapping):
        return None
    agent = str(request.get("agentId") or "")
    return Notice(
        topic="approval_requested",
        title="An approval is needed",
        body="An agent asks whether it may do something.",
        subject=agent,
        text=str(request.get("command") or "")[:MAX_TEXT],
        agent_id=agent or None,
        session_key=request.get("sessionKey"),
        tag=f"approval:{payload.get('id')}",
    )


def _question(payload: Mapping[str, Any]) -> Notice | None:
    questions = payload.get("questions")
    first = questions[0] if isinstance(questions, list) and questions else None
    agent = payload.get("agentId")
    return Notice(
        topic="agent_question",
        title="A question",
        body="An agent asks something.",
        subject=str(agent or ""),
        text=str(first.get("question", ""))[:MAX_TEXT] if isinstance(first, Mapping) else "",
        agent_id=agent,
        session_key=payload.get("sessionKey"),
        tag=f"question:{payload.get('id')}",
    )


def _job(payload: Mapping[str, Any]) -> Notice | None:
    if payload.get("action") != "finished" or payload.get("status") != "error":
        return None
    job = payload.get("job")
    name = job.get("name") if isinstance(job, Mapping) else None
    agent = job.get("agentId") if isinstance(job, Mapping) else None
    return Notice(
        topic="scheduled_task_failed",
        title="A job has failed",
        body="A scheduled job did not work.",
        subject=str(name or payload.get("jobId") or ""),
        text=str(payload.get("error") or "")[:MAX_TEXT],
        agent_id=agent,
        tag=f"job:{payload.get('jobId')}",
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content[:MAX_TEXT]
    parts = content if isinstance(content, list) else ()
    texts = (str(part.get("text", "")) for part in parts if isinstance(part, Mapping))
    return " ".join("".join(texts).split())[:MAX_TEXT]
