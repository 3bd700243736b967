"""Every declared setting is really read by the gateway, or says here why it is read elsewhere.

A real gateway starts and stops in a process of its own, with everything switched on, while each
access to a field of a settings section is noted.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_camel

import portico
from portico.config.fields import all_fields
from portico.config.model import PorticoConfig
from portico.config.sections.base import Section
from portico.config.sections.node_host import NodeCommand, NodeExec, NodeHost
from tests.support.certificates import write_pair

WAIT_S = 60
AT_A_RESTART = "line.py, when it starts the next process"
AT_AN_UPDATE = "wiring/updates.py, when there is one"
EVERY_MESSAGE = "read for every message, none of which is sent here"
EVERY_ACCOUNT = "read for every account of a channel, when the file is checked"
BEFORE_THE_MODEL = "read when a reference is resolved, before there is a model"
EVERY_CHANGE = "read when the configuration changes"
EVERY_STRANGER = "read when a stranger writes to an account"
BY_A_NODE = "read by `portico node run`: tests/contract/test_node_host.py looks"
FROM_THE_TREE = "the command line reads it from the tree, without importing the model"

# Section.field: why the start of a gateway does not read it.
READ_ELSEWHERE = {
    "PorticoConfig.schema_url": "for the editor of the file",
    "Gateway.mode": "checked before the start: a gateway refuses mode remote",
    "Gateway.remote": FROM_THE_TREE,
    "RemoteGateway.url": FROM_THE_TREE,
    "RemoteGateway.token": FROM_THE_TREE,
    "RemoteGateway.password": FROM_THE_TREE,
    "RemoteGateway.tls_fingerprint": FROM_THE_TREE,
    "RemoteGateway.tls_ca_path": FROM_THE_TREE,
    "Tls.auto_generate": "read where no files are named",
    "Gateway.reload": EVERY_CHANGE,
    **{
        f"Reload.{name}": EVERY_CHANGE
        for name in ("mode", "debounce_ms", "trial_ms", "restart_cooldown_ms")
    },
    "PorticoConfig.node_host": BY_A_NODE,
    **{
        f"{section.__name__}.{name}": BY_A_NODE
        for section in (NodeHost, NodeExec, NodeCommand)
        for name in section.model_fields
    },
    "PorticoConfig.secrets": BEFORE_THE_MODEL,
    "Secrets.providers": BEFORE_THE_MODEL,
    **{
        f"SecretProvider.{name}": BEFORE_THE_MODEL
        for name in (
            *("source", "command", "args", "env", "pass_env", "timeout_ms", "json_only"),
            "allow_insecure_path",
        )
    },
    "Gateway.restart": AT_A_RESTART,
    "Restart.ready_ms": AT_A_RESTART,
    "Update.wheels": AT_AN_UPDATE,
    "Update.timeout_ms": AT_AN_UPDATE,
    "HookMapping.id": "for people who read the file",
    "ChannelDefaults.dm_policy": EVERY_ACCOUNT,
    "ChannelDefaults.group_policy": EVERY_ACCOUNT,
    "ChannelDefaults.pairing": EVERY_STRANGER,
    **{
        f"PairingLimits.{name}": EVERY_STRANGER
        for name in (
            "code_minutes",
            "pending",
            "per_hour",
            "wrong_codes",
            "lock_minutes",
            "rejected_hours",
        )
    },
    "QueueSettings.mode": EVERY_MESSAGE,
    "QueueSettings.cap": EVERY_MESSAGE,
    "QueueSettings.drop": EVERY_MESSAGE,
    "QueueSettings.by_channel": EVERY_MESSAGE,
}

PROGRAM = """
import asyncio, json, os, signal, sys
from pathlib import Path
from portico.config import load, resolve_paths
from portico.config.sections.base import Section
from portico import server

class Used(server.Gateway):
    def open(self):
        super().open()
        self.conversation.toolbox.registry.declared()  # an agent asks for its tools

server.Gateway = Used
loaded = load(resolve_paths(env={}, state_dir=Path(sys.argv[1])), env={})
loaded.require_startable()
read = set()
get = Section.__getattribute__

def noting(self, name):
    if name in type(self).model_fields:
        read.add(f"{type(self).__name__}.{name}")
    return get(self, name)

