"""What is known of pigeons before they fly."""

from portico.channels.manifest import Capabilities, Manifest

MANIFEST = Manifest(
    id="pigeon",  # channels.pigeon in the configuration
    label="Carrier pigeon",
    config="tests.fakes.pigeon.config:PigeonAccount",
    runtime="tests.fakes.pigeon.channel:Pigeon",
    capabilities=Capabilities(keyed=True),
    text_limit=2000,
    stall_after_s=90,  # no sign of life for so long: start again
)
