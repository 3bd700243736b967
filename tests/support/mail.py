"""A real mail provider on this machine: pymap for IMAP, aiosmtpd for SMTP, over real sockets.

Both are libraries that run in the loop of the test. What arrives is put straight into the mailbox,
as the provider's own delivery does it. In front of IMAP stands a `Wire`, to cut it or silence it.
"""

from __future__ import annotations

import asyncio
import base64
import email.policy
import itertools
import ssl
from argparse import Namespace
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from proxyprotocol.reader import ProxyProtocolReader
from pymap.backend.dict import DictBackend
from pymap.concurrent import Subsystem
from pymap.imap import IMAPServer
from pymap.parsing.message import AppendMessage
from pymap.parsing.specials.flag import Seen
from pymap.user import Passwords, UserMetadata
from pysasl.hashing import BuiltinHash

from portico.channels.email.reading import Limits, read
from portico.testkit import Outcome, Provider, Sent
from tests.support.certificates import write_pair
from tests.support.wire import Wire

AGENT = "agent@portico.example"
PASSWORD = 'pass "word" \\ ü'
PEOPLE = "people.example"
ARGUMENTS = {
    "host": "127.0.0.1",
    "port": 0,
    "debug": False,
    "cert": None,
    "key": None,
    "tls": True,
    "passlib_cfg": None,
    "proxy_protocol": None,
    "inherited_sockets": None,
    "demo_data": False,
    "demo_user": AGENT,
}


class Imap:
    """An IMAP server with one mailbox.

    Attributes:
        encryption: `implicit`, `starttls` or `none`.
    """

    def __init__(self, certificate: tuple[Path, Path], *, encryption: str = "implicit") -> None:
        self.encryption = encryption
        self._certificate = certificate
        self._stack = AsyncExitStack()
        self.port = 0

    async def __aenter__(self) -> Self:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._certificate)
        self._backend, self._config = await DictBackend.init(
            Namespace(**ARGUMENTS, demo_password=PASSWORD),
            ssl_context=context,
            secure_auth=False,
            invalid_user_sleep=0.0,
            reject_dnsbl=False,
            hash_context=BuiltinHash(rounds=1),
            cpu_subsystem=Subsystem.for_asyncio(),
        )
        self._config.apply_context()
        answer = ProxyProtocolReader(self._config.proxy_protocol).get_callback(
            IMAPServer(self._backend.login, self._config)
        )
        server = await asyncio.start_server(
            answer, "127.0.0.1", 0, ssl=context if self.encryption == "implicit" else None
        )
        self._stack.callback(server.close)
        self.port = server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def folder(self, name: str = "INBOX") -> Any:
        mailboxes = await self._mailboxes()
        return await mailboxes.get_mailbox(name)

    async def add_folder(self, name: str) -> None:
        mailboxes = await self._mailboxes()
        await mailboxes.add_mailbox(name)

    async def remove_folder(self, name: str) -> None:
        mailboxes = await self._mailboxes()
        await mailboxes.delete_mailbox(name)

    async def _mailboxes(self) -> Any:
        async with self._backend.login.demo_user_identity.new_session() as session:
            return session.mailbox_set

    async def put(
        self, raw: bytes, *, folder: str = "INBOX", seen: bool = False, at: datetime | None = None
    ) -> int:
        """Deliver a mail; return its UID."""
        flags = frozenset({Seen} if seen else ())
        mailbox = await self.folder(folder)
        message = await mailbox.append(AppendMessage(raw, at or datetime.now(UTC), flags))
        return int(message.uid)

    async def seen(self, folder: str = "INBOX") -> dict[int, bool]:
        """Return whether each message is marked as read, by UID."""
        mailbox = await self.folder(folder)
        return {uid: Seen in one.permanent_flags for uid, one in mailbox._messages.items()}

    async def set_password(self, password: str) -> None:
        hashed = await Passwords(self._config).hash_password(password)
        user = UserMetadata(self._config, AGENT, password=hashed)
        self._backend.login.users_dict[AGENT] = user


class Smtp:
    """An SMTP server that keeps what it takes, and does what is planned."""

    def __init__(self, certificate: tuple[Path, Path], *, encryption: str = "implicit") -> None:
        self.encryption = encryption
        self.taken: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.raw: list[bytes] = []
        self.answers: deque[str | Outcome] = deque()
        self.attempts = 0
        self.password = PASSWORD
        self.max_bytes = 33_000_000
        self.port = 0
        self._certificate = certificate
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._certificate)
        loop = asyncio.get_running_loop()

        def session() -> SMTP:
            return SMTP(
                self,
                data_size_limit=self.max_bytes,
                enable_SMTPUTF8=True,
                hostname="mail.portico.example",
                auth_require_tls=False,
                authenticator=self._authenticate,
                tls_context=context if self.encryption == "starttls" else None,
                require_starttls=self.encryption == "starttls",
                loop=loop,
            )

        self._server = await loop.create_server(
            session, "127.0.0.1", 0, ssl=context if self.encryption == "implicit" else None
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    def _authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _how: str, data: Any
    ) -> Any:
        assert isinstance(data, LoginPassword)
        is_right = (data.login.decode(), data.password.decode()) == (AGENT, self.password)
        return AuthResult(success=is_right, handled=is_right)

    async def handle_MAIL(  # noqa: N802  # aiosmtpd finds it by its name
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ):
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def auth_XOAUTH2(self, server: Any, args: list[str]) -> Any:  # noqa: N802  # as above
        said = base64.b64decode(args[1]).decode()
        is_right = said == f"user={AGENT}\1auth=Bearer {self.password}\1\1"
        return AuthResult(success=is_right, handled=is_right)

    async def handle_RCPT(  # noqa: N802  # as above
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ):
        if self.answers and self.answers[0] == "cut":
            self.answers.popleft()
            server.transport.abort()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any):  # noqa: N802  # as above
        self.attempts += 1
        answer = self.answers.popleft() if self.answers else Outcome.ACCEPT
        if not isinstance(answer, Outcome):
            return answer
        match answer:
            case Outcome.LIMIT:
                return "450 4.7.1 Too many messages, try again in 1 second"
            case Outcome.FAIL:
                return "454 4.3.0 Out of order for a while"
            case Outcome.REJECT:
                return "550 5.7.1 We do not want this"
            case _:
                pass
        self.raw.append(envelope.content)
        self.recipients.append([*envelope.rcpt_tos])
        self.taken.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        if answer is Outcome.DROP_ANSWER:
            server.transport.abort()
        return "250 2.0.0 Taken"


