"""The two ways a wizard writes: through the gateway that runs, or into the file alone.

Guarantees: a file that did not exist is gone again when the settings are refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from portico.config.edit import prepare, write_prepared
from portico.config.first_run import ensure_first_run
from portico.config.live import LiveConfig
from portico.config.paths import ConfigPaths
from portico.config.service import LoadedConfig, load
from portico.setup.service import Decide


class LiveWriter:
    """Through the gateway: whoever follows the settings takes them over at once."""

    def __init__(self, live: LiveConfig) -> None:
        self._live = live

    def read(self) -> LoadedConfig:
        """Return what is in the file."""
        return self._live.loaded

    async def write(self, decide: Decide) -> LoadedConfig:
        """Stage, write and commit the changes. Raises as `Writer.write`."""
        return await self._live.edit(decide)


class FileWriter:
    """Into the file of a gateway that does not run."""

    def __init__(self, paths: ConfigPaths, *, env: Mapping[str, str]) -> None:
        self._paths = paths
        self._env = env

    def read(self) -> LoadedConfig:
        """Return what is in the file, or what holds without one."""
        return load(self._paths, env=self._env)

    async def write(self, decide: Decide) -> LoadedConfig:
        """Write the changes. Raises as `Writer.write`."""
        return await asyncio.to_thread(self._write, decide)

    def _write(self, decide: Decide) -> LoadedConfig:
        first = ensure_first_run(self._paths)
        try:
            prepared = prepare(self._paths, decide, env=self._env)
            write_prepared(self._paths, prepared)
        except BaseException:
            if first.created:
                self._paths.config_file.unlink(missing_ok=True)
            raise
        return prepared.loaded
