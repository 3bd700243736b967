"""The small families of methods: the machine, its person, voice, groups and look-ups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from portico.agents.rpc_probe import ProbeMethods
from portico.approvals.questions.rpc import QuestionMethods
from portico.approvals.rpc_other import OtherApprovalMethods
from portico.channels.manifest import find_manifests
from portico.channels.rpc_plugins import PluginMethods
from portico.media.speech.rpc_talk import TalkSpeechMethods
from portico.push.rpc import PushMethods
from portico.sessions.rpc_find import SessionFindMethods
from portico.sessions.rpc_groups import GroupMethods
from portico.system.rpc_host import HostMethods
from portico.system.rpc_people import PeopleMethods
from portico.talk.rpc import TalkMethods
from portico.turns import leases
from portico.turns.life import TurnState
from portico.wiring.setup import build_wizard_methods

if TYPE_CHECKING:
    from portico.config.live import LiveConfig
    from portico.wiring.conversation import Conversation
    from portico.wiring.features import Features
    from portico.wiring.ground import Ground
    from portico.wiring.nodes import NodeParts
    from portico.wiring.path import MessagePath

MAX_TURNS = 5_000


def family_methods(
    ground: Ground, conversation: Conversation, path: MessagePath, features: Features
) -> tuple[object, ...]:
    """Construct them."""
    live, store, clock, hub = ground.live, ground.store, ground.clock, ground.hub
    config, paths, env, audit = ground.config, ground.loaded.paths, ground.env, ground.audit
    sessions, nodes = conversation.sessions, features.node_parts
    speech = path.media.speech

    async def occupied() -> dict[str, tuple[int, int]]:
        lanes: dict[str, tuple[int, int]] = {}
        for row in await store.scan(leases.open_turns, count=MAX_TURNS):
            active, queued = lanes.get(row.session_key, (0, 0))
            is_active = row.state is TurnState.RUNNING
            lanes[row.session_key] = (active + is_active, queued + (not is_active))
        return lanes

    def enabled() -> frozenset[str]:
        return frozenset(one.channel for one in live.loaded.channel_accounts if one.enabled)

    talk = TalkMethods(
        store=store, clock=clock, hub=hub, audit=audit, has_voice=lambda: _has_voice(nodes)
    )
    nodes.nodes.connections.greet_with(talk.greeting)
    return (
        HostMethods(
            clock=clock,
            state_dir=paths.state_dir,
            instance_id=ground.boot_id,
            started_ms=ground.started_ms,
            port=lambda: live.loaded.require().gateway.port,
            occupied=occupied,
            most=config.agents.defaults.max_concurrent,
            home=Path(env.get("HOME") or paths.state_dir),
        ),
        PeopleMethods(store=store, clock=clock, hub=hub),
        SessionFindMethods(sessions=sessions, store=store, clock=clock),
        GroupMethods(store=store, clock=clock, changes=sessions.changes),
        PluginMethods(manifests=find_manifests, enabled=enabled),
        ProbeMethods(agents=conversation.agents, clock=clock),
        talk,
        TalkSpeechMethods(
            speech,
            keys=lambda: _speech_keys(live),
            listeners=lambda: _listeners(live),
            main_key=config.session.main_key,
        ),
        PushMethods(features.push, audit),
        QuestionMethods(conversation.questions),
        OtherApprovalMethods(),
        build_wizard_methods(live, audit=audit, env=env, clock=clock),
    )


def _has_voice(parts: NodeParts) -> bool:
    """Whether a node that can talk is connected."""
    approved = (one.row.approved for one in parts.nodes.connections.sessions())
    return any(surface is not None and "talk" in surface.caps for surface in approved)


def _speech_keys(live: LiveConfig) -> dict[str, str]:
    providers = live.loaded.require().tts.providers
    return {name: one.api_key for name, one in providers.items() if one.api_key}


def _listeners(live: LiveConfig) -> tuple[str, ...]:
    audio = live.loaded.require().tools.media.audio
    if not audio.enabled:
        return ()
    return tuple(one.command or f"{one.provider or 'openai'}/{one.model}" for one in audio.models)
