"""RPC methods that change the configuration, or describe it.

Source: OpenClaw gateway protocol, "config.*"; OpenClaw docs gateway/configuration/config-rpc.md.
`config.openFile` is not offered: a gateway opens nothing on its own screen for somebody elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import structlog

from portico.audit.service import Audit
from portico.clock import Clock
from portico.config.issues import ConfigError
from portico.protocol.errors import GatewayError, InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.settings.service import Settings

if TYPE_CHECKING:
    from portico.config.service import LoadedConfig

log = structlog.get_logger()

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
MAX_PATHS = 256
MAX_SHOWN_ISSUES = 50
HASH_REQUIRED = "config base hash required; re-run config.get and retry"
HASH_STALE = "config changed since last load; re-run config.get and retry"
FILE_GONE = "the config file is gone; write a whole one with config.apply"


class DeliveryContext(Params, frozen=True, kw_only=True):
    """Where somebody would hear about it."""

    channel: str | None = None
    to: str | None = None
    account_id: str | None = None
    thread_id: str | int | float | None = None


class ConfigSet(Params, frozen=True, kw_only=True):
    """`{raw, baseHash?}`: the whole text."""

    raw: NonEmpty
    base_hash: NonEmpty | None = None


class ConfigApply(Params, frozen=True, kw_only=True):
    """The whole text, taken over at once."""

    raw: NonEmpty
    base_hash: NonEmpty | None = None
    session_key: str | None = None
    delivery_context: DeliveryContext | None = None
    note: str | None = None
    restart_delay_ms: Annotated[int, msgspec.Meta(ge=0)] | None = None


class ConfigPatch(ConfigApply, frozen=True, kw_only=True):
    """A merge patch as JSON5.

    Attributes:
        replace_paths: lists that may lose entries, such as `agents.list`.
    """

    replace_paths: Annotated[list[NonEmpty], msgspec.Meta(max_length=MAX_PATHS)] = msgspec.field(
        default_factory=list
    )


class ConfigPlan(Params, frozen=True, kw_only=True):
    """What would be changed; `raw` as for `config.apply`, `patch` as for `config.patch`."""

    raw: NonEmpty | None = None
    patch: NonEmpty | None = None
    replace_paths: Annotated[list[NonEmpty], msgspec.Meta(max_length=MAX_PATHS)] = msgspec.field(
        default_factory=list
    )


def scope_of_plan(params: ConfigPlan) -> Scope:
    """Return what planning needs: a text of one's own is resolved, its programs and files too."""
    return Scope.READ if params.raw is None and params.patch is None else Scope.ADMIN


class SchemaLookup(Params, frozen=True, kw_only=True):
    """`{path}`."""

    path: Annotated[
        str, msgspec.Meta(min_length=1, max_length=1024, pattern=r"^[A-Za-z0-9_./\[\]\-*]+$")
    ]


