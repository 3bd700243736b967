"""The HTTP addresses of channels, opened and closed with the accounts that answer there.

Guarantees: an address has one account at a time; closing what is closed does nothing.

Not here: HTTP (the web room asks `find` for each request).
"""

from __future__ import annotations

from portico.channels.contract import HttpDoor, Misconfigured

PREFIX = "/integrations"


class Doors:
    """Who answers where."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], tuple[str, HttpDoor]] = {}

    def open(self, channel: str, account: str, door: HttpDoor) -> str:
        """Open a door; return its path on the gateway's port.

        Raises:
            Misconfigured: another account has it, or the path is not one.
        """
        path = door.path.strip("/")
        if not path or any(part in {"", ".", ".."} for part in path.split("/")):
            raise Misconfigured(f"not a path for a door: {door.path!r}")
        holder = self._open.get((channel, path))
        if holder is not None and holder[0] != account:
            raise Misconfigured(
                f"{PREFIX}/{channel}/{path} belongs to account {holder[0]}: give each its own path"
            )
        self._open[channel, path] = (account, door)
        return f"{PREFIX}/{channel}/{path}"

    def close(self, channel: str, account: str, door: HttpDoor) -> None:
        """Close a door, unless another run has opened it anew."""
        path = door.path.strip("/")
        if self._open.get((channel, path)) == (account, door):
            del self._open[channel, path]

    def find(self, channel: str, path: str) -> tuple[HttpDoor, str] | None:
        """Return the door that a request's path leads to, and the rest of the path."""
        parts = path.strip("/").split("/")
        for length in range(len(parts), 0, -1):
            found = self._open.get((channel, "/".join(parts[:length])))
            if found is not None:
                return found[1], "/".join(parts[length:])
        return None
