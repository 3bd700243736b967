"""A program on two pipes that misbehaves: `python acp_rogue.py HOW`. No library, no mercy.

It shakes hands and opens a session as it should, unless HOW is about that, and misbehaves when it
is asked something.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

HOW = sys.argv[1]
OUT = sys.stdout.buffer


def write(message: Any) -> None:
    OUT.write((message if isinstance(message, bytes) else json.dumps(message).encode()) + b"\n")
    OUT.flush()


def say(text: Any) -> None:
    update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    tell(update)


def tell(update: Any, session: str = "s") -> None:
    params = {"sessionId": session, "update": update}
    write({"jsonrpc": "2.0", "method": "session/update", "params": params})


def sleep_for_ever() -> None:
    while True:
        time.sleep(60)


def start() -> None:
    if HOW == "exits at once":
        sys.stderr.write("planted reason\n")
        sys.exit(3)
    if HOW == "never answers":
        sleep_for_ever()
    if HOW == "writes only junk":
        while True:
            write(b"npm WARN deprecated")
    if HOW == "a line without end":
        while True:
            OUT.write(b"x" * 65_536)
    if HOW == "floods stderr":
        sys.stderr.write("noise " * 3_000_000)
    if HOW == "closes stdout":
        os.close(1)
        sleep_for_ever()
    if HOW == "junk before the handshake":
        for line in (b"Welcome!", b"{", b"[1]", b"5", b'"x"', b"\xff\xfe", b"{}", b"[" * 5_000):
            write(line)
        write({"id": ["odd"], "result": 1})
        write({"id": 77, "result": {}})
        write({"id": 78, "error": "text"})
        write({"method": 5, "id": 1})
        write({"jsonrpc": "2.0", "id": "q", "method": "fs/read_text_file", "params": {"path": "/"}})
        write({"jsonrpc": "2.0", "id": "r", "method": "terminal/create", "params": []})
        write({"jsonrpc": "2.0", "method": "session/update", "params": "text"})
        write({"jsonrpc": "2.0", "id": "p", "method": "session/request_permission", "params": None})
    if HOW in {"ignores everything", "leaves a child"}:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = "import signal,time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
        process = subprocess.Popen([sys.executable, "-c", child])
        with open(os.environ["PIDS"], "a") as file:  # noqa: PTH123 - the smallest program that can
            file.write(f"{os.getpid()} {process.pid}\n")


def answer(request: dict[str, Any]) -> Any:
    match request["method"]:
        case "initialize":
            version = 99 if HOW == "another version" else 1
            capabilities: Any = "text" if HOW == "bad capabilities" else {}
            return {"protocolVersion": version, "agentCapabilities": capabilities}
        case "session/new":
            if HOW == "is not logged in":
                return {"error": {"code": -32000, "message": "Authentication required"}}
            return {"sessionId": 5 if HOW == "bad session" else "s"}
        case "session/prompt":
            return misbehave(request)
        case _:
            return {}


def misbehave(request: dict[str, Any]) -> Any:
    match HOW:
        case "is logged out":
            return {"error": {"code": -32000, "message": "Authentication required"}}
        case "dies":
            say("half of it")
            os.kill(os.getpid(), signal.SIGKILL)
        case "hangs" | "ignores everything":
            say("half of it")
            sleep_for_ever()
        case "leaves a child":
            say("done")
            sys.stdout.flush()
        case "answers nonsense":
            return {"stopReason": "because"}
        case "answers no object":
            return "yes"
        case "talks for ever":
            while True:
                say("x" * 10_000)
        case "writes a huge line":
            OUT.write(b'{"x": "' + b"x" * 20_000_000 + b'"}\n')
            OUT.flush()
            sleep_for_ever()
        case "says odd things":
            for update in odd_updates():
                tell(update)
            tell(
                {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "!"}},
                "z",
            )
            say("fine")
        case "asks a hundred times":
            for number in range(100):
                call = {"toolCallId": f"c{number}", "title": "again"}
                params = {"sessionId": "s", "toolCall": call, "options": []}
                method = "session/request_permission"
                write({"jsonrpc": "2.0", "id": f"p{number}", "method": method, "params": params})
            sleep_for_ever()
        case "behaves":
            facts = {"pid": os.getpid(), "cwd": os.getcwd(), "env": dict(os.environ)}  # noqa: PTH109
            say(json.dumps(facts))
        case "waits":
            say("waiting")
            cancelled = json.loads(sys.stdin.buffer.readline())
            return {"stopReason": "cancelled" if "cancel" in cancelled["method"] else "refusal"}
        case _:
            say("fine")
    return {"stopReason": "end_turn"}


def odd_updates() -> list[Any]:
    return [
        None,
        5,
        {},
        {"sessionUpdate": ["x"]},
        {"sessionUpdate": "agent_message_chunk"},
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": {"a": 1}}},
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "\ud800"}},
        {"sessionUpdate": "tool_call"},
        {"sessionUpdate": "tool_call", "toolCallId": 5},
        {"sessionUpdate": "tool_call", "toolCallId": "t", "title": {"x": 1}, "kind": 7},
        {
            "sessionUpdate": "tool_call_update",
            "toolCallId": "t",
            "status": "completed",
            "content": 5,
        },
        {"sessionUpdate": "tool_call_update", "toolCallId": "t", "status": "failed"},
        {"sessionUpdate": "plan", "entries": "text"},
        {"sessionUpdate": "plan", "entries": [None, {"status": 4}]},
        {"sessionUpdate": "new_thing"},
    ]


start()
for line in sys.stdin.buffer:
    request = json.loads(line)
    if "id" not in request or "method" not in request:
        continue
    result = answer(request)
    failed = isinstance(result, dict) and "error" in result
    body = result if failed else {"result": result}
    write({"jsonrpc": "2.0", "id": request["id"], **body})
if HOW in {"ignores everything", "leaves a child"}:
    sleep_for_ever()
