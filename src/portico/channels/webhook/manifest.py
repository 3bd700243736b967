"""What is known of the webhook channel before it is imported."""

from __future__ import annotations

from portico.channels.manifest import Capabilities, Manifest

MANIFEST = Manifest(
    id="webhook",
    label="Webhook",
    blurb="Signed JSON in and out over HTTP: a bridge to anything that can post.",
    docs="docs/channels/webhook.md",
    config="portico.channels.webhook.config:WebhookAccount",
    runtime="portico.channels.webhook.channel:Webhook",
    capabilities=Capabilities(
        keyed=True,
        threads=True,
        groups=True,
        media=frozenset({"image", "audio", "video", "file"}),
    ),
    text_limit=20_000,
    stall_after_s=None,  # nobody has to post
)
