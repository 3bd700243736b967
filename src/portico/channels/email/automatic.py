"""Mail that no person wrote, or that must not be answered: lists, auto-replies, bounces, our own.

Two programs that answer each other never stop. So this is answered by nobody; it is recorded.

Source: RFC 3834 (automatic replies), RFC 2919 and RFC 2369 (lists), RFC 3464 (delivery reports),
RFC 8098 (read receipts); [MS-OXCMAIL] for X-Auto-Response-Suppress.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from email.message import Message

from portico.channels.email.addresses import decoded, domain_of
from portico.channels.email.reading import Letter, children

_BULK = frozenset({"bulk", "list", "junk", "auto_reply"})
_ROBOTS = re.compile(
    r"^(mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?)([+._-].*)?$", re.IGNORECASE
)
_SUPPRESSED = frozenset({"all", "autoreply", "oof"})
_LISTS = ("list-id", "list-unsubscribe", "list-post", "list-help")
_ANSWERING_MACHINES = ("x-autoreply", "x-autorespond")
_OWN_ID = re.compile(r"^<(dlv_[0-9A-Za-z]{1,64})\.portico@([^<>@\s]+)>$")
_ID = re.compile(r"<dlv_[0-9A-Za-z]{1,64}\.portico@[^<>@\s]{1,200}>")
_STATUS = re.compile(r"^([245])\.\d{1,3}\.\d{1,3}")


@dataclass(frozen=True, slots=True)
class Bounce:
    """A report on a mail of ours.

    Attributes:
        message_id: of our mail, when the report says.
        action: `failed`, `delayed`, `delivered` … as the report says.
    """

    message_id: str | None
    delivery_id: str | None
    action: str
    status: str
    recipient: str
    diagnosis: str

    @property
    def has_failed(self) -> bool:
        """Whether our mail will never arrive."""
        return self.action == "failed" or (not self.action and self.status.startswith("5"))


def message_id_for(delivery_id: str, address: str) -> str:
    """Return the message id of a delivery: the same at every attempt."""
    return f"<{delivery_id}.portico@{domain_of(address)}>"


def delivery_of(message_id: str, own: Collection[str]) -> str | None:
    """Return the delivery whose message id this is; `None`: it is not ours."""
    found = _OWN_ID.match(message_id)
    if found is None or found[2].lower() not in {domain_of(address) for address in own}:
        return None
    return found[1]


def answers_ours(letter: Letter, own: Collection[str]) -> bool:
    """Whether a mail replies to something we have sent."""
    named = (letter.in_reply_to, *letter.references)
    return any(one is not None and delivery_of(one, own) is not None for one in named)


def reason_not_to_answer(letter: Letter, own: Collection[str]) -> str | None:
    """Return why no answer may be given; `None`: a person may have written it."""
    if letter.message_id is not None and delivery_of(letter.message_id, own) is not None:
        return "it is our own mail"
    if letter.sender is not None and letter.sender[1].lower() in {one.lower() for one in own}:
        return "it comes from our own address"
    if letter.sender is not None and _ROBOTS.match(letter.sender[1].partition("@")[0]):
        return "its sender takes no answers"
    return _announced(letter)


def _announced(letter: Letter) -> str | None:
    """Return what a mail itself says against an answer."""
    submitted = letter.header("auto-submitted").partition(";")[0].strip().lower()
    suppressed = letter.header("x-auto-response-suppress").lower().split(",")
    found = {
        "it has no return path": letter.header("return-path").strip() == "<>",
        f"it was sent automatically ({submitted[:40]})": submitted not in {"", "no"},
        "it was sent to many (Precedence)": letter.header("precedence").strip().lower() in _BULK,
        "it comes from a mailing list": any(letter.header(name) for name in _LISTS),
        "it wants no automatic answer": bool(_SUPPRESSED & {word.strip() for word in suppressed}),
        "it is an automatic answer": any(letter.header(name) for name in _ANSWERING_MACHINES),
    }
    return next((reason for reason, is_so in found.items() if is_so), None)


def bounce_in(letter: Letter, own: Collection[str]) -> Bounce | None:
    """Return what a delivery report says; `None`: the mail is none."""
    report = next((part for part in _leaves(letter.mime) if _is_status(part)), None)
    if report is None:
        return None
    fields = _fields(report)
    ours = _our_id(letter, own)
    return Bounce(
        message_id=ours,
        delivery_id=None if ours is None else delivery_of(ours, own),
        action=fields.get("action", "").lower(),
        status=_status(fields),
        recipient=fields.get("final-recipient", "").rpartition(";")[2].strip(),
        diagnosis=fields.get("diagnostic-code", "").rpartition(";")[2].strip(),
    )


def is_receipt(letter: Letter) -> bool:
    """Whether a mail says that one of ours was read."""
    return any(
        part.get_content_type() == "message/disposition-notification"
        for part in _leaves(letter.mime)
    )


def _leaves(mime: Message) -> list[Message]:
    """Return the parts right under a mail: reports have no deeper ones that matter."""
    return children(mime)[:10] if mime.get_content_type() == "multipart/report" else []


def _is_status(part: Message) -> bool:
    return part.get_content_type() in {"message/delivery-status", "message/global-delivery-status"}


def _fields(report: Message) -> dict[str, str]:
    """Return the fields of a report, those about the first recipient that failed on top."""
    blocks = children(report)
    found = [
        {str(name).lower(): decoded(str(value))[:300] for name, value in block.items()}
        for block in blocks[:50]
    ]
    about = [fields for fields in found if "action" in fields]
    failed = [fields for fields in about if fields["action"].lower() == "failed"]
    return next(iter([*failed, *about, *found]), {})


def _status(fields: dict[str, str]) -> str:
    found = _STATUS.match(fields.get("status", ""))
    return found[0] if found is not None else ""


def _our_id(letter: Letter, own: Collection[str]) -> str | None:
    """Return the message id of ours that a report is about: in what it returns, or refers to."""
    returned = [
        part
        for part in _leaves(letter.mime)
        if part.get_content_type()
        in {"message/rfc822", "text/rfc822-headers", "message/rfc822-headers"}
    ]
    text = "\n".join(part.as_string()[:64_000] for part in returned)
    named = [*_ID.findall(text), *(one for one in (letter.in_reply_to, *letter.references) if one)]
    return next((one for one in named if delivery_of(one, own) is not None), None)
