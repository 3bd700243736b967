"""The params of `sessions.patch`: what may be set, by whom, and what it becomes.

A member that is absent leaves the setting alone, `null` removes it.

Source: OpenClaw gateway protocol, `sessions.patch` and "Dynamic scopes".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from portico.protocol.scopes import Scope
from portico.protocol.validation import Params
from portico.sessions.mutations import Expected, Patch

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
PermissionMode = Literal["read-only", "guarded", "workspace", "full"]


class ToolOverrides(Params, frozen=True):
    """Which tools a session may use, against its agent's own choice."""

    mcp_servers: dict[str, bool] | UnsetType = UNSET
    mcp_tools_deny: dict[str, list[NonEmpty]] | UnsetType = UNSET
    skills: dict[str, bool] | UnsetType = UNSET
    web_search: bool | UnsetType = UNSET


class SessionsPatch(Params, frozen=True, kw_only=True):
    """`{key, …}`."""

    key: NonEmpty
    agent_id: NonEmpty | None = None
    expected_session_id: NonEmpty | UnsetType = UNSET
    expected_lifecycle_revision: NonEmpty | UnsetType = UNSET
    expected_permission_mode: PermissionMode | UnsetType | None = UNSET
    expected_sandbox_mode: Literal["off"] | UnsetType | None = UNSET
    expected_native_runtime_consent: NonEmpty | UnsetType | None = UNSET
    expected_tool_overrides: ToolOverrides | UnsetType | None = UNSET
    expected_marked_unread_at: Annotated[float, msgspec.Meta(ge=0)] | UnsetType | None = UNSET
    label: Label | UnsetType | None = UNSET
    auto_label: Label | UnsetType | None = UNSET
    icon: str | UnsetType | None = UNSET
    color: str | UnsetType | None = UNSET
    category: Label | UnsetType | None = UNSET
    board_face: Literal["chat", "dashboard"] | UnsetType = UNSET
    board_presentation: Literal["split", "expanded"] | UnsetType | None = UNSET
    status_note: Annotated[str, msgspec.Meta(max_length=120)] | UnsetType | None = UNSET
    attention: Literal["hand", "key", "alert", "flag", "lock", "hourglass"] | UnsetType | None = (
        UNSET
    )
    ttl_minutes: Annotated[int, msgspec.Meta(ge=1, le=120)] | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET
    unread: bool | UnsetType = UNSET
    context_window: NonEmpty | UnsetType | None = UNSET
    thinking_level: NonEmpty | UnsetType | None = UNSET
    fast_mode: bool | Literal["auto"] | UnsetType | None = UNSET
    tool_overrides: ToolOverrides | UnsetType | None = UNSET
    verbose_level: NonEmpty | UnsetType | None = UNSET
    trace_level: NonEmpty | UnsetType | None = UNSET
    reasoning_level: NonEmpty | UnsetType | None = UNSET
    response_usage: Literal["off", "tokens", "full", "on"] | UnsetType | None = UNSET
    elevated_level: NonEmpty | UnsetType | None = UNSET
    exec_host: NonEmpty | UnsetType | None = UNSET
    exec_security: NonEmpty | UnsetType | None = UNSET
    exec_ask: NonEmpty | UnsetType | None = UNSET
    exec_node: NonEmpty | UnsetType | None = UNSET
    permission_mode: PermissionMode | UnsetType | None = UNSET
    sandbox_mode: Literal["off"] | UnsetType | None = UNSET
    native_runtime_consent: NonEmpty | UnsetType | None = UNSET
    model: NonEmpty | UnsetType | None = UNSET
    agent_runtime: NonEmpty | UnsetType | None = UNSET
    completion_owner_session_key: NonEmpty | UnsetType | None = UNSET
    inherited_tool_policy_version: Literal[1] | UnsetType | None = UNSET
    inherited_tool_allow: list[NonEmpty] | UnsetType | None = UNSET
    inherited_tool_deny: list[NonEmpty] | UnsetType | None = UNSET
    send_policy: Literal["allow", "deny"] | UnsetType | None = UNSET
    group_activation: Literal["mention", "always"] | UnsetType | None = UNSET


_ENVELOPE = frozenset(
    name
    for name in SessionsPatch.__struct_fields__
    if name in {"key", "agent_id"} or name.startswith("expected_")
)
_EVERYDAY = frozenset(
    {
        "label", "auto_label", "icon", "color", "category", "board_face", "board_presentation",
        "pinned", "archived", "unread", "model", "agent_runtime", "thinking_level", "fast_mode",
        "permission_mode",
    }
)  # fmt: skip
_COLUMNS = frozenset({"label", "model", "archived", "pinned", "unread"})


def scope_of_patch(params: SessionsPatch) -> Scope:
    """Everyday settings need write, the others (and full permissions) need admin."""
    given = _given(params)
    if given.keys() <= _EVERYDAY and given.get("permission_mode") != "full":
        return Scope.WRITE
    return Scope.ADMIN


def expected_of(params: SessionsPatch) -> Expected:
    """Return what the caller believes of the session."""
    settings = {
        "permissionMode": params.expected_permission_mode,
        "sandboxMode": params.expected_sandbox_mode,
        "nativeRuntimeConsent": params.expected_native_runtime_consent,
        "toolOverrides": params.expected_tool_overrides,
        "markedUnreadAt": params.expected_marked_unread_at,
    }
    return Expected(
        session_id=params.expected_session_id,
        revision=params.expected_lifecycle_revision,
        settings={n: msgspec.to_builtins(v) for n, v in settings.items() if v is not UNSET},
    )


def change_of(params: SessionsPatch, *, now: int) -> Patch:
    """Return what the patch sets."""
    given = _given(params)
    columns = {name: given[name] for name in _COLUMNS & given.keys()}
    wire = msgspec.to_builtins(params)
    names = {f.name: f.encode_name for f in msgspec.structs.fields(params)}
    settings: dict[str, Any] = {names[name]: wire[names[name]] for name in given.keys() - _COLUMNS}
    for flag, stamp in (
        ("archived", "archivedAt"), ("pinned", "pinnedAt"), ("unread", "markedUnreadAt"),
    ):  # fmt: skip
        if flag in columns:
            settings[stamp] = now if columns[flag] else None
    if settings.get("responseUsage") == "off":
        settings["responseUsage"] = None
    return Patch(columns=columns, settings=settings)


def _given(params: SessionsPatch) -> dict[str, Any]:
    return {
        name: value
        for name in params.__struct_fields__
        if name not in _ENVELOPE and (value := getattr(params, name)) is not UNSET
    }
