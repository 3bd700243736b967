"""A real Matrix homeserver: Synapse from its wheel, in a process of its own, on a free port.

One for all tests of a worker, started when the first of them asks for it (about two seconds), with
an SQLite file in a temporary folder; people are cheap, so each test makes its own. It limits nobody
unless a test asks for that.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx2
import pytest

from tests.support.ports import unused_port

SECRET = "registers-users-of-tests"
NAME = "portico.test"
START_S = 60.0
_FREE = {"per_second": 100_000, "burst_count": 100_000}
_LIMITS = {
    "rc_message": _FREE,
    "rc_registration": _FREE,
    "rc_admin_redaction": _FREE,
    "rc_reports": _FREE,
    "rc_joins": {"local": _FREE, "remote": _FREE},
    "rc_joins_per_room": _FREE,
    "rc_invites": {"per_room": _FREE, "per_user": _FREE, "per_issuer": _FREE},
    "rc_login": {"address": _FREE, "account": _FREE, "failed_attempts": _FREE},
    "rc_media_create": _FREE,
}
_numbers = itertools.count(1)


class Synapse:
    """One homeserver. Stop it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx2.Client(base_url=self.url, timeout=30, trust_env=False)

    def start(self) -> Self:
        """Start it, and return when it answers."""
        config = self._folder / "homeserver.json"
        config.write_text(json.dumps(self._config()))
        command = [sys.executable, "-m", "synapse.app.homeserver", "--config-path", str(config)]
        keys = subprocess.run([*command, "--generate-keys"], capture_output=True, check=False)
        assert keys.returncode == 0, keys.stderr.decode()
        with (self._folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait()
        return self

    def stop(self) -> None:
        self.kill()
        self.http.close()

    def kill(self) -> None:
        """End the process; it can be started again."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _wait(self) -> None:
        deadline_s = time.monotonic() + START_S
        while True:
            assert self._process is not None
            assert self._process.poll() is None, (self._folder / "log.txt").read_text()
            assert time.monotonic() < deadline_s, "Synapse did not start"
            try:
                if self.http.get("/_matrix/client/versions").status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.05)

    def _config(self) -> dict[str, Any]:
        logging = self._folder / "logging.json"
        console = {"class": "logging.StreamHandler", "level": "WARNING"}
        levels = {"version": 1, "handlers": {"console": console}}
        logging.write_text(json.dumps({**levels, "root": {"handlers": ["console"]}}))
        resources = [{"names": ["client"], "compress": False}]
        return {
            "server_name": NAME,
            "listeners": [
                {
                    "port": self.port,
                    "bind_addresses": ["127.0.0.1"],
                    "type": "http",
                    "tls": False,
                    "resources": resources,
                }
            ],
            "database": {
                "name": "sqlite3",
                "args": {"database": str(self._folder / "homeserver.sqlite")},
            },
            "media_store_path": str(self._folder / "media"),
            "signing_key_path": str(self._folder / "signing.key"),
            "pid_file": str(self._folder / "pid"),
            "log_config": str(logging),
            "registration_shared_secret": SECRET,
            "macaroon_secret_key": "a-key-of-tests",
            "form_secret": "a-form-of-tests",
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            "report_stats": False,
            "bcrypt_rounds": 4,
            "presence": {"enabled": False},
            "max_upload_size": "3M",
            **_LIMITS,
        }

    # -- people ----------------------------------------------------------------------------------

    def person(self, name: str = "ann", *, display_name: str | None = None) -> Person:
        """Register somebody new."""
        return self._register(f"{name}-{next(_numbers)}", display_name or name.title())

    def _register(self, name: str, display_name: str, *, is_admin: bool = False) -> Person:
        path = "/_synapse/admin/v1/register"
        nonce = self.http.get(path).json()["nonce"]
        password = f"password-of-{name}"
        said = [nonce, name, password, "admin" if is_admin else "notadmin"]
        digest = hmac.new(SECRET.encode(), "\0".join(said).encode(), hashlib.sha1).hexdigest()
        body = {
            "nonce": nonce,
            "username": name,
            "password": password,
            "displayname": display_name,
            "admin": is_admin,
            "mac": digest,
        }
        made = self.http.post(path, json=body)
        assert made.status_code == 200, made.text
        found = made.json()
        login = found["access_token"], found["device_id"]
        return Person(self.http, self.url, found["user_id"], password, *login)

    def limit(self, person: Person, *, per_second: float, burst: int) -> None:
        """Let somebody send only so much."""
        admin = self._register(f"admin-{next(_numbers)}", "Admin", is_admin=True)
        admin.call(
            "POST",
            f"/_synapse/admin/v1/users/{quote(person.user_id)}/override_ratelimit",
            {"messages_per_second": int(per_second), "burst_count": burst},
        )


@dataclass
class Person:
    """Somebody with a plain HTTP client."""

    http: httpx2.Client
    url: str
    user_id: str
    password: str
    token: str
    device_id: str
    _since: str | None = None
    _txns: Iterator[int] = field(default_factory=itertools.count)

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Make a call, and return its answer."""
        headers = {"authorization": f"Bearer {self.token}"}
        answer = self.http.request(method, path, json=body, params=query, headers=headers)
        assert answer.status_code == 200, (method, path, answer.text)
        return answer.json()

    def room(self, *invited: Person, is_direct: bool = False, **settings: Any) -> str:
        """Make a room."""
        body = {
            "preset": "trusted_private_chat",
            "is_direct": is_direct,
            "invite": [person.user_id for person in invited],
            **settings,
        }
        found: str = self.call("POST", "/_matrix/client/v3/createRoom", body)["room_id"]
        return found

    def join(self, room_id: str) -> None:
        self.call("POST", f"/_matrix/client/v3/join/{quote(room_id)}", {})

    def leave(self, room_id: str) -> None:
        self.call("POST", f"/_matrix/client/v3/rooms/{quote(room_id)}/leave", {})

    def say(self, room_id: str, text: str, **content: Any) -> str:
        """Say something; return the event's id."""
        return self.event(room_id, "m.room.message", {"msgtype": "m.text", "body": text, **content})

    def event(self, room_id: str, kind: str, content: dict[str, Any]) -> str:
        path = f"/_matrix/client/v3/rooms/{quote(room_id)}/send/{kind}/t{next(self._txns)}"
        found: str = self.call("PUT", path, content)["event_id"]
        return found

    def state(self, room_id: str, kind: str, content: dict[str, Any]) -> None:
        self.call("PUT", f"/_matrix/client/v3/rooms/{quote(room_id)}/state/{kind}/", content)

    def redact(self, room_id: str, event_id: str) -> str:
        where = f"{quote(room_id)}/redact/{quote(event_id)}/t{next(self._txns)}"
        found: str = self.call("PUT", f"/_matrix/client/v3/rooms/{where}", {})["event_id"]
        return found

    def read(self, room_id: str, event_id: str) -> None:
        where = f"{quote(room_id)}/receipt/m.read/{quote(event_id)}"
        self.call("POST", f"/_matrix/client/v3/rooms/{where}", {})

    def upload(self, content: bytes, mime_type: str = "application/octet-stream") -> str:
        """Upload a file; return its address."""
        answer = self.http.post(
            "/_matrix/media/v3/upload",
            content=content,
            headers={"authorization": f"Bearer {self.token}", "content-type": mime_type},
        )
        assert answer.status_code == 200, answer.text
        found: str = answer.json()["content_uri"]
        return found

    def download(self, mxc: str) -> bytes:
        answer = self.http.get(
            f"/_matrix/client/v1/media/download/{mxc.removeprefix('mxc://')}",
            headers={"authorization": f"Bearer {self.token}"},
        )
        assert answer.status_code == 200, answer.text
        return answer.content

    def members(self, room_id: str) -> set[str]:
        path = f"/_matrix/client/v3/rooms/{quote(room_id)}/joined_members"
        return set(self.call("GET", path)["joined"])

    def timeline(self, room_id: str) -> list[dict[str, Any]]:
        """Return everything in a room, oldest first."""
        found: list[dict[str, Any]] = []
        start: dict[str, str] = {}
        while True:
            path = f"/_matrix/client/v3/rooms/{quote(room_id)}/messages"
            page = self.call("GET", path, dir="f", limit=500, **start)
            found += page["chunk"]
            if not page.get("end") or not page["chunk"]:
                return found
            start = {"from": page["end"]}

    def said_by(self, other: Person, room_id: str) -> list[str]:
        """Return what somebody has said in a room, as it stands now: edits in place."""
        return [content["body"] for content in self.contents_by(other, room_id)]

    def contents_by(self, other: Person, room_id: str) -> list[dict[str, Any]]:
        """Return the messages of somebody in a room, edits in place, without those taken back."""
        return whole(e for e in self.timeline(room_id) if e["sender"] == other.user_id)

    def invitations(self) -> list[str]:
        """Return the rooms this person is asked into."""
        # Synapse keeps answers to the same first question for two minutes.
        found = self.call("GET", "/_matrix/client/v3/sync", timeout=next(self._txns))
        return [*found.get("rooms", {}).get("invite", {})]

    def news(self) -> list[tuple[str, dict[str, Any]]]:
        """Return (room, event) for what has happened since the last call; at once."""
        limits = {
            "presence": {"not_types": ["*"]},
            "room": {"timeline": {"limit": 1000}, "ephemeral": {"not_types": ["*"]}},
        }
        since = {} if self._since is None else {"since": self._since}
        found = self.call(
            "GET", "/_matrix/client/v3/sync", timeout=0, filter=json.dumps(limits), **since
        )
        self._since = found["next_batch"]
        joined = found.get("rooms", {}).get("join", {})
        return [
            (room_id, event)
            for room_id, room in joined.items()
            for event in room["timeline"]["events"]
        ]


def whole(events: Any) -> list[dict[str, Any]]:
    """Fold edits and redactions into the messages they are about."""
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        if event["type"] != "m.room.message" or "body" not in event["content"]:
            continue
        relation = event["content"].get("m.relates_to", {})
        if relation.get("rel_type") == "m.replace":
            if relation["event_id"] in found:
                found[relation["event_id"]] = event["content"]["m.new_content"]
        else:
            found[event["event_id"]] = event["content"]
    return [*found.values()]


@pytest.fixture(scope="session")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """A homeserver, shared by all tests of this worker."""
    server = Synapse(tmp_path_factory.mktemp("synapse"))
    try:
        yield server.start()
    finally:
        server.stop()
