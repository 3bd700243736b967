"""What of a device's platform and family may change without another approval."""

from __future__ import annotations

import pytest

from portico.auth.pinning import compare
from portico.auth.rows import DeviceRow
from portico.protocol.connect import Client


def pinned(platform: str | None, family: str | None) -> DeviceRow:
    return DeviceRow("d", "k", None, platform, family, None, None, "owner", 1, None)


@pytest.mark.parametrize(
    ("client", "before", "now", "verdict"),
    [
        ("cli/cli", ("linux", "Linux"), ("Linux ", "linux"), "same"),
        ("cli/cli", (None, None), ("linux", "Linux"), "same"),
        ("cli/cli", ("linux", None), ("linux", "Linux"), "same"),
        ("cli/cli", ("linux", "Linux"), ("darwin", "Linux"), "changed"),
        ("cli/cli", ("linux", "Linux"), ("linux", None), "changed"),
        ("cli/cli", ("linux", "Linux"), ("linux", "Mac"), "changed"),
        ("openclaw-ios/ui", ("iOS 26.1", "iPhone"), ("iOS 26.2", "iPhone"), "newer"),
        ("openclaw-ios/ui", ("iPadOS 26.1", "iPad"), ("iPadOS 27", "iPad"), "newer"),
        ("openclaw-ios/ui", ("iOS 26.1", "iPhone"), ("Android 16", "iPhone"), "changed"),
        ("openclaw-android/ui", ("Android 15", None), ("Android 16", None), "newer"),
        ("openclaw-watchos/node", ("watchOS 26.0", None), ("watchOS 26.1", None), "newer"),
        ("openclaw-watchos/node", ("watchOS 26.0", None), ("watchOS x", None), "changed"),
        ("openclaw-macos/ui", ("macOS 15.1", "Mac"), ("macOS 26.0", "Mac"), "newer"),
        ("openclaw-macos/ui", ("darwin", "Mac"), ("macOS 26.0", "Mac"), "newer"),
        ("cli/cli", ("iOS 26.1", "iPhone"), ("iOS 26.2", "iPhone"), "changed"),
        ("node-host/node", ("macos", "Mac"), ("darwin", "Mac"), "same"),
        ("node-host/node", ("win32", "Windows"), ("windows", "Windows"), "same"),
        ("node-host/node", ("macOS 26.0", "Mac"), ("darwin", "Mac"), "same"),
        ("node-host/node", ("macOS 26.0", "Mac"), ("linux", "Mac"), "changed"),
        ("cli/cli", ("darwin", None), ("macos", "Mac"), "same"),
        ("cli/cli", ("darwin", None), ("macos", "iPhone"), "changed"),
        ("cli/cli", ("darwin", "Mac"), ("macos", "Mac"), "changed"),
    ],
)
def test_pins(client: str, before, now, verdict: str) -> None:
    name, _, mode = client.partition("/")
    said = Client(name, "1", now[0], mode, device_family=now[1])  # type: ignore[arg-type]  # words
    assert compare(pinned(*before), said) == verdict
