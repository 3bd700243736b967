"""What a real OpenClaw gateway (2026.9.6, protocol 4) answered, as shapes.

Written from recordings of its stock clients, without their values. A member stands here when the
recordings always have it and a client of that protocol could look at it; members that belong to
rooms Portico does not have yet (placement on cloud workers, sharing roles, speech, …) do not.
"""

from __future__ import annotations

from typing import Any

from tests.contract.shapes import Is, Number

SESSIONS_SUMMARY = {
    "path": str,
    "count": int,
    "recent": [{"key": str, "updatedAt": (Number, None), "age": (Number, None)}],
}
HEALTH = {
    "ok": bool,
    "ts": int,
    "durationMs": Number,
    "channels": {},
    "channelOrder": [str],
    "channelLabels": {},
    "heartbeatSeconds": Number,
    "defaultAgentId": str,
    "agents": [
        {
            "agentId": str,
            "isDefault": bool,
            "heartbeat": {
                "enabled": bool,
                "every": str,
                "everyMs": (Number, None),
                "prompt": str,
                "target": str,
                "ackMaxChars": int,
            },
            "sessions": SESSIONS_SUMMARY,
        }
    ],
    "sessions": SESSIONS_SUMMARY,
}
PRESENCE = {
    "host": str,
    "version": str,
    "platform": str,
    "mode": str,
    "reason": str,
    "text": str,
    "ts": int,
    "instanceId?": str,
    "deviceFamily?": str,
    "clientId?": str,
    "onlineSince?": int,
}
HELLO = {
    "type": Is("hello-ok"),
    "protocol": Is(4),
    "server": {
        "version": str,
        "bootId": str,
        "connId": str,
        "controlUiBuildSource": Is("configured"),
    },
    "features": {"methods": [str], "events": [str], "capabilities": [str]},
    "snapshot": {
        "presence": [PRESENCE],
        "health": HEALTH,
        "stateVersion": {"presence": int, "health": int},
        "uptimeMs": int,
        "sessionDefaults": {
            "defaultAgentId": str,
            "modelConfigured": Is(True),
            "selectionRequired": Is(False),
            "mainKey": str,
            "mainSessionKey": str,
            "scope": str,
        },
        "configPath?": str,
        "stateDir?": str,
        "authMode?": str,
    },
    "auth": {"role": str, "scopes": [str], "method": str},
    "policy": {
        "maxPayload": int,
        "maxBufferedBytes": int,
        "tickIntervalMs": int,
        "attachments": {"maxBytes": int, "maxImageBytes": int},
    },
}
MODEL = {"modelProvider": str, "model": str}
ROW = {
    "key": str,
    "kind": str,
    "agentId": str,
    "classification": str,
    "isMain": bool,
    "isBackground": bool,
    "updatedAt": (int, None),
    "archived": bool,
    "pinned": bool,
    "unread": bool,
    "totalTokensFresh": bool,
    "hasActiveRun": bool,
    "activeRunIds": [str],
    "modelOverrideSource": (str, None),
    "agentRuntime": {"id": str, "source": str},
    "snapshotAt": int,
    **MODEL,
    "sessionId?": str,
    "status?": str,
    "startedAt?": int,
    "endedAt?": int,
    "runtimeMs?": int,
    "lastRunId?": str,
    "label?": str,
    "displayName?": str,
}
# What a session shows once something was said in it.
SPOKEN_ROW = {
    **ROW,
    "sessionId": str,
    "createdAt": int,
    "updatedAt": int,
    "lastInteractionAt": int,
    "status": str,
    "startedAt": int,
    "endedAt": int,
    "runtimeMs": int,
    "lastRunId": str,
    "abortedLastRun": bool,
    "inputTokens": int,
    "outputTokens": int,
}
SESSIONS = {
    "ts": int,
    "path": str,
    "count": int,
    "totalCount": int,
    "limitApplied": int,
    "hasMore": bool,
    "nextOffset?": (int, None),
    "defaults": {"modelProvider": str, "model": str, "contextTokens": (int, None)},
    "sessions": [ROW],
}
USAGE = {
    "input": int,
    "output": int,
    "totalTokens": int,
    "cacheRead": int,
    "cacheWrite": int,
    "cost": {"total": Number},
}
MESSAGE = {
    "role": str,
    "content": (str, [{"type": str}]),
    "timestamp": int,
    "idempotencyKey?": str,
    "usage?": USAGE,
    "__openclaw": {"id": str, "seq": int, "recordTimestampMs?": int},
}
HISTORY = {
    "sessionKey": str,
    "messages": [MESSAGE],
    "pendingInputs": {"items": [{}], "total": int},
    "hasMore": bool,
    "totalMessages": int,
    "defaults": {"modelProvider": str, "model": str, "contextTokens": (int, None)},
    "sessionInfo": ROW,
}
ENTRY = {"sessionId": str, "lifecycleRevision": str, "updatedAt": int, "createdAt": int}
STARTED = {"runId": str, "status": Is("started")}
RUN_ACCEPTED = {
    "runId": str,
    "sessionKey": str,
    "agentId": str,
    "status": Is("accepted"),
    "acceptedAt": int,
}
RUN_DONE = {
    "runId": str,
    "status": Is("ok"),
    "summary": Is("completed"),
    "result": {
        "payloads": [{"text": str, "mediaUrl": None}],
        "meta": {
            "durationMs": int,
            "aborted": Is(False),
            "stopReason": str,
            "agentMeta": {
                "sessionId": str,
                "provider": str,
                "model": str,
                "usage": {"input": int, "output": int, "total": int},
            },
        },
    },
}
STATUS = {
    "runtimeVersion": str,
    "heartbeat": {
        "defaultAgentId": str,
        "agents": [{"agentId": str, "enabled": bool, "every": str, "everyMs": (Number, None)}],
    },
    "channelSummary": [str],
    "queuedSystemEvents": [str],
    "degradedSecretOwners": [{}],
    "degradedPlugins": [{}],
    "tasks": {"total": int, "active": int, "terminal": int, "failures": int, "byStatus": {}},
    "taskAudit": {"total": int, "warnings": int, "errors": int, "byCode": {}},
    "sessions": {
        "paths": [str],
        "count": int,
        "defaults": {"model": (str, None), "contextTokens": (int, None)},
        "recent": [{}],
        "byAgent": [{"agentId": str, "path": str, "count": int, "recent": [{}]}],
    },
    "pid": int,
}
SPOKEN = "agent:main:spoken"

