"""What is known of Telegram before anything of it is imported."""

from __future__ import annotations

from portico.channels.manifest import Capabilities, Manifest

MANIFEST = Manifest(
    id="telegram",
    label="Telegram",
    blurb="A bot, by long polling or webhook.",
    config="portico.channels.telegram.config:TelegramAccount",
    runtime="portico.channels.telegram.channel:Telegram",
    capabilities=Capabilities(
        edit=True,
        delete=True,
        reaction=True,
        typing=True,
        media=frozenset({"image", "audio", "video", "file"}),
        threads=True,
        polls=True,
        groups=True,
    ),
    extra="telegram",
    requires=("telegram", "httpx"),
    text_limit=4000,  # 4096 UTF-16 units after formatting; Markdown is longer than what it becomes
    stall_after_s=120,
    docs="channels/telegram.md",
)
