"""From sums to what the wire shows of them.

Source: OpenClaw gateway protocol, "sessions.usage", "sessions.usage.timeseries",
"sessions.usage.logs".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from portico.chat.usage.sums import Gathered, Run, SessionSum, Sum
from portico.sessions.model import Entry, Session, text_of

MAX_POINTS = 200
MAX_LOG_CHARS = 2_000
_LOGGED = frozenset({"user", "assistant", "tool", "toolResult"})


def session_usage(key: str, summed: SessionSum, session: Session | None) -> dict[str, Any]:
    """Return one session of the report."""
    whole = summed.whole
    provider, model = max(summed.by_model, key=lambda one: summed.by_model[one].last_at)
    shown: dict[str, Any] = {
        "key": key,
        "updatedAt": whole.last_at,
        "modelProvider": provider,
        "model": model,
        "usage": {
            **msgspec.to_builtins(whole.totals()),
            "firstActivity": whole.first_at,
            "lastActivity": whole.last_at,
            "durationMs": whole.last_at - whole.first_at,
            "activityDates": sorted(summed.by_day),
            "dailyBreakdown": [
                {"date": day, "tokens": one.total_tokens, "cost": round(one.cost, 8)}
                for day, one in sorted(summed.by_day.items())
            ],
            "messageCounts": whole.counts(),
            "toolUsage": whole.tool_use(),
            "modelUsage": _by_model(summed.by_model),
            **_latency(whole),
        },
    }
    if session is not None:
        shown |= {
            "sessionId": session.session_id,
            "agentId": session.agent_id,
            "channel": session.channel,
            "chatType": session.chat_type,
            "updatedAt": session.updated_at,
        }
        if session.label:
            shown["label"] = session.label
    return shown


def aggregates(found: Gathered) -> dict[str, Any]:
    """Return the report's sums from every side."""
    by_provider: defaultdict[str, list[Sum]] = defaultdict(list)
    for (provider, _), summed in found.by_model.items():
        by_provider[provider].append(summed)
    return {
        "messages": found.total.counts(),
        "tools": found.total.tool_use(),
        "byModel": _by_model(found.by_model),
        "byProvider": [
            {
                "provider": provider,
                "count": sum(one.runs for one in sums),
                "totals": _together(sums).totals(),
            }
            for provider, sums in sorted(by_provider.items())
        ],
        "byAgent": [
            {"agentId": agent, "totals": summed.totals()}
            for agent, summed in sorted(found.by_agent.items())
        ],
        "byChannel": [
            {"channel": channel, "totals": summed.totals()}
            for channel, summed in sorted(found.by_channel.items())
        ],
        "daily": [_day(day, summed) for day, summed in sorted(found.by_day.items())],
        "modelDaily": [
            {
                "date": day,
                "provider": provider,
                "model": model,
                "tokens": summed.total_tokens,
                "cost": round(summed.cost, 8),
                "count": summed.runs,
            }
            for (day, (provider, model)), summed in sorted(found.by_day_and_model.items())
        ],
        "dailyLatency": [
            {"date": day, **latency}
            for day, summed in sorted(found.by_day.items())
            if (latency := summed.latency()) is not None
        ],
        **_latency(found.total),
    }


def points(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Return a session's use over time, oldest first; of many runs, neighbours together."""
    used = [run for run in runs if run.calls or run.usage.input or run.usage.output]
    size = -(-len(used) // MAX_POINTS) or 1
    shown: list[dict[str, Any]] = []
    all_tokens, all_cost = 0, 0.0
    for start in range(0, len(used), size):
        summed = Sum()
        for run in used[start : start + size]:
            summed.add(run)
        read, written, cache_read, cache_write = summed.tokens
        all_tokens, all_cost = all_tokens + summed.total_tokens, all_cost + summed.cost
        shown.append(
            {
                "timestamp": summed.last_at,
                "input": read,
                "output": written,
                "cacheRead": cache_read,
                "cacheWrite": cache_write,
                "totalTokens": summed.total_tokens,
                "cost": round(summed.cost, 8),
                "cumulativeTokens": all_tokens,
                "cumulativeCost": round(all_cost, 8),
            }
        )
    return shown


def logs(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the messages of a transcript with what their answers used."""
    return [
        {
            "timestamp": entry.created_at,
            "role": entry.role,
            "content": text[:MAX_LOG_CHARS],
            **({"tokens": tokens} if (tokens := _tokens(entry)) else {}),
        }
        for entry in entries
        if entry.role in _LOGGED and (text := text_of(entry.content))
    ]


def _tokens(entry: Entry) -> int:
    usage = entry.meta.get("usage") or {}
    return int(usage.get("input", 0)) + int(usage.get("output", 0))


def _by_model(sums: Mapping[tuple[str, str], Sum]) -> list[dict[str, Any]]:
    return [
        {"provider": provider, "model": model, "count": summed.runs, "totals": summed.totals()}
        for (provider, model), summed in sorted(sums.items())
    ]


def _day(day: str, summed: Sum) -> dict[str, Any]:
    return {
        "date": day,
        "tokens": summed.total_tokens,
        "cost": round(summed.cost, 8),
        "messages": summed.counts()["total"],
        "toolCalls": summed.tools.total(),
        "errors": summed.failed,
    }


def _latency(summed: Sum) -> dict[str, Any]:
    latency = summed.latency()
    return {} if latency is None else {"latency": latency}


def _together(sums: Sequence[Sum]) -> Sum:
    whole = Sum()
    for one in sums:
        whole.tokens = [a + b for a, b in zip(whole.tokens, one.tokens, strict=True)]
        whole.cost += one.cost
        whole.without_cost += one.without_cost
    return whole
