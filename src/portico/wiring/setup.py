"""The wizards, made when the first is begun: most gateways never see one again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from portico.audit.service import Audit
from portico.clock import Clock
from portico.config.live import LiveConfig
from portico.setup.model import WizardSettings
from portico.setup.rpc import WizardMethods

if TYPE_CHECKING:
    from portico.setup.service import Wizards


def build_wizard_methods(
    live: LiveConfig, *, audit: Audit, env: Mapping[str, str], clock: Clock
) -> WizardMethods:
    """Construct the methods of wizards."""
    limits = live.loaded.require().gateway.limits
    settings = WizardSettings(most=limits.wizards, idle_ms=limits.wizard_idle_ms)

    @cache
    def wizards() -> Wizards:
        from portico.channels.manifest import find_manifests
        from portico.config.first_run import random_token
        from portico.setup.checks import Checks
        from portico.setup.service import Wizards
        from portico.setup.writing import LiveWriter

        return Wizards(
            writer=LiveWriter(live),
            look_ups=Checks(clock=clock),
            manifests=find_manifests,
            env=env,
            clock=clock,
            new_token=random_token,
            settings=settings,
        )

    return WizardMethods(wizards, audit)
