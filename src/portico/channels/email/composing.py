"""From a message to send to a mail: plain text and HTML from the same Markdown, files, threading.

Guarantees: nothing that comes from outside (a subject, an id, an address, a file's name) can begin
another header; HTML that is written in Markdown is shown, not run; the same delivery becomes a mail
with the same Message-ID each time; every mail says that a program wrote it.

Source: RFC 5322, sections 3.6.4 (threading) and 2.1.1 (lengths); RFC 3834, section 5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from functools import cache
from typing import TYPE_CHECKING

from portico.channels.contract import Outgoing, Rejected
from portico.channels.email.addresses import decoded, domain_of, normalised
from portico.channels.email.automatic import message_id_for
from portico.channels.email.config import EmailAccount
from portico.channels.media import OutgoingFile
from portico.channels.text import to_plain

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

POLICY = SMTP.clone(cte_type="7bit")
MAX_SUBJECT_CHARS = 250
_REPLY = re.compile(r"^\s*(re|aw|sv|vs|antw|odp|rif|ref)(\[\d+\])?\s*:", re.IGNORECASE)
_ID = re.compile(r"^<[\x21-\x3b\x3d\x3f-\x7e]{1,240}>$")
_TYPE = re.compile(r"^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$")
_STYLE = "font-family: sans-serif; font-size: 1em; line-height: 1.4"


def compose(
    message: Outgoing,
    files: Sequence[OutgoingFile],
    *,
    text: str,
    config: EmailAccount,
    now_s: float,
) -> EmailMessage:
    """Return the mail of a message.

    Raises:
        Rejected: it cannot be one.
    """
    mail = EmailMessage(policy=POLICY)
    try:
        _address(mail, message.route.peer.id, config)
        _thread(mail, message, config)
    except (ValueError, TypeError, MessageError) as error:
        raise Rejected(f"it cannot be addressed: {error}") from error
    mail["Date"] = formatdate(now_s)
    mail["Message-ID"] = message_id_for(message.delivery_id, config.address)
    mail.set_content(to_plain(text) + "\n")
    mail.add_alternative(to_html(text), subtype="html")
    for file in files:
        _attach(mail, file)
    return mail


def to_html(text: str) -> str:
    """Return Markdown as the body of a mail; HTML in it is shown as it stands."""
    body = _renderer().render(text)
    return f'<html><body><div style="{_STYLE}">\n{body}</div></body></html>\n'


@cache
def _renderer() -> MarkdownIt:
    from markdown_it import MarkdownIt

    rules = ["table", "strikethrough"]
    return MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(rules)


def _address(mail: EmailMessage, to: str, config: EmailAccount) -> None:
    recipient = normalised(to)
    if recipient is None:
        raise Rejected(f"{to[:80]!r} is no address")
    mail["From"] = Address(
        display_name=decoded(config.name or ""), addr_spec=_ascii(config.address)
    )
    mail["To"] = Address(addr_spec=_ascii(recipient))


def _thread(mail: EmailMessage, message: Outgoing, config: EmailAccount) -> None:
    context = message.route.context
    answered = context.get("messageId")
    references = [one for one in _known(context.get("references")) if one != answered]
    root = f"<{message.route.thread_id}>"
    if not answered and not references and "@" in root:
        references = _known([root])
    parent = _known([answered]) or references[-1:]
    subject = decoded(str(context.get("subject") or ""))
    if not subject:
        subject = config.subject if not parent else f"Re: {config.subject}"
    elif not _REPLY.match(subject):
        subject = f"Re: {subject}"
    mail["Subject"] = subject[:MAX_SUBJECT_CHARS]
    if parent:
        mail["In-Reply-To"] = parent[0]
        mail["References"] = " ".join(dict.fromkeys([*references, *parent]))
    is_answer = bool(parent) or "subject" in context
    mail["Auto-Submitted"] = "auto-replied" if is_answer else "auto-generated"
    mail["X-Auto-Response-Suppress"] = "OOF, AutoReply"  # bounces are wanted


def _known(ids: object) -> list[str]:
    """Return those that are message ids: they stood in somebody's mail."""
    listed = ids if isinstance(ids, (list, tuple)) else []
    return [one for one in listed if isinstance(one, str) and _ID.match(one)]


def _attach(mail: EmailMessage, file: OutgoingFile) -> None:
    mime_type = file.mime_type.lower()
    if not _TYPE.match(mime_type) or mime_type.startswith(("message/", "multipart/")):
        mime_type = "application/octet-stream"
    major, _, minor = mime_type.partition("/")
    name = decoded(file.name).replace("/", "_")[:150] or "file"
    mail.add_attachment(file.content, maintype=major, subtype=minor, filename=name)


def _ascii(address: str) -> str:
    """Return an address with its domain as it travels; the part before the @ stays."""
    domain = domain_of(address)
    if domain.isascii():
        return address
    try:
        return f"{address.rpartition('@')[0]}@{domain.encode('idna').decode()}"
    except UnicodeError as error:
        raise Rejected(f"{domain!r} is no domain") from error
