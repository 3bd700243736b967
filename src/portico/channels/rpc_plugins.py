"""`plugins.list`: the channels, which are what can be plugged into this gateway.

Source: OpenClaw gateway protocol, "plugins.list".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from portico.channels.manifest import Manifest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Result
from portico.rpc.call import Call
from portico.rpc.method import method


class PluginShown(Result, frozen=True, kw_only=True, omit_defaults=False):
    """One channel."""

    id: str
    name: str
    description: str
    kind: tuple[str, ...]
    origin: str
    installed: bool
    enabled: bool
    state: str
    removable: bool


class PluginsShown(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Every channel; `mutation_allowed`: they cannot be installed or removed over the protocol."""

    plugins: tuple[PluginShown, ...]
    diagnostics: tuple[Any, ...]
    mutation_allowed: bool


class PluginMethods:
    """`plugins.list`.

    Args:
        manifests: finds the channels that are installed.
        enabled: the channels with an account that is not switched off.
    """

    def __init__(
        self,
        *,
        manifests: Callable[[], Mapping[str, Manifest]],
        enabled: Callable[[], frozenset[str]],
    ) -> None:
        self._manifests = manifests
        self._enabled = enabled

    @method("plugins.list", scope=Scope.READ)
    async def list(self, call: Call, params: Empty) -> PluginsShown:
        """List what is plugged into the gateway: its channels."""
        found = await asyncio.to_thread(self._manifests)
        enabled = self._enabled()
        return PluginsShown(
            plugins=tuple(_shown(one, is_on=one.id in enabled) for one in found.values()),
            diagnostics=(),
            mutation_allowed=False,
        )


def _shown(manifest: Manifest, *, is_on: bool) -> PluginShown:
    is_ours = manifest.runtime.startswith("portico.")
    return PluginShown(
        id=manifest.id,
        name=manifest.label,
        description=manifest.blurb,
        kind=("channel",),
        origin="bundled" if is_ours else "package",
        installed=True,
        enabled=is_on,
        state="enabled" if is_on else "disabled",
        removable=False,
    )
