"""What a finished wizard changes in the configuration.

Guarantees: only what differs from what holds already is changed; a secret is written as it was
given, so that a reference stays one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portico.config.channel_edits import adding
from portico.config.edit import Change
from portico.config.keypath import KeyPath
from portico.config.sections.agents import normal_agent_id
from portico.config.service import LoadedConfig
from portico.setup.model import ACCOUNT, KEEP, Known
from portico.setup.steps_channel import channel_settings, chosen_channel, wants_channel
from portico.setup.steps_gateway import configured_workspace
from portico.setup.steps_model import CUSTOM, key_reference, wants_model


def changes_of(known: Known, now: LoadedConfig) -> list[Change]:
    """Return what to change in a file that holds `now`.

    Raises:
        ConfigError: the channel does not take its settings.
    """
    changes: list[Change] = []
    if known.facts.flow == "setup":
        changes += _gateway(known, now)
    changes += _model(known, now)
    manifest = chosen_channel(known)
    if manifest is not None and wants_channel(known):
        given = {name: value for name, value in channel_settings(known).items() if value}
        changes += adding(now, manifest.id, ACCOUNT, given)
    return changes


def _gateway(known: Known, now: LoadedConfig) -> list[Change]:
    gateway = now.require().gateway
    changes = []
    if known.get("workspace") != str(configured_workspace(known)):
        changes.append(Change(_of_agent(now, "workspace"), known.get("workspace")))
    if known.get("gateway.port") != gateway.port:
        changes.append(Change(("gateway", "port"), known.get("gateway.port")))
    if known.get("gateway.bind") != gateway.bind:
        changes.append(Change(("gateway", "bind"), known.get("gateway.bind")))
    mode = known.get("gateway.auth")
    if mode != KEEP:
        secret = known.facts.token if mode == "token" else known.get("gateway.password")
        changes.append(Change(("gateway", "auth", "mode"), mode))
        changes.append(Change(("gateway", "auth", mode), secret))
    return changes


def _model(known: Known, now: LoadedConfig) -> list[Change]:
    if not wants_model(known):
        return []
    provider, changes = known.get("model.provider"), []
    where = ("models", "providers", provider)
    key, url = key_reference(known), known.get("model.url")
    if key is not None:
        changes.append(Change((*where, "apiKey"), key))
    if url is not None:
        changes.append(Change((*where, "baseUrl"), url))
        if provider == CUSTOM:
            changes.append(Change((*where, "api"), "openai-completions"))
    name = f"{provider}/{known.get('model.id')}"
    changes.append(Change(_model_path(now), name))
    agents = now.require().agents
    place = _of_agent(now, "runtime")
    if agents.runtime_for(agents.default_id()).type == "echo" and _at(now.source, *place):
        changes.append(Change.removal(*place))  # from now on the model answers
    return changes


def _model_path(now: LoadedConfig) -> KeyPath:
    """Where the name of the model stands: fallbacks beside it stay."""
    where = _of_agent(now, "model")
    return (*where, "primary") if isinstance(_at(now.source, *where), Mapping) else where


def _of_agent(now: LoadedConfig, setting: str) -> KeyPath:
    """Where a setting of the default agent stands: its own place, or everybody's."""
    default = now.require().agents.default_id()
    entries = _at(now.source, "agents", "list")
    for place, entry in enumerate(entries if isinstance(entries, list) else ()):
        own = isinstance(entry, Mapping) and setting in entry
        if own and normal_agent_id(str(entry.get("id", ""))) == default:
            return ("agents", "list", place, setting)
    named = _at(now.source, "agents", "entries")
    for name, entry in (named if isinstance(named, Mapping) else {}).items():
        if isinstance(entry, Mapping) and setting in entry and normal_agent_id(name) == default:
            return ("agents", "entries", name, setting)
    return ("agents", "defaults", setting)


def _at(tree: Any, *path: str | int) -> Any:
    for step in path:
        if isinstance(tree, list) and isinstance(step, int):
            tree = tree[step] if step < len(tree) else None
        else:
            tree = tree.get(step) if isinstance(tree, Mapping) else None
    return tree
