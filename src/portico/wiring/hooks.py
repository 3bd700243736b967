"""From the configuration to what hooks are built with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portico.automation.hooks.mapping import PRESETS
from portico.automation.hooks.model import HookMapping, HookSettings, Verification
from portico.protocol import keys
from portico.web.hooks import HookDoorSettings

if TYPE_CHECKING:
    from portico.config.model import PorticoConfig
    from portico.config.sections import hooks as sections


def hook_settings(config: PorticoConfig) -> HookSettings:
    """Return what hooks do; mappings that are configured come before presets."""
    given = config.hooks
    presets = tuple(one for name in given.presets for one in PRESETS[name])
    ids = given.allowed_agent_ids
    return HookSettings(
        is_enabled=given.enabled,
        token=given.token or None,
        mappings=(*map(_mapping, given.mappings), *presets),
        default_session_key=given.default_session_key,
        may_name_session=given.allow_request_session_key,
        session_prefixes=given.allowed_session_key_prefixes,
        agent_ids=None
        if ids is None or "*" in ids
        else frozenset(map(keys.normalize_agent_id, ids)),
        keep_sessions_ms=given.session_retention_ms,
        wait_s=given.wait_seconds,
    )


def hook_door_settings(config: PorticoConfig) -> HookDoorSettings:
    """Return where hooks are, and what they bear."""
    given = config.hooks
    return HookDoorSettings(
        path=given.path,
        max_body_bytes=given.max_body_bytes,
        max_failures=given.max_failures,
        window_ms=given.failure_window_ms,
    )


def _mapping(given: sections.HookMapping) -> HookMapping:
    match = given.match
    is_agent = given.action == "agent"
    return HookMapping(
        path=None if match.path is None else match.path.strip("/"),
        source=match.source,
        headers={name.lower(): value for name, value in match.headers.items()},
        has=match.has,
        action=given.action,
        wake_mode=given.wake_mode,
        name=given.name,
        agent_id=given.agent_id,
        session_key=given.session_key,
        template=given.message_template if is_agent else given.text_template,
        idempotency=given.idempotency_key,
        deliver=given.deliver,
        channel=given.channel,
        to=given.to,
        account_id=given.account_id,
        model=given.model,
        thinking=given.thinking,
        timeout_s=given.timeout_seconds,
        is_vouched_for=given.allow_unsafe_external_content,
        verification=None if given.verify is None else _verification(given.verify),
    )


def _verification(given: sections.HookVerify) -> Verification:
    return Verification(
        kind=given.type,
        secret=given.secret,
        header=given.header.lower(),
        tolerance_s=given.tolerance_seconds,
    )
