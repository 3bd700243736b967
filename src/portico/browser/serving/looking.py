"""Looking at a page: its tree with references, a picture, a PDF, its text.

Pictures and PDFs are files in the profile's folder; the newest are kept.

Source: Playwright for Python, "Aria snapshots"; OpenClaw, "Browser control API".
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from portico.browser.serving.chromium import Tab
from portico.browser.serving.trouble import invalid
from portico.ids import new_id

MAX_SNAPSHOT_CHARS = 80_000
MAX_TEXT_CHARS = 200_000
MOST_FILES = 50


class Looking:
    """What is seen of tabs.

    Args:
        folder: for pictures and PDFs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def snapshot(self, tab: Tab, query: dict[str, str]) -> dict[str, Any]:
        """Return the page as a tree of roles and names; `[ref=e3]` names what can be acted on."""
        asked = query.get("format") or "ai"
        if asked not in {"ai", "aria"}:
            raise invalid("format must be ai or aria")
        most = _number(query.get("maxChars"), MAX_SNAPSHOT_CHARS)
        locator = tab.page.locator(query.get("selector") or "body")
        text = await locator.first.aria_snapshot(mode="ai")
        return {
            **_about(tab),
            "format": asked,
            "title": await tab.page.title(),
            "snapshot": text[:most],
            "truncated": len(text) > most,
        }

    async def text(self, tab: Tab, query: dict[str, str]) -> dict[str, Any]:
        """Return the words on the page."""
        most = _number(query.get("maxChars"), MAX_TEXT_CHARS)
        text = await tab.page.locator("body").first.inner_text()
        return {**_about(tab), "text": text[:most], "truncated": len(text) > most}

    async def screenshot(self, tab: Tab, body: dict[str, Any]) -> dict[str, Any]:
        """Photograph the page, all of it or one element, into a file."""
        kind = body.get("type", "png")
        if kind not in {"png", "jpeg"}:
            raise invalid("type must be png or jpeg")
        element = body.get("ref") or body.get("element")
        if isinstance(element, str):
            content = await located(tab.page, body).screenshot(type=kind)
        else:
            content = await tab.page.screenshot(type=kind, full_page=body.get("fullPage") is True)
        path = await asyncio.to_thread(self._keep, content, kind)
        shown = {**_about(tab), "path": str(path), "imageType": kind}
        if body.get("inline") is True:
            shown["base64"] = base64.b64encode(content).decode()
        return shown

    async def pdf(self, tab: Tab, _body: dict[str, Any]) -> dict[str, Any]:
        """Print the page into a file."""
        content = await tab.page.pdf()
        path = await asyncio.to_thread(self._keep, content, "pdf")
        return {**_about(tab), "path": str(path)}

    def _keep(self, content: bytes, suffix: str) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{new_id('shot')}.{suffix}"
        path.write_bytes(content)
        path.chmod(0o600)
        for old in sorted(self._folder.iterdir())[:-MOST_FILES]:
            old.unlink(missing_ok=True)
        return path


def located(page: Page, body: dict[str, Any], *, prefix: str = "") -> Any:
    """Return the element that `ref` or `selector` names.

    Raises:
        Trouble: neither is there.
    """
    ref_name = f"{prefix}Ref" if prefix else "ref"
    selector_name = f"{prefix}Selector" if prefix else "selector"
    ref, selector = body.get(ref_name), body.get(selector_name) or body.get("element")
    if isinstance(ref, str) and ref.strip():
        name = ref.strip().removeprefix("@").removeprefix("ref=")
        if not name.isalnum() or len(name) > 32:
            raise invalid(f"{ref_name} is not a reference of a snapshot")
        return page.locator(f"aria-ref={name}")
    if isinstance(selector, str) and selector.strip():
        return page.locator(selector).first
    raise invalid(f"{ref_name} or {selector_name} is required")


def _about(tab: Tab) -> dict[str, Any]:
    return {"ok": True, "targetId": tab.target_id, "url": tab.page.url}


def _number(given: str | None, usual: int) -> int:
    if given is None:
        return usual
    if not given.isdecimal():
        raise invalid("maxChars must be a number")
    return min(int(given), usual)
