"""Who is asked, and in which session: from a model name and headers to an agent and a key.

    model:   portico · openclaw · …/default · portico/<agent> · openclaw:<agent> · agent:<agent>
    headers: x-portico-agent-id, x-openclaw-agent-id · x-portico-session-key, …

A request without a session is a session of its own. `user` makes one session for each user. A
session key may name any session but those the gateway makes for its own work.

Source: OpenClaw gateway protocol, "OpenAI-compatible".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portico.agents.service import Agents
from portico.ids import new_uuid
from portico.protocol import keys
from portico.web.openai.problem import ModelNotFound, Refused

OWNER = "portico"
_FAMILIES = ("portico", "openclaw")
_AGENT_HEADERS = ("agent-id", "agent")
_RESERVED = ("subagent:", "cron:", "acp:")
MAX_USER = 256


@dataclass(frozen=True, slots=True)
class Target:
    """Who answers, where.

    Attributes:
        model: what the caller called it; goes back as it came.
        is_fresh: the session was made for this request alone.
    """

    agent_id: str
    model: str
    session_key: str
    is_fresh: bool = False


class Targets:
    """Resolves targets."""

    def __init__(self, agents: Agents, *, main_key: str) -> None:
        self._agents = agents
        self._main_key = main_key

    def resolve(
        self, headers: Mapping[str, str], *, model: str | None, user: str | None, prefix: str
    ) -> Target:
        """Return the target of a request.

        Args:
            prefix: the kind of session a request without one makes.

        Raises:
            ModelNotFound: no agent has the name.
            InvalidRequest: the agent or session in a header cannot be used.
        """
        name = (model or "").strip() or OWNER
        chosen = self.chosen(headers, name)
        wanted = header(headers, "session-key")
        if wanted:
            agent_id, key = self._given_key(wanted, chosen)
            return Target(agent_id, name, key)
        agent_id = chosen or self._agents.default_id
        if user and user.strip():
            return Target(agent_id, name, self._user_key(agent_id, prefix, user.strip()))
        return Target(agent_id, name, f"agent:{agent_id}:{prefix}:{new_uuid()}", is_fresh=True)

    def chosen(self, headers: Mapping[str, str], model: str | None) -> str | None:
        """Return the agent a request names; with a header, the model may be called anything.

        Raises:
            ModelNotFound: no agent has the name.
        """
        return self._by_header(headers) or self.agent_of((model or "").strip() or OWNER)

    def agent_of(self, model: str) -> str | None:
        """Return the agent a model name means; `None`: the default one.

        Raises:
            ModelNotFound: it means none.
        """
        name = model.lower()
        if name in _FAMILIES:
            return None
        family, rest = _split(name)
        if family not in {*_FAMILIES, "agent"} or not rest:
            raise ModelNotFound(model)
        if self._agents.find(rest) is not None:
            return rest
        if rest == "default" and family != "agent":
            return None
        raise ModelNotFound(model)

    def names(self) -> list[str]:
        """Return the model names that are listed."""
        ids = [agent.agent_id for agent in self._agents.list()]
        return [
            OWNER,
            f"{OWNER}/default",
            *(f"{OWNER}/{name}" for name in ids if name != "default"),
        ]

    def _by_header(self, headers: Mapping[str, str]) -> str | None:
        given = next(filter(None, (header(headers, name) for name in _AGENT_HEADERS)), "")
        return self._agents.get(keys.normalize_agent_id(given)).agent_id if given else None

    def _given_key(self, wanted: str, chosen: str | None) -> tuple[str, str]:
        default = chosen or self._agents.default_id
        key = keys.canonical(wanted, default_agent=default, main_key=self._main_key)
        if not key.startswith("agent:"):
            raise Refused("this session key cannot be used here", param="session-key")
        parsed = keys.parse(key)
        if parsed.rest.startswith(_RESERVED):
            raise Refused(
                f'session keys with "{parsed.rest.partition(":")[0]}:" are reserved',
                param="session-key",
            )
        if chosen is not None and parsed.agent_id != chosen:
            raise Refused(
                f'the session belongs to agent "{parsed.agent_id}", not to "{chosen}"',
                param="session-key",
            )
        return self._agents.get(parsed.agent_id).agent_id, key

    def _user_key(self, agent_id: str, prefix: str, user: str) -> str:
        if len(user) > MAX_USER or not user.isprintable():
            raise Refused(f"`user` must be at most {MAX_USER} printable characters", param="user")
        key = f"agent:{agent_id}:{keys.keep_case(f'{prefix}-user:{user}')}"
        return keys.canonical(key, default_agent=agent_id)


def header(headers: Mapping[str, str], name: str) -> str:
    """Return `x-portico-<name>`, else `x-openclaw-<name>`, else nothing."""
    for family in _FAMILIES:
        found = headers.get(f"x-{family}-{name}", "").strip()
        if found:
            return found
    return ""


def _split(name: str) -> tuple[str, str]:
    cut = min((at for at in (name.find("/"), name.find(":")) if at > 0), default=0)
    return (name[:cut], name[cut + 1 :]) if cut else (name, "")
