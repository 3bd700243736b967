"""RPC methods that put skills, and programs they need, on this machine.

Guarantees: nothing is installed in a way the configuration does not allow; what is from elsewhere
is not used before the operator has switched it on.

Not here: a registry of skills; there is none, and `source: "clawhub"` is refused.

Source: OpenClaw gateway protocol, "skills.install", "skills.upload.begin";
the sources `path` and `url` are ours.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from portico.agents.service import Agents
from portico.agents.skills.installing.installers import Option, options, run_option
from portico.agents.skills.installing.rules import InstallRules
from portico.agents.skills.installing.store import Installed, NotInstalled, SkillStore
from portico.agents.skills.installing.uploads import Upload, Uploads
from portico.agents.skills.model import Origin
from portico.agents.skills.readiness import Standing
from portico.agents.skills.service import Skills
from portico.clock import Clock
from portico.fetch import Fetched, FetchRefused
from portico.process.programs import Finished, ProgramMissing, ProgramTooSlow
from portico.protocol import keys
from portico.protocol.errors import Forbidden, InvalidRequest, Outcome, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

if TYPE_CHECKING:
    from pathlib import Path

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Digest = Annotated[str, msgspec.Meta(pattern="^[a-fA-F0-9]{64}$")]
Millis = Annotated[int, msgspec.Meta(ge=1_000, le=900_000)]
Piece = Annotated[str, msgspec.Meta(min_length=1, max_length=5_592_408)]
DEFAULT_TIMEOUT_MS = 300_000
_SAID_CHARS = 16_000

Fetch = Callable[[str, int], Awaitable[Fetched]]


class InstallParams(Params, frozen=True, kw_only=True):
    """`{name, installId}` for a program, else `{source, …}` for a skill."""

    source: Literal["clawhub", "upload", "path", "url"] | None = None
    name: NonEmpty | None = None
    install_id: NonEmpty | None = None
    slug: NonEmpty | None = None
    upload_id: NonEmpty | None = None
    path: NonEmpty | None = None
    url: NonEmpty | None = None
    sha256: Digest | None = None
    force: bool = False
    version: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    timeout_ms: Millis = DEFAULT_TIMEOUT_MS
    dangerously_force_unsafe_install: bool | None = None


class InstallDone(Result, frozen=True, kw_only=True):
    """What was installed, or what the package manager said.

    Attributes:
        disabled: it is not used before it is switched on (`skills.update`).
    """

    ok: bool
    message: str
    name: str | None = None
    path: str | None = None
    replaced: bool | None = None
    disabled: bool | None = None
    command: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    code: int | None = None


class BeginParams(Params, frozen=True, kw_only=True):
    """`{kind, slug, sizeBytes, sha256?, force?, idempotencyKey?}`."""

    kind: Literal["skill-archive"]
    slug: NonEmpty
    size_bytes: Annotated[int, msgspec.Meta(ge=1)]
    sha256: Digest | None = None
    force: bool = False
    idempotency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)] | None = None


class ChunkParams(Params, frozen=True, kw_only=True):
    """`{uploadId, offset, dataBase64}`."""

    upload_id: NonEmpty
    offset: Annotated[int, msgspec.Meta(ge=0)]
    data_base64: Piece


class CommitParams(Params, frozen=True, kw_only=True):
    """`{uploadId, sha256?}`."""

    upload_id: NonEmpty
    sha256: Digest | None = None


class UploadShown(Result, frozen=True, kw_only=True, omit_defaults=False):
    """How far an upload is."""

    upload_id: str
    received_bytes: int
    size_bytes: int
    committed: bool
    sha256: str | None = None
    ok: bool = True


class SkillInstallMethods:
    """Installing.

    Args:
        fetch: downloads an address the configuration allows, up to so many bytes.
    """

    def __init__(
        self,
        *,
        skills: Skills,
        store: Callable[[], SkillStore],
        uploads: Uploads,
        agents: Agents,
        clock: Clock,
        fetch: Fetch,
    ) -> None:
        self._skills = skills
        self._store = store
        self._uploads = uploads
        self._agents = agents
        self._clock = clock
        self._fetch = fetch

    @method("skills.install", scope=Scope.ADMIN, mutates=True, audit="skill.installed")
    async def install(self, call: Call, params: InstallParams) -> InstallDone:
        """Install a skill, or a program one needs."""
        match params.source:
            case None:
                return await self._install_program(params)
            case "clawhub":
                raise InvalidRequest(
                    "this gateway has no skill registry; install a folder or an archive",
                    details={"code": "CLAWHUB_NOT_OFFERED"},
                )
            case "upload":
                return await self._install_upload(params)
            case "path":
                return await self._install_path(params)
            case "url":
                return await self._install_url(params)

    @method("skills.upload.begin", scope=Scope.ADMIN, mutates=True)
    async def begin(self, call: Call, params: BeginParams) -> UploadShown:
        """Begin to upload a skill's archive."""
        self._uploads_are_allowed()
        upload = self._uploads.begin(
            params.slug,
            params.size_bytes,
            most=self._store().sizes.max_bytes,
            sha256=params.sha256,
            force=params.force,
        )
        return _upload_shown(upload)

    @method("skills.upload.chunk", scope=Scope.ADMIN)
    async def chunk(self, call: Call, params: ChunkParams) -> UploadShown:
        """Add a piece to an upload."""
        self._uploads_are_allowed()
        try:
            piece = base64.b64decode(params.data_base64, validate=True)
        except binascii.Error:
            raise InvalidRequest("dataBase64 is not base64") from None
        return _upload_shown(self._uploads.add(params.upload_id, params.offset, piece))

    @method("skills.upload.commit", scope=Scope.ADMIN)
    async def commit(self, call: Call, params: CommitParams) -> UploadShown:
        """Finish an upload; it is installed with `skills.install`."""
        self._uploads_are_allowed()
        return _upload_shown(self._uploads.commit(params.upload_id, params.sha256))

    # -- skills ----------------------------------------------------------------------------------

    async def _install_upload(self, params: InstallParams) -> InstallDone:
        self._uploads_are_allowed()
        if params.upload_id is None or params.slug is None:
            raise InvalidRequest("invalid skills.install params: uploadId and slug are required")
        upload = self._uploads.take(params.upload_id, params.slug)
        if params.sha256 is not None and params.sha256.lower() != upload.sha256:
            raise InvalidRequest("the upload is not the archive that was meant")
        origin = Origin("upload", params.slug, self._clock.now_ms())
        return await self._put(
            lambda store: store.put_archive(
                bytes(upload.content),
                origin,
                name=params.slug,
                force=params.force or upload.force,
            )
        )

    async def _install_path(self, params: InstallParams) -> InstallDone:
        if not self._allowed.paths:
            raise _not_allowed(
                "skills.install.allowPaths", "portico skills install, on the gateway's machine"
            )
        if params.path is None:
            raise InvalidRequest("invalid skills.install params: path is required")
        path = _absolute(params.path)
        return await self._put(
            lambda store: store.put_path(path, name=params.slug, force=params.force)
        )

    async def _install_url(self, params: InstallParams) -> InstallDone:
        if not self._allowed.urls:
            raise _not_allowed("skills.install.allowUrls", "download it and install the file")
        url = params.url
        if url is None:
            raise InvalidRequest("invalid skills.install params: url is required")
        if params.sha256 is None and not url.startswith("https://"):
            raise InvalidRequest("an address without https:// needs the archive's sha256")
        try:
            fetched = await self._fetch(url, self._store().sizes.max_bytes)
        except FetchRefused as error:
            raise Unavailable(
                f"the skill was not downloaded: {error}", outcome=Outcome.NOT_STARTED
            ) from None
        origin = Origin("url", url, self._clock.now_ms())
        return await self._put(
            lambda store: store.put_archive(
                fetched.body, origin, name=params.slug, force=params.force, sha256=params.sha256
            )
        )

    async def _put(self, put: Callable[[SkillStore], Installed]) -> InstallDone:
        store = self._store()
        try:
            done = await asyncio.to_thread(put, store)
        except NotInstalled as error:
            raise InvalidRequest(str(error), outcome=Outcome.NOT_STARTED) from None
        self._skills.forget()
        skill = done.skill
        waits = self._skills.settings.entry(skill).enabled is not True
        disabled = waits and skill.origin is not None and skill.origin.is_from_elsewhere
        note = "; it is not used before it is enabled" if disabled else ""
        return InstallDone(
            ok=True,
            message=f"{'Replaced' if done.replaced else 'Installed'} {skill.name}{note}",
            name=skill.name,
            path=str(skill.folder),
            replaced=done.replaced,
            disabled=disabled,
        )

    # -- programs --------------------------------------------------------------------------------

    async def _install_program(self, params: InstallParams) -> InstallDone:
        if params.name is None or params.install_id is None:
            raise InvalidRequest("invalid skills.install params: name and installId are required")
        standing = await self._standing(params.name, params.agent_id)
        option = self._option(standing, params.install_id)
        timeout_s = params.timeout_ms / 1000
        try:
            finished = await run_option(option, self._skills.host.env, timeout_s=timeout_s)
        except ProgramMissing as error:
            raise Unavailable(f"{option.command}: {error}", outcome=Outcome.NOT_STARTED) from None
        except ProgramTooSlow as error:
            raise Unavailable(f"{option.command}: {error}", outcome=Outcome.UNCERTAIN) from None
        self._skills.forget()
        done = _program_done(option, finished)
        if not done.ok:
            failed = Unavailable(done.message, outcome=Outcome.UNCERTAIN)
            failed.payload = done
            raise failed
        return done

    async def _standing(self, name: str, agent_id: str | None) -> Standing:
        agent = self._agents.get(agent_id and keys.normalize_agent_id(agent_id))
        inventory = await self._skills.inventory(agent.agent_id, fresh=True)
        standing = inventory.find(name)
        if standing is None:
            raise InvalidRequest(f"unknown skill: {name[:80]}")
        return standing

    def _option(self, standing: Standing, install_id: str) -> Option:
        """Return what would be run, if it may be."""
        settings, skill = self._allowed.installers, standing.skill
        offered = options(skill, settings, self._skills.host.platform)
        option = next((one for one in offered if one.id == install_id), None)
        if option is None:
            raise InvalidRequest(f"{skill.name} has no installer {install_id[:80]} for this system")
        if standing.is_disabled or standing.is_blocked:
            raise InvalidRequest(f"{skill.name} is not enabled; enable it first")
        if option.kind not in settings.allowed:
            raise _not_allowed("skills.install.allowInstallers", option.command)
        return option

    # -- settings --------------------------------------------------------------------------------

    @property
    def _allowed(self) -> InstallRules:
        return self._skills.settings.install

    def _uploads_are_allowed(self) -> None:
        if not self._allowed.uploads:
            raise _not_allowed(
                "skills.install.allowUploadedArchives",
                "portico skills install, on the gateway's machine",
            )


def _not_allowed(setting: str, instead: str) -> Forbidden:
    return Forbidden(
        f"this gateway's configuration does not allow it ({setting}); instead: {instead}",
        details={"code": "NOT_ALLOWED", "setting": setting, "instead": instead},
    )


def _absolute(text: str) -> Path:
    from pathlib import Path

    path = Path(text).expanduser()
    if not path.is_absolute() or "\0" in text:
        raise InvalidRequest("path must be absolute")
    return path


def _program_done(option: Option, finished: Finished) -> InstallDone:
    ok = finished.code == 0 and not finished.is_cut
    said = f"ended with code {finished.code}" if not ok else "done"
    return InstallDone(
        ok=ok,
        message=f"{option.command}: {said}",
        command=option.command,
        stdout=finished.stdout.decode(errors="replace")[-_SAID_CHARS:],
        stderr=finished.stderr.decode(errors="replace")[-_SAID_CHARS:],
        code=finished.code,
    )


def _upload_shown(upload: Upload) -> UploadShown:
    return UploadShown(
        upload_id=upload.upload_id,
        received_bytes=len(upload.content),
        size_bytes=upload.size_bytes,
        committed=upload.is_whole,
        sha256=upload.sha256,
    )
