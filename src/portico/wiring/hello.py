"""What a client is told when it has connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portico import __version__
from portico.agents.service import Agents
from portico.chat.attachments import AttachmentLimits
from portico.config.live import LiveConfig
from portico.rpc.hello import HelloSettings
from portico.system.health import HealthService

if TYPE_CHECKING:
    from portico.config import LoadedConfig


def hello_settings(
    loaded: LoadedConfig, *, boot_id: str, attachments: AttachmentLimits, auth_mode: str
) -> HelloSettings:
    """Return what is the same for every client."""
    limits, paths = loaded.require().gateway.limits, loaded.paths
    return HelloSettings(
        version=__version__,
        boot_id=boot_id,
        max_payload=limits.max_payload_bytes,
        max_buffered=limits.max_buffered_bytes,
        tick_interval_ms=limits.tick_interval_ms,
        max_attachment_bytes=attachments.max_bytes,
        max_image_bytes=attachments.max_image_bytes,
        config_path=str(paths.config_file),
        state_dir=str(paths.state_dir),
        auth_mode=auth_mode,
    )


class HelloSnapshot:
    """What `hello-ok.snapshot` says beyond presence."""

    def __init__(
        self, *, health: HealthService, agents: Agents, live: LiveConfig, main_key: str
    ) -> None:
        self._health = health
        self._agents = agents
        self._live = live
        self._main_key = main_key

    def health(self) -> Any:
        """The last health summary."""
        return self._health.last

    def session_defaults(self) -> Any:
        """Where a client without a session of its own belongs."""
        default, main = self._agents.default_id, self._main_key
        return {
            "defaultAgentId": default,
            "modelConfigured": True,  # every agent has a runtime; pages let nobody write without
            "selectionRequired": False,
            "mainKey": main,
            "mainSessionKey": f"agent:{default}:{main}",
            "scope": "per-sender",
        }

    def applied_config_hash(self) -> str | None:
        """The revision of the running configuration."""
        return self._live.applied_hash
