"""What is known of Matrix before anything of it is imported."""

from __future__ import annotations

from portico.channels.manifest import Capabilities, Manifest

MANIFEST = Manifest(
    id="matrix",
    label="Matrix",
    blurb="A user on any homeserver; encrypted rooms, too.",
    config="portico.channels.matrix.config:MatrixAccount",
    runtime="portico.channels.matrix.channel:Matrix",
    capabilities=Capabilities(
        keyed=True,  # the delivery's id is the transaction id
        edit=True,
        delete=True,
        reaction=True,
        typing=True,
        read_receipt=True,
        media=frozenset({"image", "audio", "video", "file"}),
        threads=True,
        polls=True,
        groups=True,
        directory=True,
    ),
    extra="matrix",
    requires=("nio", "aiohttp", "markdown_it", "vodozemac", "peewee", "cachetools"),
    text_limit=4000,  # an event has 64 KiB for the text, the same as HTML, and encryption
    stall_after_s=120,
    docs="docs/channels/matrix.md",
)
