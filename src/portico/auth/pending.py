"""The statements and works behind the requests of devices that wait for an answer.

Guarantees: a device has one request in each role; a request that asks for something else has
another id, so that nobody approves what they have not seen; requests are bounded in number, in all
and from one address.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, func, select

from portico.auth.queries import values_of
from portico.auth.rows import PairingRow
from portico.auth.tables import pairing_requests as requests
from portico.store import Row, Work, one, statement

_p = bindparam

_find = statement(
    select(requests).where(
        requests.c.request_id == _p("request_id"), requests.c.expires_at > _p("now")
    )
)
_take = statement(
    delete(requests)
    .where(requests.c.request_id == _p("request_id"), requests.c.expires_at > _p("now"))
    .returning(*requests.c)
)
_of = statement(
    select(requests).where(requests.c.device_id == _p("device_id"), requests.c.role == _p("role"))
)
_all = statement(
    select(requests)
    .where(requests.c.expires_at > _p("now"))
    .order_by(requests.c.created_at, requests.c.request_id)
)
_count = statement(select(func.count().label("waiting")).select_from(requests))
_count_from = statement(
    select(func.count().label("waiting")).where(requests.c.remote_ip == _p("remote_ip"))
)
_put = statement(
    lambda insert: (into := insert(requests)).on_conflict_do_update(
        index_elements=["device_id", "role"],
        set_={
            name: into.excluded[name]
            for name in (
                *("request_id", "scopes", "reason", "client", "remote_ip"),
                *("created_at", "expires_at"),
            )
        },
    )
)
_drop_expired = statement(
    delete(requests).where(requests.c.expires_at <= _p("now")).returning(requests.c.request_id)
)
_drop_of = statement(delete(requests).where(requests.c.device_id == _p("device_id")))


@dataclass(frozen=True, slots=True)
class PendingLimits:
    """How many requests may wait, and how long.

    Attributes:
        from_one_address: of them from one address.
    """

    ttl_ms: int = 300_000
    in_all: int = 200
    from_one_address: int = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that waits now.

    Attributes:
        is_new: nobody was told of it yet.
        superseded: the request it takes the place of.
    """

    request: PairingRow
    is_new: bool
    superseded: PairingRow | None = None


class TooManyWait(Exception):
    """As many requests wait as may."""


def _request(row: Row) -> PairingRow:
    values: dict[str, Any] = {name: row[name] for name in PairingRow.__dataclass_fields__}
    values["scopes"] = tuple(msgspec.json.decode(row["scopes"]))
    values["client"] = msgspec.json.decode(row["client"])
    return PairingRow(**values)


def put_request(wish: PairingRow, *, limits: PendingLimits) -> Work[Asked]:
    """Remember a request, or refresh the one the device has in this role.

    A device that asks for more than its request shows gets a new one, for both together; one that
    asks for less keeps what it asked for.

    Raises:
        TooManyWait: no more requests are taken now.
    """
    yield _drop_expired(now=wish.created_at)
    row = one((yield _of(device_id=wish.device_id, role=wish.role)))
    if row is None:
        yield from _make_room(wish, limits)
        yield _put(**values_of(wish))
        return Asked(wish, is_new=True)
    before = _request(row)
    together = tuple(dict.fromkeys((*before.scopes, *wish.scopes)))
    if set(together) == set(before.scopes) and wish.client == before.client:
        kept = replace(before, reason=wish.reason, expires_at=wish.expires_at)
        yield _put(**values_of(kept))
        return Asked(kept, is_new=False)
    wider = replace(wish, scopes=together)
    yield _put(**values_of(wider))
    return Asked(wider, is_new=True, superseded=before)


def _make_room(wish: PairingRow, limits: PendingLimits) -> Work[None]:
    counted = one((yield _count()))
    if counted is not None and counted["waiting"] >= limits.in_all:
        raise TooManyWait
    if wish.remote_ip is None:
        return
    counted = one((yield _count_from(remote_ip=wish.remote_ip)))
    if counted is not None and counted["waiting"] >= limits.from_one_address:
        raise TooManyWait


def find_request(request_id: str, now: int) -> Work[PairingRow | None]:
    """Return a request that waits."""
    row = one((yield _find(request_id=request_id, now=now)))
    return None if row is None else _request(row)


def take_request(request_id: str, now: int) -> Work[PairingRow | None]:
    """End a request and return it; of several who try, one gets it."""
    row = one((yield _take(request_id=request_id, now=now)))
    return None if row is None else _request(row)


def list_requests(now: int) -> Work[list[PairingRow]]:
    """Return every request that waits, oldest first."""
    return [_request(row) for row in (yield _all(now=now))]


def drop_requests_of(device_id: str) -> Work[None]:
    """Forget what a device asks for."""
    yield _drop_of(device_id=device_id)


def drop_expired(now: int) -> Work[int]:
    """Forget the requests nobody answered; return how many."""
    return len((yield _drop_expired(now=now)))
