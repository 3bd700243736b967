"""What is known of Slack before anything of it is imported."""

from __future__ import annotations

from portico.channels.manifest import Capabilities, Manifest

MANIFEST = Manifest(
    id="slack",
    label="Slack",
    blurb="An app in a workspace, by Socket Mode or the Events API.",
    config="portico.channels.slack.config:SlackAccount",
    runtime="portico.channels.slack.channel:Slack",
    capabilities=Capabilities(
        keyed=True,  # our id goes along as metadata, and is looked for before anything is repeated
        edit=True,
        delete=True,
        reaction=True,
        typing=True,
        media=frozenset({"image", "audio", "video", "file"}),
        threads=True,
        groups=True,
        directory=True,
    ),
    extra="slack",
    requires=("slack_sdk", "aiohttp"),
    text_limit=4000,  # what Slack advises; it cuts at 40,000
    stall_after_s=60,
    docs="channels/slack.md",
)
