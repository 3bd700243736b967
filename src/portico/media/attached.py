"""From the configuration to the store of what people attach, and to what turns need of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portico.clock import Clock
from portico.media.store.blobs import Blobs
from portico.media.store.service import MediaLimits, MediaStore
from portico.media.transcription.configured import hearing_settings
from portico.media.transcription.service import Hearing
from portico.store import Store

if TYPE_CHECKING:
    from portico.config import LoadedConfig
    from portico.config.live import Commit, LiveConfig
    from portico.config.model import PorticoConfig

MB = 1_000_000
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Attached:
    """The store, and its side towards turns."""

    store: MediaStore
    turns: Hearing


def build_attached(
    live: LiveConfig, *, env: Mapping[str, str], store: Store, clock: Clock
) -> Attached:
    """Construct the store and what listens to sounds, and let them follow the settings."""
    config = live.loaded.require()
    folder = Path(config.media.dir) if config.media.dir else live.loaded.paths.state_dir / "media"
    media = MediaStore(
        Blobs(folder, clock=clock), store=store, clock=clock, limits=media_limits(config)
    )
    hearing = Hearing(media, hearing_settings(config, env), store=store, clock=clock)

    def stage(new: LoadedConfig) -> Commit:
        limits = media_limits(new.require())
        settings = hearing_settings(new.require(), env)

        def commit() -> None:
            media.obey(limits)
            hearing.obey(settings)

        return commit

    live.follow("media", "tools.media", "models", stage=stage)
    return Attached(media, hearing)


def media_limits(config: PorticoConfig) -> MediaLimits:
    """Return what is kept, and how long."""
    media = config.media
    return MediaLimits(
        max_file_bytes=int(media.max_file_mb * MB),
        max_message_bytes=int(media.max_message_mb * MB),
        max_per_message=media.max_per_message,
        max_store_bytes=int(media.max_store_mb * MB),
        retention_s=media.retention_days * DAY_S,
    )