Section.__getattribute__ = noting
stop = lambda _server: os.kill(os.getpid(), signal.SIGTERM)
assert asyncio.run(server.serve(loaded, env={}, on_ready=stop)).code == 0
print(json.dumps(sorted(read)))
"""


def everything_on(directory: Path) -> dict[str, Any]:
    cert, key = write_pair(directory)
    http = {"type": "http", "url": "http://127.0.0.1:1/turn", "token": "t"}
    acp = {"type": "acp", "command": "/no", "args": ["x"], "env": {"A": "b"}, "cwd": "/"}
    agent = {"runtime": {"type": "python", "import": "json:dumps"}, "identity": {"name": "B"}}
    return {
        "gateway": {
            "port": 0,
            "bind": "custom",
            "customBindHost": "127.0.0.1",
            "auth": {"mode": "token", "token": "0123456789abcdef0123456789abcdef"},
            "tls": {"enabled": True, "certPath": str(cert), "keyPath": str(key)},
            "messages": {"allowUsers": ["u"]},
            "http": {
                "endpoints": {
                    "chatCompletions": {"enabled": True},
                    "responses": {"enabled": True},
                    "mcp": {"enabled": True},
                }
            },
        },
        "hooks": {
            "enabled": True,
            "token": "a-token-of-hooks-0123456789",
            "mappings": [
                {"match": {"path": "a"}, "verify": {"type": "github", "secret": "12345678"}},
                {"match": {"path": "b"}, "action": "wake"},
            ],
        },
        "skills": {"entries": {"hat": {"enabled": True}}},
        "tts": {
            "providers": {
                "openai": {},
                "elevenlabs": {},
                "tts-local-cli": {},
            },
            "personas": {"butler": {"providers": {"openai": {}}}},
        },
        "browser": {"enabled": True},
        "canvasHost": {"enabled": True},
        "mcp": {"servers": {"far": {"url": "http://127.0.0.1:1/mcp"}, "near": {"command": "/no"}}},
        "tools": {
            "byChannel": {"http": {"deny": ["exec"]}},
            "media": {"audio": {"models": [{"provider": "lab", "model": "m"}, {"command": "/no"}]}},
        },
        "budgets": {"limits": [{"scope": "agent", "id": "a", "tokens": 10**6, "usd": 5}]},
        "models": {
            "providers": {
                "lab": {"baseUrl": "http://127.0.0.1:1/v1", "models": [{"id": "m", "cost": {}}]}
            }
        },
        "bindings": [{"agentId": "a", "match": {"channel": "x", "peer": {"kind": "dm", "id": 1}}}],
        "agents": {
            "defaults": {
                "models": {"lab/m": {"alias": "best"}},
                "heartbeat": {"activeHours": {"start": "08:00"}},
            },
            "list": [{"id": "a", "name": "A"}],
            "entries": {
                "b": agent,
                "c": {"model": "best"},
                "d": {"runtime": http},
                "e": {"runtime": acp},
            },
        },
    }


def what_a_gateway_reads(directory: Path) -> set[str]:
    config = directory / "portico.json"
    config.write_text(json.dumps(everything_on(directory)))
    config.chmod(0o600)
    source = Path(portico.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(directory)],
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_every_setting_is_read(tmp_path: Path) -> None:
    sections: set[type[Section]] = {PorticoConfig}
    sections |= {inner for _, _, inner in all_fields() if inner is not None}
    declared = {f"{one.__name__}.{name}" for one in sections for name in one.model_fields}
    read = what_a_gateway_reads(tmp_path)
    assert read <= declared
    assert declared - read - set(READ_ELSEWHERE) == set(), "read them, or move them to not_used"
    assert set(READ_ELSEWHERE) <= declared - read, "read by the gateway after all"


def test_what_is_read_elsewhere_is_named_there() -> None:
    root = Path(portico.__file__).parent
    code = "\n".join(
        file.read_text() for file in root.rglob("*.py") if root / "config" not in file.parents
    )
    for setting, why in READ_ELSEWHERE.items():
        name = setting.partition(".")[2]
        pattern = rf'"{to_camel(name)}"' if why is FROM_THE_TREE else rf"_queue\.{name}\b"
        if why in {FROM_THE_TREE, EVERY_MESSAGE}:
            assert re.search(pattern, code), setting
