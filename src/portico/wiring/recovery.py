"""Recovery mode: what a gateway does when its configuration cannot be used, and no earlier one can.

It listens on this machine only, with authentication, and offers nothing but what mends the file:
the probes (`/ready` says why it is not), a page with what is wrong, and `config.*` over the control
plane. Its rows are in a database of its own. When the file is mended, it restarts by itself.

Guarantees: whatever is in the file, this configuration can be had; nothing of the broken file is
acted upon but its port and its token, so that clients find the gateway and get in.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from portico.config.checks import MIN_EXPOSED_SECRET_CHARS, is_placeholder
from portico.config.service import LoadedConfig, load_text, refusals_of
from portico.wiring.settings import local_secret

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from portico.config.issues import Issue
    from portico.web.gate import Gate

METHODS: Final = frozenset(
    {
        "health",
        "status",
        "logs.tail",
        "config.get",
        "config.set",
        "config.patch",
        "config.apply",
        "config.plan",
        "config.schema",
        "config.schema.lookup",
    }
)
"""What is offered over the control plane."""
PROBES: Final = frozenset({"/health", "/healthz", "/ready", "/readyz", "/metrics"})
DATABASE: Final = "recovery.sqlite"
_PORT = re.compile(r"\bport[\"']?\s*:\s*(\d{1,5})\b")
MAX_SHOWN = 100


def recovery_config(broken: LoadedConfig, *, env: Mapping[str, str]) -> LoadedConfig:
    """Return what to run with while the file is mended; its issues are the broken file's."""
    paths = broken.paths
    tree = {
        "gateway": {
            "port": _port(broken),
            "bind": "loopback",
            "auth": {"mode": "token", "token": _token(broken, env) or local_secret(paths)},
            "reload": {"mode": "restart", "restartCooldownMs": 0},
        },
        "store": {"url": f"sqlite:///{paths.state_dir / DATABASE}"},
        "cron": {"enabled": False},
    }
    made = load_text(paths, json.dumps(tree), env={})
    made.require_startable()
    return replace(
        made,
        exists=broken.exists,
        raw=broken.raw,
        hash=broken.hash,
        parsed=broken.parsed,
        source=broken.source,
        issues=tuple(refusals_of(broken)),
        overrides=broken.overrides,
        is_recovery=True,
    )


def forget_database(loaded: LoadedConfig) -> None:
    """Remove what an earlier recovery left."""
    for suffix in ("", "-wal", "-shm"):
        (loaded.paths.state_dir / f"{DATABASE}{suffix}").unlink(missing_ok=True)


def _port(broken: LoadedConfig) -> int:
    """The port clients look at: the wanted one, if it can be made out."""
    given = broken.overrides.get("gateway.port", _at(broken, "gateway", "port"))
    if given is None and (found := _PORT.search(broken.raw or "")) is not None:
        given = found[1]
    try:
        port = int(given)
    except (TypeError, ValueError, OverflowError):
        return 18_789
    return port if 0 <= port <= 65_535 else 18_789


def _token(broken: LoadedConfig, env: Mapping[str, str]) -> str | None:
    auth = (_at(broken, "gateway", "auth", "token"), env.get("PORTICO_GATEWAY_TOKEN"))
    for given in auth:
        if (
            isinstance(given, str)
            and len(given) >= MIN_EXPOSED_SECRET_CHARS
            and given.isprintable()
            and "${" not in given
            and not is_placeholder(given)
        ):
            return given
    return None


def _at(broken: LoadedConfig, *names: str) -> Any:
    tree: Any = broken.resolved
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def reason(loaded: LoadedConfig) -> Callable[[], Awaitable[str]]:
    """Return the check that says why a gateway with a broken configuration is not ready."""
    first = loaded.issues[0]

    async def is_broken() -> str:
        return f"recovery mode: {first.path}: {first.message}"

    return is_broken


class RecoveryDoor:
    """The HTTP side of recovery mode: probes, and a page that says what is wrong."""

    def __init__(self, inner: ASGIApp, *, gate: Gate, loaded: LoadedConfig) -> None:
        self._inner = inner
        self._gate = gate
        self._loaded = loaded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"].rstrip("/") in PROBES:
            await self._inner(scope, receive, send)
            return
        from starlette.requests import Request
        from starlette.responses import HTMLResponse

        request = Request(scope, receive, send)
        peer = self._gate.peer(scope)
        if not await self._gate.is_insider(peer, request.headers.get("authorization")):
            answer = HTMLResponse("recovery mode\n", 503)
        else:
            answer = HTMLResponse(
                page(self._loaded.issues), 503, headers={"cache-control": "no-store"}
            )
        await answer(scope, receive, send)


def page(issues: tuple[Issue, ...]) -> str:
    """Return the page; it shows no value of the file, and runs no script."""
    rows = "\n".join(
        f"<li><code>{html.escape(_place(one))}</code> {html.escape(one.message)}"
        f"<br><small>{html.escape(one.next_step)}</small></li>"
        for one in issues[:MAX_SHOWN]
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\"><title>Portico: recovery mode</title>"
        "<style>body{font:16px/1.5 system-ui;max-width:46rem;margin:3rem auto;padding:0 1rem}"
        "li{margin:.6rem 0}</style>"
        "<h1>Recovery mode</h1><p>The configuration cannot be used, and there is no earlier one "
        "to run with. Mend the file, and the gateway starts by itself.</p>"
        f"<ul>{rows}</ul>"
        "<p><code>portico config validate</code> says the same; "
        "<code>portico config set PATH VALUE</code> mends one value.</p></html>\n"
    )


def _place(issue: Issue) -> str:
    line = "" if issue.line is None else f":{issue.line}"
    return f"{issue.file or ''}{line} {issue.path}".strip() or "config"
