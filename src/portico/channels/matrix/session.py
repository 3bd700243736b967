"""The login of an account: a token from the settings, or one that a password has brought.

Guarantees: the token of a password login is kept in the account's folder, mode 0600, with the
device it belongs to; the device is kept when the token is not, so that a new login takes the same
one and transaction ids go on to mean the same to servers that tell devices apart.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from portico.channels.contract import AuthExpired, Misconfigured
from portico.channels.matrix.config import MatrixAccount
from portico.channels.matrix.homeserver import Homeserver
from portico.channels.matrix.model import Login
from portico.channels.matrix.troubles import Trouble

FILE = "login.json"


class Saved(msgspec.Struct, rename="camel"):
    """What is in the file."""

    homeserver: str
    user_id: str
    device_id: str
    access_token: str | None = None


class Session:
    """How an account gets in."""

    def __init__(self, config: MatrixAccount, folder: Path) -> None:
        self._config = config
        self._file = folder / FILE

    async def open(self, home: Homeserver) -> Login:
        """Log in, or go on with the login there is.

        Raises:
            AuthExpired: neither token nor password is accepted.
            Trouble: the homeserver cannot say now.
        """
        token = self._config.access_token or self._token()
        if token is None:
            return await self._log_in(home)
        login = await home.whoami(token)
        self._resume(home, login)
        return login

    async def _log_in(self, home: Homeserver) -> Login:
        config = self._config
        if config.user_id is None or config.password is None:
            raise AuthExpired("there is neither an access token nor a password")
        known = self._load()
        device_id = config.device_id or (known.device_id if known else None)
        try:
            login = await home.log_in(
                config.user_id,
                config.password,
                device_id=device_id,
                device_name=config.device_name,
            )
        except Trouble as trouble:
            if trouble.code == "M_FORBIDDEN":
                raise AuthExpired(f"user or password is not accepted ({trouble})") from trouble
            raise
        self._save(Saved(config.homeserver, config.user_id, login.device_id, login.access_token))
        self._resume(home, login)
        home.offer_keys_again()
        return login

    def _resume(self, home: Homeserver, login: Login) -> None:
        if self._config.encryption and not login.device_id:
            raise Misconfigured("the access token has no device; encrypted rooms need one")
        home.resume(login)

    def forget(self) -> bool:
        """Forget the token, not the device; return whether there was one."""
        known = self._load()
        if known is None or known.access_token is None:
            return False
        known.access_token = None
        self._save(known)
        return True

    async def log_out(self, home: Homeserver) -> bool:
        """Forget the token here and at the server; return whether there was one."""
        token = self._config.access_token or self._token()
        if token is None:
            return False
        try:
            home.resume(await home.whoami(token))
            await home.log_out()
        except Trouble as trouble:
            if not trouble.is_logged_out:
                raise
        self.forget()
        return True

    def _token(self) -> str | None:
        known = self._load()
        return None if known is None else known.access_token

    def _load(self) -> Saved | None:
        """Return the login of this user at this server; another's is none."""
        try:
            found = msgspec.json.decode(self._file.read_bytes(), type=Saved)
        except (OSError, msgspec.DecodeError):
            return None
        config = self._config
        is_ours = (found.homeserver, found.user_id) == (config.homeserver, config.user_id)
        return found if is_ours else None

    def _save(self, saved: Saved) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(saved))
        fresh.replace(self._file)
