"""From a letter to a message or an event. No I/O.

Guarantees: every letter becomes one or the other, with the reason why it is not answered.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from portico.channels.email.addresses import domain_of, one_line
from portico.channels.email.authenticity import Proof, Verdict, judge
from portico.channels.email.automatic import (
    Bounce,
    answers_ours,
    bounce_in,
    is_receipt,
    reason_not_to_answer,
)
from portico.channels.email.config import EmailAccount
from portico.channels.email.quoting import newly_written
from portico.channels.email.reading import MAX_NAME_CHARS, Letter
from portico.channels.model import ChannelEvent, EventKind, InboundMessage, Peer

MAX_CONTEXT_IDS = 12
_PLAIN_ID = re.compile(r"^<[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,120}>$")
CUT = "[only the beginning of this mail was fetched]"


def taken(letter: Letter, config: EmailAccount, *, is_cut: bool) -> InboundMessage | ChannelEvent:
    """Return what becomes of a letter."""
    bounce = bounce_in(letter, config.own)
    if bounce is not None:
        return _bounced(letter, bounce)
    if is_receipt(letter):
        return _event(letter, "it says that a mail was read", kind="read")
    reason = reason_not_to_answer(letter, config.own)
    if reason is not None:
        return _event(letter, reason)
    if letter.sender is None:
        return _event(letter, "its From does not name one sender")
    proof = judge(
        letter.all("authentication-results"), domain_of(letter.sender[1]), config.authserv_id
    )
    is_refused = config.unproven == "refuse" and proof.verdict is not Verdict.PROVEN
    if is_refused or proof.verdict is Verdict.FAILED:
        return _event(letter, f"its sender is not proven: {proof.reason}")
    if config.own & letter.cc and not config.own & letter.to and not config.answer_cc:
        return _event(letter, "it was only copied to us (Cc)")
    if not letter.text and not letter.attachments and not letter.subject:
        return _event(letter, "there is nothing in it to read")
    return _message(letter, letter.sender, proof, config, is_cut=is_cut)


def unreadable(key: str, uid: int, why: str, size_bytes: int) -> ChannelEvent:
    """Return a mail nobody can read."""
    data = {"reason": f"it cannot be read: {why}", "uid": uid, "sizeBytes": size_bytes}
    return ChannelEvent(event_key=key, kind="other", data=data)


def over_limit(letter: Letter, limit: int) -> ChannelEvent:
    """Return a mail whose sender has got all the answers there are for now."""
    return _event(letter, f"its sender got {limit} answers within an hour (answersPerHour)")


def _message(
    letter: Letter,
    sender: tuple[str, str],
    proof: Proof,
    config: EmailAccount,
    *,
    is_cut: bool,
) -> InboundMessage:
    name, address = sender
    is_believed = proof.verdict is Verdict.PROVEN or config.unproven == "trust"
    return InboundMessage(
        channel="",
        account="",
        event_key=letter.key,
        peer=Peer("direct", address),
        sender=address,
        sender_name=name[:MAX_NAME_CHARS] or None,
        text=_text(letter, config, is_cut=is_cut),
        thread_id=thread_of(letter) if config.sessions == "thread" else None,
        attachments=letter.attachments[:-1] if is_cut else letter.attachments,
        is_untrusted=None if is_believed else True,
        reply_context=_context(letter),
        external_id=letter.message_id,
        reply_to=letter.in_reply_to,
        sent_at_ms=letter.sent_at_ms,
    )


def thread_of(letter: Letter) -> str:
    """Return a thread's id: its first message's id where that is a plain one, else its digest."""
    root = letter.root or letter.key
    if _PLAIN_ID.match(root):
        return root[1:-1]
    return hashlib.blake2b(root.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _text(letter: Letter, config: EmailAccount, *, is_cut: bool) -> str:
    text = letter.text
    if config.cut_quotes and answers_ours(letter, config.own):
        text = newly_written(text)
    is_first = letter.in_reply_to is None and not letter.references
    # A command is one only when nothing stands before it.
    if letter.subject and (not text or (config.show_subject and is_first and text[:1] != "/")):
        text = f"Subject: {letter.subject}\n\n{text}".strip()
    return f"{text}\n\n{CUT}".strip() if is_cut else text


def _context(letter: Letter) -> dict[str, Any]:
    """Return what an answer needs to stand in the same thread."""
    named = [*letter.references] or [one for one in (letter.in_reply_to,) if one]
    if len(named) > MAX_CONTEXT_IDS:
        named = [named[0], *named[1 - MAX_CONTEXT_IDS :]]
    context: dict[str, Any] = {"subject": letter.subject, "references": named}
    if letter.message_id is not None:
        context["messageId"] = letter.message_id
    return context


def _bounced(letter: Letter, bounce: Bounce) -> ChannelEvent:
    what = "could not be delivered" if bounce.has_failed else f"is {bounce.action or 'reported on'}"
    why = " ".join(filter(None, (bounce.status, bounce.diagnosis)))
    more: dict[str, str | bool | None] = {
        "deliveryId": bounce.delivery_id,
        "hasFailed": bounce.has_failed,
        "action": bounce.action,
        "status": bounce.status,
        "recipient": bounce.recipient,
        "diagnosis": bounce.diagnosis,
    }
    reason = f"a mail of ours {what}{f': {why}' if why else ''}"
    return _event(letter, reason, kind="bounce", target=bounce.message_id, **more)


def _event(
    letter: Letter,
    reason: str,
    *,
    kind: EventKind = "other",
    target: str | None = None,
    **more: str | bool | None,
) -> ChannelEvent:
    sender = None if letter.sender is None else letter.sender[1]
    data: dict[str, Any] = {
        "reason": one_line(reason),
        "subject": letter.subject,
        "messageId": letter.message_id,
        **{name: value for name, value in more.items() if value},
    }
    return ChannelEvent(
        event_key=letter.key,
        kind=kind,
        peer=None if sender is None else Peer("direct", sender),
        sender=sender,
        target_id=target or letter.in_reply_to,
        data=data,
    )
