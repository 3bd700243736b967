"""Installing another version into the environment the gateway runs from, by pip or uv.

Guarantees: programs are run without a shell and end in time; an environment that is not ours to
change (a source tree, a system's Python) is refused before anything is touched.

Source: pip docs, `pip install --dry-run --report`; uv docs, `uv pip install`.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import re
import shutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from portico.process.programs import ProgramMissing, ProgramTooSlow, run_program
from portico.updates import files

PACKAGE = "portico"
CHECK_S = 60.0
MAX_OUTPUT = 4 << 20
MAX_SAID = 800
_PASSED = re.compile(r"^(PATH|HOME|LANG|TMPDIR|PIP_.*|UV_.*|SSL_CERT_.*|.*_proxy|.*_PROXY)$")
_UV_LINE = re.compile(r"^\s*\+ ([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


class UpdateFailed(Exception):
    """A step did not work; the text says what."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What an installation would change: versions by package."""

    packages: Mapping[str, str]

    @property
    def version(self) -> str | None:
        """The version of Portico it would be; `None`: the one it is."""
        return self.packages.get(PACKAGE)


class Installer:
    """One environment.

    Args:
        wheels: install from this folder only; `None`: from the index the tool is set up for.
        folder: where the replaced files are kept.
        config: the configuration a new version must be able to read.
        state_dir: where that configuration's state is.
    """

    def __init__(
        self,
        *,
        wheels: Path | None,
        allow_unreleased: bool,
        timeout_s: float,
        folder: Path,
        config: Path,
        state_dir: Path,
        env: Mapping[str, str],
    ) -> None:
        self._wheels = wheels
        self._allow_unreleased = allow_unreleased
        self._timeout_s = timeout_s
        self._folder = folder
        self._config = config
        self._state_dir = state_dir
        self._given = env
        self._env = {name: value for name, value in env.items() if _PASSED.match(name)}
        self._environment = Path(sys.prefix)

    def refusal(self) -> str | None:
        """Say why nothing can be installed here; `None`: it can."""
        try:
            found = importlib.metadata.distribution(PACKAGE)
        except importlib.metadata.PackageNotFoundError:
            return "not-installed-as-a-package"
        origin = json.loads(found.read_text("direct_url.json") or "{}")
        if origin.get("dir_info", {}).get("editable"):
            return "runs-from-a-source-tree"
        if Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists() and (
            sys.prefix == sys.base_prefix
        ):
            return "environment-belongs-to-the-system"
        return None if self._tool() else "neither-pip-nor-uv"

    async def plan(self) -> Planned:
        """Ask the tool what it would install.

        Raises:
            UpdateFailed: it cannot say.
        """
        tool = self._tool()
        if tool[-1] == "pip":
            words = ("install", "--dry-run", "--quiet", "--report", "-", *self._source())
            said = await self._run([*tool, *words], self._timeout_s)
            report = json.loads(said[said.index("{") :]) if "{" in said else {}
            listed = [one["metadata"] for one in report.get("install", ())]
            return Planned({_normal(one["name"]): one["version"] for one in listed})
        said = await self._run([*tool, "install", "--dry-run", *self._source()], self._timeout_s)
        return Planned({_normal(name): version for name, version in _UV_LINE.findall(said)})

    async def install(self, planned: Planned) -> None:
        """Keep what will be replaced, then install.

        Raises:
            UpdateFailed: it did not work; what was there is there again.
        """
        await asyncio.to_thread(
            files.keep, [*planned.packages], environment=self._environment, folder=self._folder
        )
        pinned = [f"{name}=={version}" for name, version in planned.packages.items()]
        words = ["install", "--quiet", "--no-deps", *self._where(), *pinned]
        try:
            await self._run([*self._tool(), *words], self._timeout_s)
        except UpdateFailed:
            await self.put_back()
            raise

    async def check(self, version: str) -> None:
        """Make sure that a new process could be that version, with our configuration.

        Raises:
            UpdateFailed: it could not.
        """
        program = "import portico, portico.app, portico.server; print(portico.__version__)"
        said = await self._run([sys.executable, "-P", "-c", program], CHECK_S)
        if said.strip() != version:
            raise UpdateFailed(f"what was installed is {said.strip()!r}, not {version}")
        files_given = ("--config", str(self._config), "--state-dir", str(self._state_dir))
        words = ("-P", "-m", "portico", "config", "validate", *files_given)
        await self._run([sys.executable, *words], CHECK_S, env=self._given)

    async def put_back(self) -> None:
        """Have the former version again.

        Raises:
            UpdateFailed: it cannot be had.
        """
        try:
            await asyncio.to_thread(
                files.restore, environment=self._environment, folder=self._folder
            )
        except (OSError, msgspec.MsgspecError) as error:
            raise UpdateFailed(f"the former version cannot be put back: {error}") from None

    def _tool(self) -> tuple[str, ...]:
        if importlib.util.find_spec("pip") is not None:
            return (sys.executable, "-m", "pip")
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{self._env.get('PATH', '')}")
        return (uv, "pip") if uv else ()

    def _where(self) -> list[str]:
        where = ["--no-index", "--find-links", str(self._wheels)] if self._wheels else []
        if self._tool()[0] != sys.executable:
            return ["--python", sys.executable, *where]
        return ["--no-input", "--disable-pip-version-check", *where]

    def _source(self) -> list[str]:
        pre = []
        if self._allow_unreleased:
            is_pip = self._tool()[0] == sys.executable
            pre = ["--pre"] if is_pip else ["--prerelease", "allow"]
        return [*self._where(), *pre, "--upgrade", PACKAGE]

    async def _run(
        self, words: Sequence[str], timeout_s: float, *, env: Mapping[str, str] | None = None
    ) -> str:
        try:
            done = await run_program(
                words,
                env=self._env if env is None else env,
                timeout_s=timeout_s,
                max_output_bytes=MAX_OUTPUT,
                may_say_more=True,
            )
        except (ProgramMissing, ProgramTooSlow) as error:
            raise UpdateFailed(str(error)) from None
        if done.code != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise UpdateFailed(f"exit code {done.code}: {said[-MAX_SAID:]}")
        return (done.stdout or done.stderr).decode(errors="replace")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
