"""`portico run`: become the gateway.

Not here: what happens then (`portico.cli.gateway`).
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from portico.cli.command import HERE, Local, command
from portico.cli.gateway import Run, become


@command("run")
def run(
    *,
    port: int | None = None,
    bind: str | None = None,
    verbose: Annotated[bool, Parameter(alias="-v")] = False,
    here: Local = HERE,
) -> None:
    """Run the gateway in this terminal.

    The first run writes a configuration with a fresh token. Ctrl-C (or SIGTERM) finishes what is
    under way and then stops; a second one stops now.

    Args:
        port: Listen here instead of the configured port; 0 picks a free one.
        bind: Listen on loopback, lan, tailnet, auto or custom instead of what is configured.
        verbose: Log everything.

    Examples:
        portico run
        portico run --port 0 --verbose
        portico gateway run --bind lan
        portico run --state-dir ./try
    """
    become(
        Run(
            port=port,
            bind=bind,
            verbose=verbose,
            config=here.config,
            state_dir=here.state_dir,
            json=here.json,
        )
    )