class ConfigMethods:
    """`config.set`, `config.patch`, `config.apply`, `config.schema` and the rest."""

    def __init__(self, settings: Settings, *, audit: Audit, clock: Clock) -> None:
        self._settings = settings
        self._live = settings.live
        self._audit = audit
        self._clock = clock

    @method("config.set", scope=Scope.ADMIN)
    async def set(self, call: Call, params: ConfigSet) -> dict[str, Any]:
        """Replace the text of the config file; what runs follows as if it had been edited."""
        before = self._live.loaded
        loaded = await self._write(call, "config.set", params, is_applied=False)
        self._settings.look_now()
        await self._record(call, "config.set", before, loaded)
        return _answer(loaded)

    @method("config.apply", scope=Scope.ADMIN, throttled=True)
    async def apply(self, call: Call, params: ConfigApply) -> dict[str, Any]:
        """Replace the text of the config file, and wait until the gateway runs with it."""
        before = self._live.loaded
        loaded = await self._write(call, "config.apply", params)
        await self._record(call, "config.applied", before, loaded, note=params.note)
        return _answer(loaded) | self._restart(loaded)

    @method("config.patch", scope=Scope.ADMIN, throttled=True)
    async def patch(self, call: Call, params: ConfigPatch) -> dict[str, Any]:
        """Change parts of the configuration, and wait until the gateway runs with them."""
        from portico.config.followers import changed_paths
        from portico.config.keypath import format_path
        from portico.settings.writing import patching

        before = self._live.loaded
        rewrite = patching(
            params.raw,
            params.base_hash,
            frozenset(params.replace_paths),
            had_file=before.exists,
        )
        loaded = await self._change(call, "config.patch", rewrite, is_applied=self._applies)
        changed = sorted(map(format_path, changed_paths(before.source, loaded.source)))
        if not changed:
            noop = {"ok": True, "noop": True, "changedPaths": []}
            return noop | {"path": str(loaded.paths.config_file), "config": shown(loaded)}
        await self._record(call, "config.patched", before, loaded, note=params.note)
        return _answer(loaded) | {"changedPaths": changed} | self._restart(loaded)

    @method("config.plan", scope=Scope.READ, scope_rule=scope_of_plan)
    async def plan(self, call: Call, params: ConfigPlan) -> dict[str, Any]:
        """Say what a change would do, without making it; without one: what the file would change.

        Portico's own method. To look a change up, its secrets are asked for and its files read:
        only who could make it may have it planned.
        """
        from portico.settings.planning import plan_of

        try:
            new = await asyncio.to_thread(self._planned, params)
        except (GatewayError, ConfigError, OSError) as error:
            raise _refused(error) from None
        return plan_of(self._live, new)

    @method("config.schema", scope=Scope.READ)
    async def schema(self, call: Call, params: Empty) -> dict[str, Any]:
        """Describe the configuration: its JSON Schema, and hints for a form."""
        from portico.settings.describing import describe

        return await asyncio.to_thread(describe, self._clock.now_ms())

    @method("config.schema.lookup", scope=Scope.READ)
    async def lookup(self, call: Call, params: SchemaLookup) -> dict[str, Any]:
        """Describe one place of the configuration, and what is below it."""
        from portico.settings.describing import look_up

        found = await asyncio.to_thread(look_up, params.path)
        if found is None:
            raise InvalidRequest("config schema path not found")
        return found

    @property
    def _applies(self) -> bool:
        return self._settings.reload.mode in {"hot", "hybrid"}

    async def _write(
        self, call: Call, name: str, params: ConfigSet | ConfigApply, *, is_applied: bool = True
    ) -> LoadedConfig:
        from portico.settings.writing import replacing

        rewrite = replacing(params.raw, params.base_hash)
        applied = is_applied and self._applies
        return await self._change(call, name, rewrite, is_applied=applied, raw=params.raw)

    async def _change(
        self, call: Call, name: str, rewrite: Any, *, is_applied: bool, raw: str | None = None
    ) -> LoadedConfig:
        try:
            return await self._live.replace(rewrite, is_applied=is_applied)
        except (GatewayError, ConfigError, OSError) as error:
            kept = None
            if isinstance(error, ConfigError) and raw is not None:
                kept = await self._keep(raw, error)
            await self._audit.record(
                name,
                actor=call.principal.subject,
                outcome="refused",
                details={"reason": _reason(error), **({"kept": kept} if kept else {})},
            )
            raise _refused(error) from None

    async def _keep(self, raw: str, error: ConfigError) -> str | None:
        from portico.config.live import keep_refused_text
        from portico.config.restoring import PLACEHOLDERS

        was_taken_back = any(one.code == "config.rolled_back" for one in error.issues)
        if was_taken_back or any(one in raw for one in PLACEHOLDERS):
            return None  # it is kept already, or is no text to go on with
        return await asyncio.to_thread(keep_refused_text, self._live.loaded, raw)

    def _planned(self, params: ConfigPlan) -> LoadedConfig:
        from portico.settings.writing import ANY, patching, replacing

        if params.patch is not None:
            return self._live.consider(patching(params.patch, ANY, frozenset(params.replace_paths)))
        if params.raw is not None:
            return self._live.consider(replacing(params.raw, ANY))
        return self._live.consider(lambda now: now.raw or "")

    def _restart(self, loaded: LoadedConfig) -> dict[str, Any]:
        if self._settings.reload.mode == "restart":
            return {"restart": self._settings.restart_for(loaded)}
        planned = self._settings.after_change()
        return {} if planned is None else {"restart": planned}

    async def _record(
        self,
        call: Call,
        action: str,
        before: LoadedConfig,
        after: LoadedConfig,
        note: str | None = None,
    ) -> None:
        from portico.config.followers import changed_paths
        from portico.config.keypath import format_path

        changed = sorted(map(format_path, changed_paths(before.source, after.source)))
        details = {"changedPaths": changed[:MAX_PATHS], "hash": after.hash}
        await self._audit.record(
            action,
            actor=call.principal.subject,
            target=str(after.paths.config_file),
            details=details if note is None else {**details, "note": note[:500]},
        )


def shown(loaded: LoadedConfig) -> dict[str, Any]:
    """Return the configuration as it is written, without its secrets."""
    from portico.config.redaction import redact

    tree: dict[str, Any] = redact(loaded.source, loaded.secret_paths)
    return tree


def _answer(loaded: LoadedConfig) -> dict[str, Any]:
    return {
        "ok": True,
        "path": str(loaded.paths.config_file),
        "hash": loaded.hash,
        "config": shown(loaded),
    }


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0][:500] or type(error).__name__


def _refused(error: Exception) -> Exception:
    """The protocol's words for why a change was not made."""
    match error:
        case GatewayError():
            return error
        case ConfigError() if any(one.code == "config.rolled_back" for one in error.issues):
            return Unavailable(error.issues[0].message, details=_issues(error))
        case ConfigError():
            first = error.issues[0]
            where = f"{first.path}: " if first.path else ""
            return InvalidRequest(f"invalid config: {where}{first.message}", details=_issues(error))
        case OSError():
            return Unavailable(f"the config file cannot be written: {error.strerror or error}")
        case _:
            return error


def _issues(error: ConfigError) -> dict[str, Any]:
    issues = [one.to_wire() for one in error.issues[:MAX_SHOWN_ISSUES]]
    return {"code": "INVALID_CONFIG", "issues": issues}