# method, params, shape of the answer; asked in this order of a gateway where one message was
# answered in SPOKEN.
ANSWERS: list[tuple[str, dict[str, Any], Any]] = [
    ("health", {}, HEALTH),
    ("health", {"probe": True}, HEALTH),
    ("status", {}, STATUS),
    ("system-presence", {}, [PRESENCE]),
    ("last-heartbeat", {}, (None, {"ts": int})),
    (
        "agents.list",
        {},
        {
            "defaultId": str,
            "mainKey": str,
            "scope": str,
            "agents": [
                {
                    "id": str,
                    "agentRuntime": {"id": str, "source": str},
                    "model": {"primary": str},
                }
            ],
        },
    ),
    ("models.list", {}, {"models": [{"id": str, "name": str, "provider": str}]}),
    (
        "logs.tail",
        {"limit": 5},
        {
            "file": str,
            "cursor": int,
            "size": int,
            "lines": [str],
            "truncated": bool,
            "reset": bool,
        },
    ),
    ("chat.history", {"sessionKey": SPOKEN}, {**HISTORY, "sessionId": str}),
    ("chat.history", {"sessionKey": "agent:main:never"}, HISTORY),
    ("sessions.list", {"limit": 3}, {**SESSIONS, "sessions": [SPOKEN_ROW]}),
    ("sessions.list", {"limit": 3, "search": "nothing has this name"}, SESSIONS),
    ("sessions.subscribe", {"limit": 3}, {"subscribed": Is(True), "list": SESSIONS}),
    (
        "sessions.messages.subscribe",
        {"key": SPOKEN},
        {"subscribed": Is(True), "key": Is(SPOKEN)},
    ),
    (
        "sessions.preview",
        {"keys": [SPOKEN]},
        {
            "ts": int,
            "previews": [{"key": str, "status": Is("ok"), "items": [{"role": str, "text": str}]}],
        },
    ),
    ("sessions.describe", {"key": SPOKEN}, {"session": SPOKEN_ROW}),
    (
        "sessions.patch",
        {"key": SPOKEN, "label": "renamed"},
        {
            "ok": Is(True),
            "path": str,
            "key": Is(SPOKEN),
            "entry": {**ENTRY, "label": Is("renamed")},
            "resolved": MODEL,
        },
    ),
    ("sessions.list", {"limit": 3, "search": "renamed"}, {**SESSIONS, "count": Is(1)}),
    (
        "sessions.create",
        {"key": "agent:main:created"},
        {
            "ok": Is(True),
            "key": Is("agent:main:created"),
            "sessionId": str,
            "entry": ENTRY,
            "runStarted": Is(False),
            "resolved": MODEL,
        },
    ),
    ("sessions.compact", {"key": SPOKEN}, {"ok": bool, "key": Is(SPOKEN), "compacted": bool}),
    (
        "sessions.reset",
        {"key": SPOKEN},
        {"ok": Is(True), "key": Is(SPOKEN), "entry": ENTRY, "resolved": MODEL},
    ),
    (
        "chat.inject",
        {"sessionKey": SPOKEN, "message": "a note"},
        {"ok": Is(True), "messageId": str},
    ),
    (
        "sessions.messages.unsubscribe",
        {"key": SPOKEN},
        {"subscribed": Is(False), "key": Is(SPOKEN)},
    ),
    (
        "sessions.delete",
        {"key": "agent:main:created"},
        {"ok": Is(True), "key": str, "deleted": Is(True), "archived": [str]},
    ),
    ("agent.identity.get", {}, {"agentId": str}),
    ("config.get", {}, {"hash": str}),
]

