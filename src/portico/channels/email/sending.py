"""The sending side of a mailbox: one SMTP connection for each mail.

Guarantees: a mail that was not handed over whole is certainly not sent; when the server's last word
is missing, nobody knows, and that is what is said. What can be refused before (a wrong login, a
recipient, the size) is.

Source: RFC 5321, RFC 1870 (SIZE), RFC 6531 (SMTPUTF8), RFC 3207 (STARTTLS), RFC 4954 (AUTH).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import structlog
from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from portico.channels.contract import NotReady, Outgoing, Receipt, Rejected, Transient, Uncertain
from portico.channels.email.addresses import domain_of
from portico.channels.email.composing import compose
from portico.channels.email.config import EmailAccount
from portico.channels.email.troubles import not_sent, refused
from portico.channels.media import MediaUnavailable, OutgoingFile, load
from portico.clock import Clock
from portico.fetch import Fetcher

log = structlog.get_logger()

MAX_CONNECTIONS = 4
TURN_TIMEOUT_S = 4.0
FILES_TIMEOUT_S = 8.0
HAND_OVER_TIMEOUT_S = 8.0
LAST_WORD_TIMEOUT_S = 8.0
"""Together less than the outbox waits for one attempt (30 s)."""
_LINE_END = re.compile(rb"\r\n|\r|\n")
_DOT = re.compile(rb"^\.", re.MULTILINE)


class EmailSender:
    """Sends the mail of one account."""

    def __init__(self, config: EmailAccount, clock: Clock, fetcher: Fetcher) -> None:
        self._config = config
        self._clock = clock
        self._fetcher = fetcher
        self._context: ssl.SSLContext | None = None
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        self._bytes = int(config.media_max_mb * 1_000_000)

    async def send(self, message: Outgoing) -> Receipt:
        """Send one message as a mail.

        Raises:
            ChannelError: see `troubles`.
        """
        files, text = await self._files(message)
        now_s = self._clock.now_ms() / 1000
        mail = compose(message, files, text=text, config=self._config, now_s=now_s)
        content = mail.as_bytes()
        to = str(mail["To"].addresses[0].addr_spec)
        async with self._turn(), self._connected() as smtp:
            await self._hand_over(smtp, to, content)
        return Receipt(str(mail["Message-ID"]), {"to": to})

    async def probe(self) -> Mapping[str, Any]:
        """Ask the SMTP server whether it would take mail."""
        try:
            async with self._turn(), self._connected() as smtp:
                return {"ok": True, "smtp": {"maxBytes": _limit(smtp)}}
        except Exception as error:  # noqa: BLE001  # whatever it is: the operator asked what is wrong
            return {"ok": False, "error": str(error)[:300]}

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for one of the connections there may be at once."""
        try:
            async with asyncio.timeout(TURN_TIMEOUT_S):
                await self._turns.acquire()
        except TimeoutError:
            raise NotReady("too many mails are being sent") from None
        try:
            yield
        finally:
            self._turns.release()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[SMTP]:
        """Connect and log in."""
        config = self._config
        host, port = config.smtp_address
        smtp = SMTP(
            hostname=host,
            port=port,
            use_tls=config.smtp_tls == "implicit",
            start_tls=config.smtp_tls == "starttls",
            tls_context=None if config.smtp_tls == "none" else self._context,
            local_hostname=domain_of(config.address) if config.address.isascii() else "localhost",
            timeout=HAND_OVER_TIMEOUT_S,
        )
        try:
            try:
                async with asyncio.timeout(HAND_OVER_TIMEOUT_S):
                    await smtp.connect()
                    await self._log_in(smtp)
            except TimeoutError as error:
                raise Transient(f"{host}:{port} does not answer in time") from error
            except (SMTPException, OSError, ValueError) as error:
                raise not_sent(error) from error
            yield smtp
        finally:
            smtp.close()

    async def _log_in(self, smtp: SMTP) -> None:
        config = self._config
        await smtp.ehlo()
        if not config.smtp_auth:
            return
        if config.access_token is not None:
            await smtp.auth_xoauth2(config.login, config.access_token)
        else:
            await smtp.login(config.login, config.password or "")

    async def _hand_over(self, smtp: SMTP, to: str, content: bytes) -> None:
        limit = _limit(smtp)
        if limit and len(content) > limit:
            raise Rejected(f"the mail has {len(content)} bytes, the server takes {limit} at most")
        try:
            async with asyncio.timeout(HAND_OVER_TIMEOUT_S):
                await self._introduce(smtp, to, len(content))
                said = await smtp.execute_command(b"DATA")
        except TimeoutError as error:
            raise Transient("the server does not answer in time") from error
        except (SMTPException, OSError, ValueError) as error:
            raise not_sent(error) from error
        if said.code != 354:
            raise refused(SMTPResponseException(said.code, said.message))
        await _last_word(smtp, content)
        with contextlib.suppress(SMTPException, OSError, TimeoutError):
            await smtp.quit(timeout=1)

    async def _introduce(self, smtp: SMTP, to: str, size: int) -> None:
        sender = self._config.address
        options = [f"SIZE={size}"] if smtp.supports_extension("size") else []
        encoding = "ascii"
        if not (to.isascii() and sender.isascii()):
            if not smtp.supports_extension("smtputf8"):
                raise Rejected(f"the server takes no address like {to}")
            options.append("SMTPUTF8")
            encoding = "utf-8"
        await smtp.mail(sender, options=options, encoding=encoding)
        await smtp.rcpt(to, encoding=encoding)

    async def _files(self, message: Outgoing) -> tuple[list[OutgoingFile], str]:
        """Fetch what is to be attached; what cannot be had is named in the text."""
        found: list[OutgoingFile] = []
        text, left = message.text, self._bytes
        deadline_s = self._clock.monotonic_s() + FILES_TIMEOUT_S
        for url in message.media:
            try:
                async with asyncio.timeout(max(0.0, deadline_s - self._clock.monotonic_s())):
                    file = await load(url, fetcher=self._fetcher, max_bytes=left)
            except MediaUnavailable as error:
                text = f"{text}\n\n[a file is missing: {error}]".strip()
            except TimeoutError:
                text = f"{text}\n\n[a file is missing: it does not come in time]".strip()
            else:
                found.append(file)
                left -= len(file.content)
        return found, text


async def _last_word(smtp: SMTP, content: bytes) -> None:
    """Hand over the content and wait for what the server says to it.

    The library's `data` does not tell whether a lost connection was lost before or after this.
    """
    protocol = smtp.protocol
    if protocol is None:
        raise Transient("the connection was lost")
    lines = _LINE_END.sub(b"\r\n", content)
    ending = b"" if lines.endswith(b"\r\n") else b"\r\n"
    try:
        protocol.write(_DOT.sub(b"..", lines) + ending + b".\r\n")
    except (SMTPException, OSError) as error:
        raise Transient("the connection was lost before the mail was handed over") from error
    try:
        said = await protocol.read_response(timeout=LAST_WORD_TIMEOUT_S)
    except SMTPResponseException as error:
        raise Uncertain(f"the server's last word is not understood: {error}") from error
    except (SMTPException, OSError, TimeoutError) as error:
        raise Uncertain("the connection was lost before the server's last word") from error
    if said.code != 250:
        raise refused(SMTPResponseException(said.code, said.message))


def _limit(smtp: SMTP) -> int | None:
    """Return the largest mail the server takes in bytes, when it says."""
    said = smtp.esmtp_extensions.get("size", "").strip()
    return int(said) if said.isdigit() and int(said) > 0 else None
