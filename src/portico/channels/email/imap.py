"""One connection to an IMAP server: as much of IMAP as reading a mailbox takes.

The grammar of answers is imapclient's; the connection is ours. Of the libraries, aioimaplib is
under the GPL, has no STARTTLS, waits for ever where a connection is lost in IDLE (its issue 110),
reads literals of any size and writes tokens to its log; imapclient and imap-tools block, so each
mailbox would keep a thread that nobody can cancel.

Guarantees: every answer is waited for at most `timeout_s`; no line or literal larger than allowed
is read; nothing that is sent can be taken for another command; the password is in no error and no
log. A wait for news can be cancelled at any moment without losing the place in the stream.

Source: RFC 3501 (RFC 9051), RFC 2177 (IDLE), RFC 4959 (SASL-IR), RFC 6851 (MOVE), RFC 5530 (codes).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from imapclient.imap_utf7 import encode as encode_folder
from imapclient.response_parser import parse_fetch_response, parse_message_list

from portico.channels.email.config import Encryption

MAX_LINE_BYTES = 1 << 20
MAX_ANSWER_LINES = 100_000
CLOSE_TIMEOUT_S = 2.0
_LITERAL = re.compile(rb"\{(\d{1,12})\}\r?\n$")
_UIDVALIDITY = re.compile(rb"\[UIDVALIDITY (\d+)\]", re.IGNORECASE)
_UIDNEXT = re.compile(rb"\[UIDNEXT (\d+)\]", re.IGNORECASE)
_CAPABILITY = re.compile(rb"(?:^\* |\[)CAPABILITY ([^\]\r\n]*)", re.IGNORECASE)
_EXISTS = re.compile(rb"^\* (\d+) EXISTS", re.IGNORECASE)
_FETCH = re.compile(rb"^\* (\d+) FETCH ", re.IGNORECASE)
_CODE = re.compile(r"^\[([A-Z-]+)[^\]]*\]\s*")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_QUOTABLE = re.compile(rb"^[\x20-\x7e]*$")
_LATER = frozenset({"UNAVAILABLE", "LIMIT", "INUSE", "SERVERBUG"})
"""Codes of a refused login that say nothing about the password."""

Piece = bytes | tuple[bytes, bytes]
Answer = list[Piece]
"""One answer: its text, cut after each literal, which stands beside it."""


class ImapBroken(ConnectionError):
    """The connection is lost, or the server does not keep to the protocol."""


class ImapRefused(Exception):
    """The server refuses a command; `code` is the response code, if there is one."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class LoginRefused(ImapRefused):
    """The server does not accept the credentials."""


class Unparsable(Exception):
    """What the server says of one message cannot be understood."""


@dataclass(frozen=True, slots=True)
class Selected:
    """A folder as it was when it was opened."""

    uid_validity: int
    uid_next: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """One message, or its beginning.

    Attributes:
        size_bytes: of the whole message, as far as the server says.
        arrived_s: when it came into the mailbox, in seconds since 1970; 0: unknown.
    """

    uid: int
    content: bytes
    size_bytes: int
    arrived_s: int

    @property
    def is_cut(self) -> bool:
        """Whether there is more of it."""
        return self.size_bytes > len(self.content)


