"""Which scopes a connection is about: those asked for, those its user has, those it is capped to.

Guarantees: nothing here gives more than the connection's own cap (`x-openclaw-scopes`) allows.

Source: OpenClaw gateway protocol, "Roles and scopes", and its guide to trusted proxies.
"""

from __future__ import annotations

from collections.abc import Mapping

from portico.auth.peer import Peer
from portico.auth.rows import TokenRow
from portico.auth.trusted_proxy import DEFAULT_DEVICE_SCOPES, same_identity
from portico.protocol.connect import ConnectParams
from portico.protocol.scopes import ALL_SCOPES, Role, Scope, expand

Scopes = tuple[str, ...]


def requested(params: ConnectParams, peer: Peer) -> Scopes:
    """Return the scopes asked for that exist and lie under the connection's own cap."""
    if params.role != Role.OPERATOR:
        return ()
    return capped(tuple(dict.fromkeys(n for n in params.scopes if n in ALL_SCOPES)), peer)


def capped(scopes: Scopes, peer: Peer) -> Scopes:
    """Return those of some scopes that lie under the connection's own cap."""
    if peer.scope_cap is None:
        return scopes
    cap = expand(peer.scope_cap)
    return tuple(name for name in scopes if name in cap)


def is_user_interface(params: ConnectParams) -> bool:
    """Say whether a person sits before it: a page, or an app with a window."""
    return params.role == Role.OPERATOR and (params.client.is_browser or params.client.mode == "ui")


def vouched_for(
    params: ConnectParams, peer: Peer, *, most: Scopes, held: TokenRow | None
) -> Scopes:
    """Return what the device of a user is to be approved for, on the word of a trusted proxy.

    Args:
        most: what such devices may do.
        held: what this one may do already; it is not asked for again.
    """
    chosen = [name for name in (params.scopes or most) if name in most]
    if most == DEFAULT_DEVICE_SCOPES and Scope.QUESTIONS not in chosen:
        chosen.append(Scope.QUESTIONS)
    within = capped(tuple(chosen), peer)
    if held is None:
        return within
    may = expand(list(held.scopes))
    if not set(within) <= may:
        return within
    return tuple(name for name in requested(params, peer) if name in may) or within


def with_identity(
    scopes: Scopes, identity: str | None, given: Mapping[str, Scopes], peer: Peer
) -> Scopes:
    """Return the scopes of a session, with those the configuration gives its user."""
    if identity is None:
        return scopes
    who = same_identity(identity)
    more = [name for user, names in given.items() if same_identity(user) == who for name in names]
    return capped(tuple(dict.fromkeys((*scopes, *more))), peer)