# method, params, error code, text.
REFUSALS: list[tuple[str, dict[str, Any], str, str]] = [
    ("no.such.method", {}, "INVALID_REQUEST", "unknown method: no.such.method"),
    ("connect", {}, "INVALID_REQUEST", "connect is only valid as the first request"),
    (
        "agent",
        {"sessionKey": SPOKEN, "message": "x"},
        "INVALID_REQUEST",
        "invalid agent params: must have required property 'idempotencyKey'",
    ),
    (
        "agent",
        {"message": "", "idempotencyKey": "k"},
        "INVALID_REQUEST",
        "invalid agent params: at /message: must not have fewer than 1 characters",
    ),
    (
        "sessions.delete",
        {"key": "agent:main:main"},
        "INVALID_REQUEST",
        "Cannot delete the main session (agent:main:main).",
    ),
]

CHAT = {"runId": str, "sessionKey": str, "agentId": str, "seq": int}
SAID = {
    "role": Is("assistant"),
    "content": [{"type": Is("text"), "text": str}],
    "timestamp": int,
}
AGENT = {
    "runId": str,
    "stream": str,
    "data": {},
    "sessionKey": str,
    "agentId": str,
    "seq": int,
    "ts": int,
}
# By name and state, stream or phase.
EVENTS: dict[str, Any] = {
    "chat:status": {**CHAT, "phase": str},
    "chat:delta": {**CHAT, "deltaText": str, "message": SAID},
    "chat:final": {**CHAT, "message": {**SAID, "usage?": USAGE}},
    "chat:aborted": {**CHAT, "stopReason": str, "message": SAID},
    "agent:lifecycle:start": {**AGENT, "data": {"phase": str, "startedAt": int}},
    "agent:lifecycle:end": {
        **AGENT,
        "data": {"phase": str, "startedAt": int, "endedAt": int},
    },
    "agent:assistant": {**AGENT, "data": {"text": str, "delta": str}},
}

# The order of the events of a run, as regular expressions over their names.
ANSWERED = {
    "chat": r"(status )*(delta )+final ",
    "agent": r"(\S+ )*lifecycle:start (\S+ )*(assistant )+(\S+ )*lifecycle:end (\S+ )*",
}
ABORTED = {
    "chat": r"(status )*(delta )+aborted ",
    "agent": r"(\S+ )*lifecycle:start (\S+ )*(assistant )+(\S+ )*lifecycle:(end|error) (\S+ )*",
}

CHALLENGE = {"nonce": str, "ts": int, "capabilities?": [str]}
BACKEND = {"id": "gateway-client", "version": "2026.9.6", "platform": "linux", "mode": "backend"}
DROP = object()
ORIGIN_TEXT = (
    "origin not allowed (open the Control UI from the gateway host"
    " or allow it in gateway.controlUi.allowedOrigins)"
)

