"""What will be done, in words, and without a secret."""

from __future__ import annotations

from portico.setup.model import KEEP, Known
from portico.setup.steps_channel import chosen_channel, wants_channel
from portico.setup.steps_model import wants_model


def summary(known: Known) -> str:
    """Return what the last step shows."""
    lines = []
    if known.facts.flow == "setup":
        lines += [
            f"Workspace: {known.get('workspace')}",
            f"Port: {known.get('gateway.port')} ({known.get('gateway.bind')})",
            f"Way in: {_auth(known)}",
        ]
    if known.facts.flow != "channels":
        lines.append(f"Model: {_model(known)}")
    if known.facts.flow != "model":
        lines.append(f"Channel: {_channel(known)}")
    if known.get("service"):
        lines.append("Service: it will be installed")
    lines.append(f"File: {known.facts.loaded.paths.config_file}")
    if known.facts.flow == "setup":
        lines.append(f"Then the page is at {page_url(known)}")
    return "\n".join(lines)


def page_url(known: Known) -> str:
    """Return where the page will be, seen from this machine; it holds no secret."""
    gateway = known.facts.loaded.require().gateway
    scheme = "https" if gateway.tls.enabled else "http"
    port = known.get("gateway.port", gateway.port)
    return f"{scheme}://127.0.0.1:{port}{gateway.control_ui.base_path}/"


def _auth(known: Known) -> str:
    chosen = known.get("gateway.auth")
    if chosen == KEEP:
        return "as it is"
    return "a new token" if chosen == "token" else "the password"


def _model(known: Known) -> str:
    if wants_model(known):
        return f"{known.get('model.provider')}/{known.get('model.id')}"
    return "as it is"


def _channel(known: Known) -> str:
    manifest = chosen_channel(known)
    return manifest.label if manifest is not None and wants_channel(known) else "as it is"
