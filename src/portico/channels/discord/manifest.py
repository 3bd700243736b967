"""What is known of Discord before anything of it is imported."""

from __future__ import annotations

from portico.channels.manifest import Capabilities, Manifest

MANIFEST = Manifest(
    id="discord",
    label="Discord",
    blurb="A bot in servers, threads and direct messages.",
    config="portico.channels.discord.config:DiscordAccount",
    runtime="portico.channels.discord.channel:Discord",
    capabilities=Capabilities(
        keyed=True,  # a nonce, and a look at the channel when that is too old: see sending.py
        edit=True,
        delete=True,
        reaction=True,
        typing=True,
        media=frozenset({"image", "audio", "video", "file"}),
        threads=True,
        polls=True,
        groups=True,
        directory=True,
    ),
    extra="discord",
    requires=("discord", "aiohttp"),
    text_limit=2000,
    stall_after_s=120,  # it answers a heartbeat about every 41 s
    docs="channels/discord.md",
)
