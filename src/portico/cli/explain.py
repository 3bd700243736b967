"""From what was raised to a failure with an exit code and a next step: the one translator."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from portico.cli.exit import ExitCode, Failure
from portico.cli.output import print_failure

if TYPE_CHECKING:
    from portico.client import ConnectionLost, ConnectRefused, Refused, TimedOut, Unreachable
    from portico.config import ConfigError
    from portico.process.lock import AlreadyRunning

_REVEAL = "portico config get gateway.auth.token --reveal"


def exit_code_of(work: Callable[[], int], *, as_json: bool) -> int:
    """Do a command's work; print whatever ends it early and return the exit code."""
    try:
        return work()
    except Failure as failure:
        return _reported(failure, as_json=as_json)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from flushing into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        return _reported(explained, as_json=as_json)


def _reported(failure: Failure, *, as_json: bool) -> int:
    print_failure(failure, as_json=as_json)
    return failure.exit_code


def explain(error: Exception) -> Failure | None:
    """Return the failure an error means; `None` when it is a fault of the program."""
    from portico.client.errors import (
        ConnectionLost,
        ConnectRefused,
        Refused,
        TimedOut,
        Unreachable,
    )
    from portico.config.issues import ConfigError
    from portico.process.lock import AlreadyRunning

    # The first class that fits counts.
    explanations: tuple[tuple[type[Exception], Callable[[Any], Failure]], ...] = (
        (Unreachable, _unreachable),
        (ConnectRefused, _connect_refused),
        (Refused, _refused),
        (ConnectionLost, _lost),
        (TimedOut, _timed_out),
        (ConfigError, _config_broken),
        (AlreadyRunning, _already_running),
        (OSError, _system),
    )
    for kind, explanation in explanations:
        if isinstance(error, kind):
            return explanation(error)
    return None


def _lost(error: ConnectionLost) -> Failure:
    return Failure(
        f"The gateway went away: {error}.",
        code="gateway.lost",
        next_step="Look at its log: portico logs tail",
        exit_code=ExitCode.UNREACHABLE,
    )


def _timed_out(error: TimedOut) -> Failure:
    return Failure(f"{error}.", code="timeout", next_step="Wait longer with --timeout")


def _already_running(error: AlreadyRunning) -> Failure:
    return Failure(
        f"{str(error)[0].upper()}{str(error)[1:]}.",
        code="gateway.running",
        next_step="Stop it with: portico gateway stop. Or use another --state-dir.",
        exit_code=ExitCode.REFUSED,
    )


def _system(error: OSError) -> Failure:
    return Failure(str(error), code="os", next_step="Look for more with: portico doctor")


def _config_broken(error: ConfigError) -> Failure:
    return Failure(
        f"The configuration is broken:\n{error}",
        code="config.invalid",
        next_step="Correct it and check with: portico config validate",
        exit_code=ExitCode.CONFIG,
        details={"issues": [issue.to_json() for issue in error.issues]},
    )


def _unreachable(error: Unreachable) -> Failure:
    from portico.client.connection import is_loopback

    if is_loopback(error.url):
        message = f"The gateway is not running at {error.url} ({error.reason})."
        next_step = "Start it with: portico run"
    else:
        message = f"No gateway answers at {error.url} ({error.reason})."
        next_step = f"Check the address with: portico gateway probe --url {error.url}"
    return Failure(
        message, code="gateway.unreachable", next_step=next_step, exit_code=ExitCode.UNREACHABLE
    )


def _connect_refused(error: ConnectRefused) -> Failure:
    if error.is_pairing:
        request_id = error.details.get("requestId", "REQUEST")
        params = f'{{"requestId":"{request_id}"}}'
        next_step = f"Approve it there: portico call device.pair.approve --params '{params}'"
        code = "gateway.pairing"
    elif error.lacks_credentials:
        next_step = f"Give --token or set PORTICO_GATEWAY_TOKEN. On the gateway: {_REVEAL}"
        code = "gateway.unauthorized"
    elif error.is_auth:
        next_step = f"Check the token. On the gateway: {_REVEAL}"
        code = "gateway.unauthorized"
    else:
        return _refused(error)
    return Failure(
        f"The gateway did not let us in: {error}.",
        code=code,
        next_step=next_step,
        exit_code=ExitCode.UNAUTHORIZED,
        details=_wire(error),
    )


def _refused(error: Refused) -> Failure:
    next_step, exit_code, code = "", ExitCode.REFUSED, "gateway.refused"
    if error.code == "FORBIDDEN":
        next_step = "Connect with credentials that hold this scope"
        exit_code, code = ExitCode.UNAUTHORIZED, "gateway.forbidden"
    elif error.code in {"UNAVAILABLE", "AGENT_TIMEOUT"}:
        exit_code, code = ExitCode.FAILED, "gateway.failed"
        if error.error.retryable:
            wait_s = (error.error.retry_after_ms or 1000) / 1000
            next_step = f"Try again in {wait_s:g} s"
    elif str(error).startswith("unknown method"):
        next_step, code = "See what there is: portico call --list", "gateway.unknown_method"
    return Failure(
        f"{error.method}: {error}",
        code=code,
        next_step=next_step,
        exit_code=exit_code,
        details=_wire(error),
    )


def _wire(error: Refused) -> dict[str, Any]:
    import msgspec

    return dict(msgspec.to_builtins(error.error))