# What is changed in a good `connect`, and then: close code, error code, details.code, text.
CONNECT_REFUSALS: dict[str, tuple[dict[str, Any], tuple[int, str, str | None, str]]] = {
    "unknown client": (
        {"client": {**BACKEND, "id": "my-own-app"}},
        (
            1008,
            "INVALID_REQUEST",
            None,
            "invalid connect params: at /client/id: must be equal to one of the allowed values",
        ),
    ),
    "unknown mode": (
        {"client": {**BACKEND, "mode": "zzz"}},
        (
            1008,
            "INVALID_REQUEST",
            None,
            "invalid connect params: at /client/mode: must be equal to one of the allowed values",
        ),
    ),
    "no client": (
        {"client": DROP},
        (
            1008,
            "INVALID_REQUEST",
            None,
            "invalid connect params: must have required property 'client'",
        ),
    ),
    "unknown role": ({"role": "king"}, (1008, "INVALID_REQUEST", None, "invalid role")),
    "wrong token": (
        {"auth": {"token": "nope"}},
        (
            1008,
            "INVALID_REQUEST",
            "AUTH_TOKEN_MISMATCH",
            "unauthorized: gateway token mismatch (provide gateway auth token)",
        ),
    ),
    "no credential": (
        {"auth": DROP},
        (1008, "NOT_PAIRED", "DEVICE_IDENTITY_REQUIRED", "device identity required"),
    ),
    "protocol too old": (
        {"minProtocol": 1, "maxProtocol": 2},
        (1002, "INVALID_REQUEST", "PROTOCOL_MISMATCH", "protocol mismatch"),
    ),
    "protocol 3": (
        {"minProtocol": 3, "maxProtocol": 3},
        (1002, "INVALID_REQUEST", "PROTOCOL_MISMATCH", "protocol mismatch"),
    ),
    "protocol too new": (
        {"minProtocol": 5, "maxProtocol": 6},
        (1002, "INVALID_REQUEST", "PROTOCOL_MISMATCH", "protocol mismatch"),
    ),
    "page without an origin": (
        {"client": {**BACKEND, "id": "webchat-ui", "platform": "web", "mode": "webchat"}},
        (1008, "INVALID_REQUEST", "CONTROL_UI_ORIGIN_NOT_ALLOWED", ORIGIN_TEXT),
    ),
}

# The scopes that a connection without a device keeps of those it asks for.
KEPT_SCOPES: dict[str, tuple[dict[str, str], list[str]]] = {
    "backend": (BACKEND, ["operator.read", "operator.write"]),
    "cli": ({**BACKEND, "id": "cli", "mode": "cli"}, ["operator.read", "operator.write"]),
    "test": ({**BACKEND, "id": "test", "mode": "test"}, []),
}

# What a device is told when it is let in, and how it is listed.
DEVICE_AUTH = {"method": str, "role": str, "scopes": [str], "deviceToken": str, "issuedAtMs": int}
PAIRED_DEVICE = {
    "deviceId": str,
    "publicKey": str,
    "platform": str,
    "deviceFamily": str,
    "clientId": str,
    "clientMode": str,
    "role": str,
    "roles": [str],
    "scopes": [str],
    "approvedVia": Is("silent"),
    "createdAtMs": int,
    "approvedAtMs": int,
    "lastSeenAtMs": int,
    "lastSeenReason": Is("connect"),
    "connected": bool,
    "tokens": [{"role": str, "scopes": [str], "createdAtMs": int}],
}
# What is wrong with the proof, and what is said of it.
DEVICE_REFUSALS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "bad public key": (
        {"publicKey": "AAAA"},
        "DEVICE_AUTH_DEVICE_ID_MISMATCH",
        "device-id-mismatch",
        "device identity mismatch",
    ),
    "bad signature": (
        {"signature": "A" * 86},
        "DEVICE_AUTH_SIGNATURE_INVALID",
        "device-signature",
        "device signature invalid",
    ),
    "stale signature": (
        {"signedAt": 1_000_000},
        "DEVICE_AUTH_SIGNATURE_EXPIRED",
        "device-signature-stale",
        "device signature expired",
    ),
    "wrong nonce": (
        {"nonce": "00000000-0000-0000-0000-000000000000"},
        "DEVICE_AUTH_NONCE_MISMATCH",
        "device-nonce-mismatch",
        "device nonce mismatch",
    ),
}
