"""Whether a device is still what it was when it was approved: its platform and its family.

Theory of operation: both are pinned with the approval, and a device that says otherwise is approved
again. Two things are no change: a newer version of the same app's system, which is then pinned in
place of the old one, and the two names that runtimes and apps have for one system.

Guarantees: pure.

Source: OpenClaw gateway protocol, "Device pairing" (metadata-upgrade), and how its gateway pins.
"""

from __future__ import annotations

import re
from typing import Literal

from portico.auth.device import normalize
from portico.auth.rows import DeviceRow
from portico.protocol.connect import Client

Pin = Literal["same", "newer", "changed"]

_RUNTIME_NAMES = {"darwin": ("macos", "mac"), "win32": ("windows", "windows")}
_MAC_VERSION = re.compile(r"macos \d+(\.\d+){0,2}")
_SYSTEM_OF_APP = {
    "openclaw-ios": re.compile(r"(ios|ipados)(\s.*)?"),
    "openclaw-android": re.compile(r"android(\s.*)?"),
    "openclaw-watchos": re.compile(r"watchos \d+(\.\d+){0,2}"),
    "openclaw-macos": re.compile(r"macos \d+(\.\d+){0,2}|darwin|macos"),
}


def compare(device: DeviceRow, client: Client) -> Pin:
    """Compare what a client says of its device with what is pinned."""
    pinned, claimed = normalize(device.platform), normalize(client.platform)
    pinned_family, family = normalize(device.device_family), normalize(client.device_family)
    if pinned_family not in {"", family}:
        return "changed"
    if pinned in {"", claimed} or _is_same_system(pinned, claimed, pinned_family, family, client):
        return "same"
    system = _SYSTEM_OF_APP.get(client.id)
    if system is not None and system.fullmatch(claimed) and system.fullmatch(pinned):
        return "newer"
    return "changed"


def _is_same_system(
    pinned: str, claimed: str, pinned_family: str, family: str, client: Client
) -> bool:
    plain, plain_family = _RUNTIME_NAMES.get(pinned, (pinned, ""))
    if (client.id, client.mode) == ("node-host", "node"):
        if _RUNTIME_NAMES.get(claimed, (claimed, ""))[0] == plain:
            return True
        return claimed in {"darwin", "macos"} and _MAC_VERSION.fullmatch(pinned) is not None
    is_renamed = plain != pinned and claimed == plain
    return is_renamed and not pinned_family and family == plain_family
