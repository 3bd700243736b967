"""What may be put on this machine through the gateway."""

from __future__ import annotations

from dataclasses import dataclass, field

from portico.agents.skills.installing.archive import SizeLimits
from portico.agents.skills.installing.installers import InstallerSettings


@dataclass(frozen=True, slots=True)
class InstallRules:
    """What the operator has allowed.

    Attributes:
        uploads: archives that clients upload.
        paths: folders and archives of this machine.
        urls: where archives may be downloaded from: `host` or `host/path`.
        installers: package managers.
    """

    uploads: bool = False
    paths: bool = False
    urls: tuple[str, ...] = ()
    sizes: SizeLimits = field(default_factory=SizeLimits)
    installers: InstallerSettings = field(default_factory=InstallerSettings)
