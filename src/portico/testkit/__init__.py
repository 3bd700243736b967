"""The conformance suite for channels: what every channel owes, tested against a fake provider.

    from portico.testkit import ChannelConformance, Provider

    class TestPigeon(ChannelConformance):
        manifest = MANIFEST

        @asynccontextmanager
        async def provider(self, bench):
            async with FakeLoft() as loft:
                yield LoftAdapter(loft)

pytest finds the tests of the class. Each runs on an event loop of its own, with a real database
file, the real inbox, outbox and account supervision, and a real HTTP server for the channel's
doors; only the provider is a fake, over real sockets.
"""

from portico.testkit.bench import Bench
from portico.testkit.conformance import ChannelConformance
from portico.testkit.http import Cut, FakeHttp, Reply, Request
from portico.testkit.provider import Outcome, Provider, Sent

__all__ = [
    "Bench",
    "ChannelConformance",
    "Cut",
    "FakeHttp",
    "Outcome",
    "Provider",
    "Reply",
    "Request",
    "Sent",
]
