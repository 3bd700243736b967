"""What somebody has newly written in a reply: without the quoted history and the signature.

Guarantees: text is only ever cut at the end: what stands between or below quotes stays, with them.
When nothing would be left, everything is. Lines are looked at one by one, in time linear in the
text.

Written here, since what there is cuts too much: talon and email_reply_parser are not kept any
longer and know English; quotequail and mail-parser-reply take everything after a first quote, with
the answers that stand between quotes. Cut wrongly, an order is lost; kept, a quote costs tokens.

Source: RFC 3676, section 4.3 (signatures); the attribution lines of common programs.
"""

from __future__ import annotations

import re

MAX_LINE_CHARS = 400
MAX_ATTRIBUTION_LINES = 3
_ATTRIBUTION = re.compile(
    r"^(on|am|le|el|il|em|op|den|pe|dne|w dniu|dnia)\b.{4,300}"
    r"(wrote|schrieb|a écrit|escribió|ha scritto|escreveu|schreef|skrev|napisał|napsal|a scris)"
    r".{0,200}:\s*$",
    re.IGNORECASE,
)
_ENDING = re.compile(r".*(\bпишет|\bнаписала?|写道|さんは書きました)\s*[:：]\s*$")  # noqa: RUF001  # as written there
_ORIGINAL = re.compile(
    r"^\s*-{2,}\s*(original message|ursprüngliche nachricht|message d'origine|mensaje original|"
    r"messaggio originale|mensagem original|oorspronkelijk bericht|исходное сообщение)\s*-{2,}\s*$",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"^\*?(from|von|de|da|van|от|sent|gesendet|envoyé|enviado|inviato|verzonden|date|datum|to|an|à|"
    r"para|a|aan|subject|betreff|objet|asunto|oggetto|onderwerp)\s?:\*?\s+\S",
    re.IGNORECASE,
)
_RULE = re.compile(r"^\s*_{10,}\s*$")
_SIGNATURE = re.compile(r"^--\s?$")
MAX_SIGNATURE_LINES = 15


def newly_written(text: str) -> str:
    """Return a reply without what follows it."""
    lines = text.split("\n")
    end = _without_signature(lines, len(lines))  # below the history, or above it
    end = _without_history(lines[:end])
    end = _without_signature(lines, end)
    kept = "\n".join(lines[:end]).strip()
    return kept or text


def _without_history(lines: list[str]) -> int:
    """Return where the history begins that fills the rest of a mail."""
    for number, line in enumerate(lines):
        if _ORIGINAL.match(line[:MAX_LINE_CHARS]) or _is_header_block(lines, number):
            before = (
                number - 1 if number and _RULE.match(lines[number - 1][:MAX_LINE_CHARS]) else number
            )
            return _trimmed(lines, before)
    end = start = _trimmed(lines, len(lines))
    while start and (lines[start - 1].startswith(">") or not lines[start - 1].strip()):
        start -= 1
    if not any(line.startswith(">") for line in lines[start:end]):
        return end
    start = _trimmed(lines, start)
    return _trimmed(lines, _attribution(lines, start))


def _attribution(lines: list[str], end: int) -> int:
    """Return where the line begins that says whose words follow; it may be wrapped."""
    for count in range(1, MAX_ATTRIBUTION_LINES + 1):
        if count > end:
            break
        said = " ".join(line.strip() for line in lines[end - count : end])[:MAX_LINE_CHARS]
        if _ATTRIBUTION.match(said) or (count == 1 and _ENDING.match(said)):
            return end - count
    return end


def _is_header_block(lines: list[str], number: int) -> bool:
    """Whether From, Sent, To and Subject of a quoted mail begin here (Outlook)."""
    found = [line for line in lines[number : number + 5] if _HEADER.match(line[:MAX_LINE_CHARS])]
    return len(found) >= 3 and bool(_HEADER.match(lines[number][:MAX_LINE_CHARS]))


def _without_signature(lines: list[str], end: int) -> int:
    for number in range(max(0, end - MAX_SIGNATURE_LINES), end):
        if _SIGNATURE.match(lines[number]):
            return _trimmed(lines, number)
    return end


def _trimmed(lines: list[str], end: int) -> int:
    while end and not lines[end - 1].strip():
        end -= 1
    return end
