"""Does the gateway answer, does it let us in, and is it the version that is installed?"""

from __future__ import annotations

from portico import __version__
from portico.cli.doctor.model import Finding, Level, fine
from portico.cli.explain import explain
from portico.cli.target import Target, client_settings
from portico.client import ClientError, GatewayClient, Hello


async def gateway_answers(target: Target, *, is_expected: bool, timeout_s: float) -> Finding:
    """Shake hands. A gateway that nobody expects to run may be down."""
    if not is_expected:
        return Finding(
            check="gateway",
            level=Level.NOTE,
            message="the gateway is not running",
            next_step="Start it with: portico run",
        )
    try:
        async with GatewayClient(client_settings(target, timeout_s=timeout_s)) as client:
            return _judge(client.hello)
    except ClientError as error:
        failure = explain(error)
        return Finding(
            check="gateway",
            level=Level.ERROR,
            message=failure.message if failure else str(error),
            explanation="The gateway should answer, but this command cannot use it.",
            next_step=failure.next_step if failure else "",
        )


def _judge(hello: Hello) -> Finding:
    theirs = hello.server.version
    if theirs == __version__:
        return fine("gateway", f"answers, version {theirs}")
    return Finding(
        check="gateway",
        level=Level.WARNING,
        message=f"the gateway runs version {theirs}, this command is {__version__}",
        explanation="It was started before the last update, or it is another installation.",
        next_step="portico gateway restart",
    )
