"""What is known of a channel before its runtime is imported.

A channel is a folder with two modules: `manifest.py`, which builds one `Manifest` and imports
nothing heavy, and `channel.py`, which imports the provider's library and is itself imported when
the first account starts. The manifest is found through the entry-point group `portico.channels`:

    [project.entry-points."portico.channels"]
    webhook = "portico.channels.webhook.manifest:MANIFEST"
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from portico.channels.contract import AccountContext, RunningAccount
    from portico.config.sections.channels import AccountConfig

LoginKind = Literal["none", "qr", "code"]
Media = Literal["image", "audio", "video", "file"]


class MissingExtra(Exception):
    """The library a channel stands on is not installed; the text says how to get it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a channel can do besides text, for those who use it and for the page.

    Attributes:
        keyed: the provider takes our id, so that sending the same delivery twice is harmless.
        media: kinds of files it takes, either way.
        login: whether a person must log in with a code or a picture of one.
    """

    keyed: bool = False
    edit: bool = False
    delete: bool = False
    reaction: bool = False
    typing: bool = False
    read_receipt: bool = False
    media: frozenset[Media] = frozenset()
    threads: bool = False
    polls: bool = False
    groups: bool = False
    directory: bool = False
    login: LoginKind = "none"

    def as_json(self) -> dict[str, Any]:
        """Return them as they are shown."""
        flags = {
            "keyed": self.keyed,
            "edit": self.edit,
            "delete": self.delete,
            "reaction": self.reaction,
            "typing": self.typing,
            "readReceipt": self.read_receipt,
            "threads": self.threads,
            "polls": self.polls,
            "groups": self.groups,
            "directory": self.directory,
        }
        return {**flags, "media": sorted(self.media), "login": self.login}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One channel.

    Attributes:
        id: its name in the configuration and in session keys: lowercase letters, digits, `-`.
        config: `module:Class` of an account's settings, a subclass of `AccountConfig`.
        runtime: `module:Class` called with an `AccountContext` to make an account that runs.
        extra: the extra of portico to install, when the runtime needs a library of its own.
        requires: modules without which the runtime cannot be imported.
        text_limit: the longest text in characters; longer ones are split before they are sent.
        stall_after_s: silence of the receiving side that counts as a stall; `None`: silence is
            normal (a webhook).
    """

    id: str
    label: str
    config: str
    runtime: str
    capabilities: Capabilities = field(default_factory=Capabilities)
    blurb: str = ""
    docs: str | None = None
    extra: str | None = None
    requires: tuple[str, ...] = ()
    text_limit: int = 4000
    stall_after_s: float | None = 120.0

    def settings(self) -> type[AccountConfig]:
        """Import and return the model of an account's settings."""
        return cast("type[AccountConfig]", _load(self.config))

    def load(self) -> Callable[[AccountContext], RunningAccount]:
        """Import and return what makes a running account. Slow: not for the event loop.

        Raises:
            MissingExtra: the library is not installed.
        """
        try:
            return cast("Callable[[AccountContext], RunningAccount]", _load(self.runtime))
        except ModuleNotFoundError as error:
            if self.extra is None or not self._is_required(error.name):
                raise
            raise MissingExtra(
                f"channel {self.id} needs a package that is not installed ({error.name}): "
                f"pip install 'portico[{self.extra}]'"
            ) from error

    def _is_required(self, module: str | None) -> bool:
        root = (module or "").partition(".")[0]
        return root != "portico" and (not self.requires or root in self.requires)


def find_manifests() -> Mapping[str, Manifest]:
    """Return every installed channel's manifest by id, in the order of their ids."""
    from portico.config.channels import manifests

    found = manifests()
    return {name: found[name] for name in sorted(found) if isinstance(found[name], Manifest)}  # type: ignore[misc]  # checked right here


def _load(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)
