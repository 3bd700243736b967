"""What is known of e-mail before anything of it is imported."""

from __future__ import annotations

from portico.channels.manifest import Capabilities, Manifest

MANIFEST = Manifest(
    id="email",
    label="E-mail",
    blurb="A mailbox, by IMAP and SMTP.",
    docs="channels/email.md",
    config="portico.channels.email.config:EmailAccount",
    runtime="portico.channels.email.channel:Email",
    capabilities=Capabilities(
        media=frozenset({"image", "audio", "video", "file"}),
        threads=True,
    ),
    extra="email",
    requires=("aiosmtplib", "html_to_markdown", "imapclient"),
    text_limit=100_000,
    stall_after_s=600,  # IDLE is begun anew every four minutes: an answer is due then
)