class Post(Provider):
    """Both servers, and the people who write."""

    def __init__(self, imap: Imap, smtp: Smtp, wire: Wire, certificate: Path) -> None:
        self.imap = imap
        self.smtp = smtp
        self.wire = wire
        self._certificate = certificate
        self._numbers = itertools.count(1)
        self._raws: dict[str, bytes] = {}
        self._uids: dict[str, list[int]] = {}
        self._mailbox: Any = None

    def settings(self) -> dict[str, Any]:
        return {
            "address": AGENT,
            "password": PASSWORD,
            "imapHost": "127.0.0.1",
            "imapPort": self.wire.port,
            "imapTls": self.imap.encryption,
            "smtpHost": "127.0.0.1",
            "smtpPort": self.smtp.port,
            "smtpTls": self.smtp.encryption,
            "tlsCaFile": str(self._certificate),
            "idleSeconds": 1,
            "answersPerHour": 0,
        }

    # -- in --------------------------------------------------------------------------------------

    def mail(self, text: str, *, sender: str = "ann", **headers: str | None) -> bytes:
        """Write a mail; a header that is `None` is left out."""
        number = next(self._numbers)
        mail = EmailMessage(policy=email.policy.SMTP)
        known = {
            "From": f"{sender.title()} <{sender}@{PEOPLE}>",
            "To": AGENT,
            "Date": formatdate(),
            "Message-ID": f"<m{number}.{sender}@{PEOPLE}>",
        }
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {**known, **given}.items():
            if value is not None:
                mail[name] = value
        mail.set_content(text)
        return mail.as_bytes()

    async def deliver(self, raw: bytes, **how: Any) -> str:
        """Put a mail into the mailbox; return its key."""
        key = read(raw, Limits()).key
        self._raws[key] = raw
        self._uids.setdefault(key, []).append(await self.imap.put(raw, **how))
        self._mailbox = await self.imap.folder()
        return key

    async def say(self, text: str, *, sender: str = "ann") -> str:
        return await self.deliver(self.mail(text, sender=sender))

    async def repeat(self, key: str) -> None:
        await self.deliver(self._raws[key])

    def is_acknowledged(self, key: str) -> bool:
        messages = self._mailbox._messages
        return all(Seen in messages[uid].permanent_flags for uid in self._uids[key])

    async def tell_event(self) -> str:
        return await self.deliver(self.mail("I am away", Auto_Submitted="auto-replied"))

    async def tell_garbage(self) -> None:
        for raw in (
            b"\xff\xfe\x00",
            b"\r\n\r\n",
            b"no headers at all",
            b"From: \r\n\r\nhello",
            b"From: =?x-nonsense?b?!!!?= <@@>\r\nContent-Type: multipart/mixed\r\n\r\n--\r\n",
            b"From: a@b.example\r\nFrom: c@d.example\r\n\r\ntwo senders",
            b"From: a@b.example\r\nContent-Type: text/plain; charset=klingon\r\n\r\n\x80\x81",
        ):
            await self.imap.put(raw)

    # -- out -------------------------------------------------------------------------------------

    def sent(self) -> list[Sent]:
        return [
            Sent(to[0], body_of(mail))
            for to, mail in zip(self.smtp.recipients, self.smtp.taken, strict=True)
        ]

    def attempts(self) -> int:
        return self.smtp.attempts

    def plan(self, *outcomes: Outcome) -> None:
        self.smtp.answers.extend(outcomes)

    # -- faults ----------------------------------------------------------------------------------

    async def cut(self) -> None:
        self.wire.cut()

    async def go_silent(self) -> None:
        self.wire.go_silent()

    async def revoke(self) -> None:
        await self.imap.set_password("another one")
        self.smtp.password = "another one"

    async def accept_again(self) -> None:
        await self.imap.set_password(PASSWORD)
        self.smtp.password = PASSWORD


def body_of(mail: EmailMessage, kind: str = "plain") -> str:
    """Return the text of a mail, as a reader sees it."""
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n").strip()


@asynccontextmanager
async def post_office(
    folder: Path, *, imap_tls: str = "implicit", smtp_tls: str = "implicit"
) -> AsyncIterator[Post]:
    """Open a provider with an empty mailbox."""
    certificate = write_pair(folder)
    async with (
        Imap(certificate, encryption=imap_tls) as imap,
        Smtp(certificate, encryption=smtp_tls) as smtp,
        Wire(imap.port) as wire,
    ):
        yield Post(imap, smtp, wire, certificate[0])
