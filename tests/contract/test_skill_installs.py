"""Installing and configuring skills, over the control plane of a whole gateway."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyjson5
import pytest

from portico.app import Gateway
from portico.protocol.errors import Forbidden, GatewayError, InvalidRequest, Unavailable
from tests.contract.test_skills import rpc
from tests.support.http import house, settings
from tests.support.skills import write_skill
from tests.unit.agents.skills.installing.test_archive import zipped

SKILL = b"---\nname: hat\ndescription: A hat.\n---\nWear it.\n"
ARCHIVE = zipped(("SKILL.md", SKILL))


@asynccontextmanager
async def gateway_in(folder: Path, **skills: Any) -> AsyncIterator[Gateway]:
    """A gateway whose configuration is in its file, so that it can be edited."""
    given = settings(skills=skills)
    (folder / "portico.json").write_text(json.dumps(given))
    async with house(folder, given) as inside:
        yield inside.gateway


async def shown(gateway: Gateway, name: str = "hat") -> dict[str, Any] | None:
    status = await rpc(gateway, "skills.status")
    found = (skill for skill in status["skills"] if skill["name"] == name)
    return next(found, None)


async def test_nothing_may_be_installed_that_is_not_allowed(tmp_path: Path) -> None:
    needs = "metadata: {openclaw: {install: [{kind: uv, package: hat}]}}\n"
    write_skill(tmp_path / "skills", "hat", front=needs)
    async with gateway_in(tmp_path) as gateway:
        for params, instead in (
            ({"source": "path", "path": "/x"}, "portico skills install"),
            ({"source": "url", "url": "https://example.org/x.zip"}, "download it"),
            ({"source": "upload", "uploadId": "u", "slug": "x"}, "portico skills install"),
            ({"name": "hat", "installId": "uv-0"}, "uv tool install hat"),
        ):
            with pytest.raises(Forbidden) as refused:
                await rpc(gateway, "skills.install", params)
            assert refused.value.details["instead"].startswith(instead)
        begin = {"kind": "skill-archive", "slug": "x", "sizeBytes": 1}
        with pytest.raises(Forbidden, match="allowUploadedArchives"):
            await rpc(gateway, "skills.upload.begin", begin)
        with pytest.raises(InvalidRequest, match="no skill registry"):
            await rpc(gateway, "skills.install", {"source": "clawhub", "slug": "x"})


async def test_a_folder_of_the_machine_is_used_at_once(tmp_path: Path) -> None:
    source = write_skill(tmp_path / "elsewhere", "hat")
    async with gateway_in(tmp_path, install={"allowPaths": True}) as gateway:
        params = {"source": "path", "path": str(source)}
        done = await rpc(gateway, "skills.install", params)
        assert done == {
            "ok": True,
            "message": "Installed hat",
            "name": "hat",
            "path": str(tmp_path / "skills" / "hat"),
            "replaced": False,
            "disabled": False,
        }
        hat = await shown(gateway)
        assert hat is not None
        assert (hat["source"], hat["modelVisible"]) == ("openclaw-managed", True)
        assert hat["installedFrom"] == str(source)
        with pytest.raises(InvalidRequest, match="already") as again:
            await rpc(gateway, "skills.install", params)
        assert again.value.details["outcome"] == "not_started"
        replaced = await rpc(gateway, "skills.install", {**params, "force": True})
        assert replaced["message"] == "Replaced hat"
        for path in ("relative", "/no/such/place", str(tmp_path / "portico.json")):
            with pytest.raises(InvalidRequest):
                await rpc(gateway, "skills.install", {"source": "path", "path": path})


async def test_an_upload_waits_until_it_is_enabled(tmp_path: Path) -> None:
    digest = hashlib.sha256(ARCHIVE).hexdigest()
    async with gateway_in(tmp_path, install={"allowUploadedArchives": True}) as gateway:
        begin = {"kind": "skill-archive", "slug": "hat", "sizeBytes": len(ARCHIVE)}
        begun = await rpc(gateway, "skills.upload.begin", begin)
        upload = {"uploadId": begun["uploadId"]}
        for offset in range(0, len(ARCHIVE), 64):
            piece = base64.b64encode(ARCHIVE[offset : offset + 64]).decode()
            chunk = {**upload, "offset": offset, "dataBase64": piece}
            added = await rpc(gateway, "skills.upload.chunk", chunk)
        assert (added["receivedBytes"], added["committed"]) == (len(ARCHIVE), False)
        with pytest.raises(InvalidRequest, match="not base64"):
            await rpc(gateway, "skills.upload.chunk", {**chunk, "dataBase64": "@"})
        done = await rpc(gateway, "skills.upload.commit", {**upload, "sha256": digest})
        assert (done["committed"], done["sha256"]) == (True, digest)
        install = {"source": "upload", "slug": "hat", **upload, "sha256": digest}
        installed = await rpc(gateway, "skills.install", install)
        assert installed["disabled"]
        assert "not used before it is enabled" in installed["message"]
        hat = await shown(gateway)
        assert hat is not None
        assert (hat["disabled"], hat["modelVisible"]) == (True, False)
        await rpc(gateway, "skills.update", {"skillKey": "hat", "enabled": True})
        hat = await shown(gateway)
        assert hat is not None
        assert hat["modelVisible"]


@asynccontextmanager
async def serving(content: bytes) -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hat.zip"


async def test_an_address_that_is_allowed(tmp_path: Path) -> None:
    async with (
        serving(ARCHIVE) as url,
        gateway_in(tmp_path, install={"allowUrls": ["127.0.0.1"]}) as gateway,
    ):
        install = {"source": "url", "url": url, "sha256": hashlib.sha256(ARCHIVE).hexdigest()}
        done = await rpc(gateway, "skills.install", install)
        assert (done["name"], done["disabled"]) == ("hat", True)
        hat = await shown(gateway)
        assert hat is not None
        assert hat["installedFrom"] == url
        with pytest.raises(InvalidRequest, match="needs the archive's sha256"):
            await rpc(gateway, "skills.install", {"source": "url", "url": url})
        with pytest.raises(InvalidRequest, match="SHA-256"):
            await rpc(gateway, "skills.install", {**install, "sha256": "0" * 64, "force": True})
        elsewhere = {**install, "url": "http://localhost:1/hat.zip"}
        with pytest.raises(Unavailable, match="domain is not allowed"):
            await rpc(gateway, "skills.install", elsewhere)


async def test_a_program_is_got_with_an_allowed_package_manager(tmp_path: Path) -> None:
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    uv = bin_dir / "uv"
    uv.write_text(
        f"#!/bin/sh\necho got $3; printf x > {bin_dir}/hat; /bin/chmod +x {bin_dir}/hat\n"
    )
    uv.chmod(0o755)
    needs = (
        "metadata: {openclaw: {requires: {bins: [hat]}, "
        "install: [{id: get, kind: uv, package: hat}, {id: mac, kind: brew, formula: hat}]}}\n"
    )
    write_skill(tmp_path / "skills", "hat", front=needs)
    async with gateway_in(tmp_path, install={"allowInstallers": ["uv"]}) as gateway:
        gateway.conversation.skills.host.env["PATH"] = str(bin_dir)  # type: ignore[index]  # the test's own
        hat = await shown(gateway)
        assert hat is not None
        assert hat["missing"]["bins"] == ["hat"]
        assert [(o["id"], o["allowed"]) for o in hat["install"]] == [("mac", False), ("get", True)]
        done = await rpc(gateway, "skills.install", {"name": "hat", "installId": "get"})
        assert (done["ok"], done["command"], done["stdout"]) == (
            True,
            "uv tool install hat",
            "got hat\n",
        )
        hat = await shown(gateway)
        assert hat is not None
        assert hat["eligible"]
        uv.write_text("#!/bin/sh\necho no >&2; exit 7\n")
        with pytest.raises(Unavailable, match="ended with code 7") as failed:
            await rpc(gateway, "skills.install", {"name": "hat", "installId": "get"})
        assert failed.value.payload.stderr == "no\n"
        for install_id in ("mac", "nothing"):
            with pytest.raises(GatewayError):
                await rpc(gateway, "skills.install", {"name": "hat", "installId": install_id})


async def test_update_edits_the_file_and_never_says_a_secret(tmp_path: Path) -> None:
    front = "metadata: {openclaw: {primaryEnv: HAT, requires: {env: [HAT, CAP]}}}\n"
    write_skill(tmp_path / "skills", "hat", front=front)
    async with gateway_in(tmp_path) as gateway:
        done = await rpc(
            gateway,
            "skills.update",
            {"skillKey": "hat", "apiKey": "s3cret-a", "env": {"CAP": "s3cret-b"}},
        )
        assert (done["ok"], done["skillKey"]) == (True, "hat")
        assert "s3cret" not in json.dumps(done)
        assert set(done["config"]) == {"apiKey", "env"}
        hat = await shown(gateway)
        assert hat is not None
        assert hat["eligible"]
        assert "s3cret" not in json.dumps(hat)
        written = pyjson5.decode((tmp_path / "portico.json").read_text())
        assert written["skills"]["entries"]["hat"] == {
            "apiKey": "s3cret-a",
            "env": {"CAP": "s3cret-b"},
        }
        await rpc(
            gateway,
            "skills.update",
            {"skillKey": "hat", "apiKey": "", "env": {"CAP": ""}, "enabled": False},
        )
        written = pyjson5.decode((tmp_path / "portico.json").read_text())
        assert written["skills"]["entries"]["hat"] == {"env": {}, "enabled": False}
        hat = await shown(gateway)
        assert hat is not None
        assert (hat["disabled"], hat["missing"]["env"]) == (True, ["HAT", "CAP"])


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"skillKey": "nothing", "enabled": True}, "unknown skill"),
        ({"skillKey": "hat", "env": {"A=B": "x"}}, "invalid environment variable"),
        ({"source": "clawhub", "all": True}, "no skill registry"),
        ({}, "no skill registry"),
    ],
)
async def test_updates_that_are_refused_change_nothing(
    tmp_path: Path, params: dict[str, Any], why: str
) -> None:
    write_skill(tmp_path / "skills", "hat")
    async with gateway_in(tmp_path) as gateway:
        before = (tmp_path / "portico.json").read_text()
        with pytest.raises(InvalidRequest, match=why):
            await rpc(gateway, "skills.update", params)
        assert (tmp_path / "portico.json").read_text() == before