class Imap:
    """One connection. Make it with `connect`; use it from one task."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        timeout_s: float,
        max_literal_bytes: int,
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        """Take over a connection.

        Args:
            heard: called when the server has answered, or spoken by itself.
        """
        self._reader = reader
        self._writer = writer
        self._timeout_s = timeout_s
        self._max_literal_bytes = max_literal_bytes
        self._heard = heard
        self._next_tag = 0
        self._pieces: Answer = []
        self._literal: tuple[bytes, int] | None = None
        self._capabilities: frozenset[str] = frozenset()
        self.has_news = False

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(
        cls,
        address: tuple[str, int],
        *,
        tls: Encryption,
        context: ssl.SSLContext,
        timeout_s: float,
        max_literal_bytes: int,
        heard: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[Imap]:
        """Connect, encrypted as asked; closed on the way out.

        Raises:
            ImapBroken: it is not reached, or does not speak IMAP or TLS.
            ImapRefused: it has no STARTTLS.
        """
        host, port = address
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection(
                    host, port, limit=MAX_LINE_BYTES, ssl=context if tls == "implicit" else None
                )
        except (OSError, TimeoutError) as error:
            raise ImapBroken(f"{host}:{port} is not reached: {_told(error)}") from error
        imap = cls(
            reader,
            writer,
            timeout_s=timeout_s,
            max_literal_bytes=max_literal_bytes,
            heard=heard,
        )
        try:
            await imap._greet()
            if tls == "starttls":
                await imap._start_tls(context, host)
            await imap._learn_capabilities()
            yield imap
        finally:
            await imap._close()

    # -- what it can do --------------------------------------------------------------------------

    def can(self, capability: str) -> bool:
        """Whether the server has a capability."""
        return capability in self._capabilities

    async def login(self, user: str, password: str) -> None:
        """Log in with a password.

        Raises:
            LoginRefused: it is not accepted.
        """
        if self.can("AUTH=PLAIN"):
            secret = f"\0{user}\0{password}".encode()
            await self._authenticate("PLAIN", secret)
        elif self.can("LOGINDISABLED"):
            raise LoginRefused("the server takes no password on this connection")
        else:
            await self._log_in("LOGIN", _quoted(user.encode()), _quoted(password.encode()))

    async def login_with_token(self, user: str, token: str) -> None:
        """Log in with an OAuth 2 access token.

        Raises:
            LoginRefused: it is not accepted.
        """
        await self._authenticate("XOAUTH2", f"user={user}\1auth=Bearer {token}\1\1".encode())

    async def introduce(self) -> None:
        """Say who we are, where the server asks: some open no folder to strangers (RFC 2971)."""
        if self.can("ID"):
            with contextlib.suppress(ImapRefused):
                await self._command("ID", b'("name" "portico")')

    async def select(self, folder: str) -> Selected:
        """Open a folder.

        Raises:
            ImapRefused: there is no such folder.
        """
        answers = await self._command("SELECT", _folder(folder))
        text = b"\n".join(_line(answer) for answer in answers)
        validity, following = _UIDVALIDITY.search(text), _UIDNEXT.search(text)
        if following is not None:
            uid_next = int(following[1])
        else:  # an old server: the last message knows
            uid_next = max(await self.search("1:*"), default=0) + 1
        self.has_news = True
        return Selected(int(validity[1]) if validity is not None else 0, uid_next)

    async def search(self, uids: str, *, unseen: bool = False) -> list[int]:
        """Return which messages of a range there are (or are unread), by UID, in order."""
        self.has_news = False
        answers = await self._command("UID SEARCH", b"UID " + uids.encode(), b"UNSEEN" * unseen)
        found: set[int] = set()
        for answer in answers:
            line = _line(answer)
            if line.upper().startswith(b"* SEARCH"):
                try:
                    found.update(parse_message_list([line[8:].strip()]))
                except ValueError as error:
                    raise ImapBroken("the server's list of messages is not understood") from error
        return sorted(found)

    async def fetch(self, uid: int, *, max_bytes: int) -> Fetched | None:
        """Return a message, at most so much of it, without marking it; `None`: it is gone.

        Raises:
            ImapRefused: the server does not hand it out.
            Unparsable: what the server says of it is not understood.
        """
        wanted = f"(UID RFC822.SIZE INTERNALDATE BODY.PEEK[]<0.{max_bytes}>)"
        answers = await self._command("UID FETCH", str(uid).encode(), wanted.encode())
        found: dict[bytes, Any] = {}
        for answer in answers:
            if (start := _FETCH.match(_line(answer))) is not None:
                said = _fetched(answer, start)
                if said.get(b"UID") == uid:
                    found.update(said)
        body = next((value for key, value in found.items() if key.startswith(b"BODY[]")), None)
        if body is None:
            return None
        arrived, size = found.get(b"INTERNALDATE"), found.get(b"RFC822.SIZE")
        content = body if isinstance(body, bytes) else str(body).encode()
        return Fetched(
            uid,
            content,
            size if isinstance(size, int) else len(content),
            int(arrived.timestamp()) if isinstance(arrived, datetime) else 0,
        )

    async def mark_seen(self, uid: int) -> None:
        """Mark a message as read."""
        await self._command("UID STORE", str(uid).encode(), b"+FLAGS.SILENT", b"(\\Seen)")

    async def move(self, uid: int, folder: str) -> None:
        """Move a message to another folder, which is made if there is none."""
        try:
            await self._move(uid, folder)
        except ImapRefused as refused:
            if refused.code != "TRYCREATE":
                raise
            await self._command("CREATE", _folder(folder))
            await self._move(uid, folder)

    async def _move(self, uid: int, folder: str) -> None:
        which, where = str(uid).encode(), _folder(folder)
        if self.can("MOVE"):
            await self._command("UID MOVE", which, where)
            return
        await self._command("UID COPY", which, where)
        await self._command("UID STORE", which, b"+FLAGS.SILENT", b"(\\Deleted)")
        if self.can("UIDPLUS"):  # a plain EXPUNGE would remove what others have marked
            await self._command("UID EXPUNGE", which)

    async def noop(self) -> None:
        """Hear whether the server is there, and what is new."""
        await self._command("NOOP")

    async def idle(self, for_s: float) -> None:
        """Wait until something is new, or the time is up."""
        tag = await self._send("IDLE")
        await self._until_continued(tag, "IDLE")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                while not self.has_news:
                    self._notice(await self._read())
        await self._write(b"DONE\r\n")
        await self._until_done(tag, "IDLE")

    # -- logging in ------------------------------------------------------------------------------

    async def _greet(self) -> None:
        line = _line(await self._answer())
        if not line.upper().startswith((b"* OK", b"* PREAUTH")):
            raise ImapBroken(f"the server does not want us: {_shown(line)}")

    async def _start_tls(self, context: ssl.SSLContext, host: str) -> None:
        await self._command("STARTTLS")
        loop = asyncio.get_running_loop()
        # What came before the handshake, from whoever, stays behind in the old reader.
        self._reader = reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport = await loop.start_tls(
                self._writer.transport,
                protocol,
                context,
                server_hostname=host,
                ssl_handshake_timeout=self._timeout_s,
            )
        except OSError as error:
            raise ImapBroken(f"no encryption with {host}: {_told(error)}") from error
        if transport is None:
            raise ImapBroken("the connection was lost while it was encrypted")
        protocol.connection_made(transport)
        self._writer = asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _learn_capabilities(self) -> None:
        answers = await self._command("CAPABILITY")
        for answer in answers:
            if (found := _CAPABILITY.search(_line(answer))) is not None:
                said = found[1].decode("ascii", "replace").upper()
                self._capabilities = frozenset(said.split())

    async def _authenticate(self, mechanism: str, secret: bytes) -> None:
        encoded = base64.b64encode(secret)
        if self.can("SASL-IR"):
            await self._log_in("AUTHENTICATE", mechanism.encode(), encoded)
            return
        await self._log_in("AUTHENTICATE", mechanism.encode(), response=encoded)

    async def _log_in(self, name: str, *arguments: bytes, response: bytes = b"") -> None:
        try:
            await self._command(name, *arguments, response=response)
        except ImapRefused as refused:
            if refused.code in _LATER:
                raise ImapBroken(f"no login now: {refused}") from refused
            raise LoginRefused(str(refused), refused.code) from refused
        await self._learn_capabilities()

    # -- commands and answers --------------------------------------------------------------------

    async def _command(self, name: str, *arguments: bytes, response: bytes = b"") -> list[Answer]:
        """Send a command; return the untagged answers.

        Args:
            response: what to say when the server asks to go on; after that, nothing.
        """
        tag = await self._send(name, *arguments)
        return await self._until_done(tag, name, response=response)

    async def _send(self, name: str, *arguments: bytes) -> bytes:
        self._next_tag += 1
        tag = b"P%d" % self._next_tag
        line = tag + b" " + name.encode()
        for argument in arguments:
            if isinstance(argument, _Literal):
                await self._write(line + b" {%d}\r\n" % len(argument))
                await self._until_continued(tag, name)
                line = bytes(argument)
            elif argument:
                line += b" " + argument
        await self._write(line + b"\r\n")
        return tag

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise ImapBroken(f"the connection is lost: {_told(error)}") from error

    async def _until_done(self, tag: bytes, name: str, *, response: bytes = b"") -> list[Answer]:
        answers: list[Answer] = []
        while len(answers) < MAX_ANSWER_LINES:
            answer = await self._answer()
            line = _line(answer)
            if line.startswith(tag + b" "):
                _check(line[len(tag) + 1 :], name)
                return answers
            if line.startswith(b"+"):
                await self._write(response + b"\r\n")
                response = b""
            else:
                self._notice(answer)
                answers.append(answer)
        raise ImapBroken("the server's answer does not end")

    async def _until_continued(self, tag: bytes, name: str) -> None:
        while not (line := _line(answer := await self._answer())).startswith(b"+"):
            if line.startswith(tag + b" "):
                _check(line[len(tag) + 1 :], name)
                raise ImapBroken("the server does not wait for the rest")
            self._notice(answer)

    def _notice(self, answer: Answer) -> None:
        """Take note of what the server says by itself."""
        line = _line(answer)
        if _EXISTS.match(line):
            self.has_news = True
        elif line[:6].upper() == b"* BYE ":
            raise ImapBroken(f"the server hangs up: {_shown(line[6:])}")

    async def _answer(self) -> Answer:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._read()
        except TimeoutError:
            raise ImapBroken(f"no answer within {self._timeout_s:g} s") from None

    async def _read(self) -> Answer:
        """Read one answer. Cancelled, it goes on where it was the next time."""
        while True:
            try:
                await self._read_literal()
                line = await self._reader.readuntil(b"\n")
            except asyncio.IncompleteReadError as error:
                raise ImapBroken("the server closed the connection") from error
            except asyncio.LimitOverrunError as error:
                raise ImapBroken("the server sends a line without end") from error
            except OSError as error:
                raise ImapBroken(f"the connection is lost: {_told(error)}") from error
            if (size := _LITERAL.search(line)) is None:
                self._pieces.append(line.rstrip(b"\r\n"))
                answer, self._pieces = self._pieces, []
                self._heard()
                return answer
            if int(size[1]) > self._max_literal_bytes:
                raise ImapBroken(f"the server sends {int(size[1])} bytes that nobody asked for")
            self._literal = line.rstrip(b"\r\n"), int(size[1])

    async def _read_literal(self) -> None:
        if self._literal is not None:
            line, size = self._literal
            content = await self._reader.readexactly(size)
            self._literal = None
            self._pieces.append((line, content))

    async def _close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()


class _Literal(bytes):
    """An argument that cannot be quoted."""

    __slots__ = ()


def _quoted(text: bytes) -> bytes:
    if not _QUOTABLE.match(text):
        if b"\0" in text:
            raise ImapRefused("NUL cannot be sent")
        return _Literal(text)
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _folder(name: str) -> bytes:
    return _quoted(bytes(encode_folder(name)))


def _line(answer: Answer) -> bytes:
    """Return the first line of an answer."""
    first = answer[0]
    return first if isinstance(first, bytes) else first[0]


def _check(status: bytes, name: str) -> None:
    word, _, rest = status.partition(b" ")
    if word.upper() == b"OK":
        return
    text = _shown(rest)
    code = _CODE.match(text.upper())
    raise ImapRefused(f"{name}: {text or word.decode('ascii', 'replace')}", code[1] if code else "")


def _fetched(answer: Answer, start: re.Match[bytes]) -> dict[bytes, Any]:
    number, first = start[1] + b" ", answer[0]
    # The parser wants it as imaplib cuts it: the number, and what follows the word FETCH.
    cut: Piece
    if isinstance(first, bytes):
        cut = number + first[start.end() :]
    else:
        cut = number + first[0][start.end() :], first[1]
    try:
        found = parse_fetch_response([cut, *answer[1:]], normalise_times=False, uid_is_key=False)
    except Exception as error:  # the parser's own errors are imaplib's, and it raises others, too
        raise Unparsable(_told(error)) from error
    return dict(next(iter(found.values()), {}))


def _shown(text: bytes) -> str:
    return " ".join(_CONTROL.sub(b" ", text).decode("utf-8", "replace").split())[:200]


def _told(error: BaseException) -> str:
    return str(error)[:200] or type(error).__name__
