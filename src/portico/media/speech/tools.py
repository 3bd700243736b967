"""The tool with which an agent speaks.

Source: OpenClaw, `tts` tool.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, tool
from portico.media.speech.model import SpeechError
from portico.media.speech.service import Speech, Wish

MAX_CALLS = 10  # of one turn


class TtsArgs(ToolArgs, frozen=True, kw_only=True):
    """What `tts` takes."""

    text: Annotated[
        str, msgspec.Meta(min_length=1, max_length=20_000, description="What is to be said.")
    ]
    voice: Annotated[
        str | None, msgspec.Meta(description="A voice of the provider, when one was asked for.")
    ] = None
    provider: Annotated[
        str | None, msgspec.Meta(description="This provider and no other, when one was asked for.")
    ] = None


class TtsDone(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A sound; `media` is what `message` sends."""

    media: str
    mime_type: str
    provider: str
    voice_note: bool


class SpeechTools:
    """`tts`."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech

    @tool("tts", group="media", changes=False, timeout_s=180.0)
    async def tts(self, call: ToolCall, args: TtsArgs) -> TtsDone:
        """Speak a text into a sound file, which `message` can send.

        Only when the person wants to hear something. It sends nothing by itself.
        """
        if call.earlier >= MAX_CALLS:
            raise ToolError(f"A turn speaks at most {MAX_CALLS} times.")
        channel = call.origin.channel if call.origin is not None else None
        wish = Wish(text=args.text, channel=channel, provider=args.provider, voice=args.voice)
        try:
            done = await self._speech.say(wish)
        except SpeechError as error:
            raise ToolError(str(error)) from None
        return TtsDone(
            media=done.ref,
            mime_type=done.mime_type,
            provider=done.provider,
            voice_note=done.is_note,
        )
