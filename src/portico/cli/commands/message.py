"""`portico message send | reply | poll | react | edit | delete`: through a channel, by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from cyclopts import Parameter

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode
from portico.cli.output import print_json
from portico.cli.target import connected
from portico.ids import new_uuid

# The gateway waits this long for a provider.
_PROVIDER_S: Final = 35.0


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Chat:
    """A conversation on a channel."""

    channel: Annotated[str, Parameter(help="The channel.", group="Conversation")]
    target: Annotated[
        str,
        Parameter(
            help="Whom to write to, as the channel names people and rooms.", group="Conversation"
        ),
    ]
    account: Annotated[
        str | None, Parameter(help="The account; none: the first one.", group="Conversation")
    ] = None
    thread_id: Annotated[
        str | None, Parameter(help="The thread or topic.", group="Conversation")
    ] = None


@command("send")
async def send(
    *,
    chat: Chat,
    message: str = "",
    media: str | None = None,
    reply_to: str | None = None,
    to: Remote = THERE,
) -> int:
    """Send a message.

    Args:
        message: The text, as Markdown.
        media: The address of a file to attach.
        reply_to: The id of the message it answers.

    Examples:
        portico message send --channel telegram --target 123456789 --message "Dinner is ready."
    """
    given = {"message": message, "media": media, "replyTo": reply_to}
    return await _act("send", chat, given, "Sent", to)


@command("reply")
async def reply(*, chat: Chat, message_id: str, message: str, to: Remote = THERE) -> int:
    """Answer a message.

    Args:
        message_id: The id of the message that is answered.
        message: The text, as Markdown.

    Examples:
        portico message reply --channel telegram --target 123456789 --message-id 42 --message "Yes."
    """
    given = {"messageId": message_id, "message": message}
    return await _act("reply", chat, given, "Sent", to)


@command("poll")
async def poll(
    *,
    chat: Chat,
    poll_question: str,
    poll_option: tuple[str, ...],
    poll_multi: bool = False,
    poll_duration_hours: int | None = None,
    to: Remote = THERE,
) -> int:
    """Send a poll.

    Args:
        poll_question: What is asked.
        poll_option: One answer; given two to twelve times.
        poll_multi: Let people choose several.
        poll_duration_hours: How long it is open.

    Examples:
        portico message poll --channel telegram --target -1001234567890 \
            --poll-question "Lunch?" --poll-option Soup --poll-option Salad
    """
    given = {
        "pollQuestion": poll_question,
        "pollOption": list(poll_option),
        "pollMulti": poll_multi,
        "pollDurationHours": poll_duration_hours,
    }
    return await _act("poll", chat, given, "Sent", to)


@command("react")
async def react(
    *, chat: Chat, message_id: str, emoji: str = "", remove: bool = False, to: Remote = THERE
) -> int:
    """React to a message, or take the reaction back.

    Args:
        message_id: The message's id.
        emoji: With what.
        remove: Take it back.

    Examples:
        portico message react --channel telegram --target 123456789 --message-id 42 --emoji 👍
    """
    given = {"messageId": message_id, "emoji": emoji, "remove": remove}
    return await _act("react", chat, given, "Taken back" if remove else "Reacted", to)


@command("edit")
async def edit(*, chat: Chat, message_id: str, message: str, to: Remote = THERE) -> int:
    """Change a message that was sent.

    Args:
        message_id: The message's id.
        message: The new text, as Markdown.

    Examples:
        portico message edit --channel telegram --target 123456789 --message-id 42 --message "Six."
    """
    given = {"messageId": message_id, "message": message}
    return await _act("edit", chat, given, "Changed", to)


@command("delete")
async def delete(*, chat: Chat, message_id: str, to: Remote = THERE) -> int:
    """Take back a message that was sent.

    Args:
        message_id: The message's id.

    Examples:
        portico message delete --channel telegram --target 123456789 --message-id 42
    """
    return await _act("delete", chat, {"messageId": message_id}, "Deleted", to)


async def _act(action: str, chat: Chat, given: dict[str, Any], done: str, to: Remote) -> int:
    where = {"to": chat.target, "threadId": chat.thread_id}
    params: dict[str, Any] = {
        "channel": chat.channel,
        "action": action,
        "params": {
            name: value for name, value in (where | given).items() if value not in (None, "")
        },
        "idempotencyKey": new_uuid(),
    }
    if chat.account is not None:
        params["accountId"] = chat.account
    async with connected(to) as client:
        answer = await client.request(
            "message.action", params, timeout_s=max(to.timeout_s, _PROVIDER_S)
        )
    if to.json:
        print_json(answer)
    else:
        print(f"{done}: {answer['messageId']}")
    return ExitCode.OK
