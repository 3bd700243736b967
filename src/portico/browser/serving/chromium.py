"""Chromium: started when it is first needed, with its tabs.

Guarantees: it goes out through the guard and nowhere else; downloads are refused, dialogs are
dismissed; there are no more tabs than configured; it ends with `stop`.

Source: Playwright for Python, `BrowserType.launch_persistent_context`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import (
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Playwright,
    async_playwright,
)
from playwright.async_api import Error as PlaywrightError

from portico.browser.serving.guard import Guard
from portico.browser.serving.trouble import Trouble, invalid, refused
from portico.browser.settings import BrowserSettings
from portico.fetch import FetchRefused, check_url
from portico.ids import new_uuid
from portico.tasks import Tasks

MAX_CONSOLE = 200
MAX_CONSOLE_CHARS = 2_000
VIEWPORT = {"width": 1280, "height": 800}
_READABLE = frozenset({"http", "https", "about", "data", "blob", "chrome-error"})
_ARGUMENTS = (
    "--proxy-bypass-list=<-loopback>",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-quic",
    "--dns-prefetch-disable",
    "--disable-dev-shm-usage",
)


@dataclass(slots=True)
class Tab:
    """One page, and what it said to its console."""

    target_id: str
    page: Page
    console: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_CONSOLE))


class Chromium:
    """The browser of this service.

    Args:
        env: what of it Chromium needs it is given: where programs and the screen are.
    """

    def __init__(
        self, settings: BrowserSettings, guard: Guard, *, tasks: Tasks, env: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._tasks = tasks
        self._env = env
        self._starting = asyncio.Lock()
        self._playwright: Playwright | None = None
        self._context: BrowserContext | None = None
        self._tabs: dict[str, Tab] = {}
        self._focused: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._context is not None

    async def start(self) -> None:
        """Start it, unless it runs.

        Raises:
            Trouble: it cannot be started.
        """
        async with self._starting:
            if self._context is None:
                await self._start()

    async def _start(self) -> None:
        settings = self._settings
        if self._playwright is None:
            self._playwright = await async_playwright().start()
        profile = Path(settings.profile_dir) / "profile"
        profile.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            context = await self._playwright.chromium.launch_persistent_context(
                profile,
                executable_path=settings.executable_path,
                headless=settings.headless,
                chromium_sandbox=not settings.has_no_sandbox,
                args=list(_ARGUMENTS),
                proxy={"server": f"http://127.0.0.1:{self._guard.port}", "bypass": "<-loopback>"},
                accept_downloads=False,
                viewport=VIEWPORT,  # type: ignore[arg-type]  # a mapping of the same shape
                timeout=settings.start_timeout_ms,
                env=_environment(self._env, profile),
            )
        except PlaywrightError as error:
            raise Trouble(503, "BROWSER_UNAVAILABLE", _first_line(error)) from None
        context.set_default_timeout(settings.action_timeout_ms)
        context.on("page", self._opened)
        context.on("close", self._closed)
        self._context = context
        for page in context.pages:
            self._opened(page)

    async def stop(self) -> None:
        """End it. Safe to call twice."""
        async with self._starting:
            context, self._context = self._context, None
            if context is not None:
                await context.close()
            self._closed()
            playwright, self._playwright = self._playwright, None
            if playwright is not None:
                await playwright.stop()

    def _closed(self, *_: Any) -> None:
        self._context = None
        self._tabs.clear()
        self._focused = None

    def _opened(self, page: Page) -> None:
        tab = Tab(new_uuid().replace("-", "").upper(), page)
        self._tabs[tab.target_id] = tab
        self._focused = tab.target_id
        page.on("console", lambda message: _note(tab, message))
        page.on("dialog", _dismiss)
        page.on("close", lambda _page: self._forget(tab.target_id))
        if len(self._tabs) > self._settings.max_tabs:
            self._tasks.start(page.close(), name="browser.too-many-tabs")

    def _forget(self, target_id: str) -> None:
        self._tabs.pop(target_id, None)
        if self._focused == target_id:
            self._focused = next(reversed(self._tabs), None)

    def tabs(self) -> list[Tab]:
        """Return every tab, in the order they were opened."""
        return list(self._tabs.values())

    def tab(self, target_id: str | None) -> Tab:
        """Return a tab by its id or the beginning of one; without one the focused tab.

        Raises:
            Trouble: there is none.
        """
        wanted = target_id or self._focused
        if wanted is None:
            raise Trouble(404, "TAB_NOT_FOUND", "there is no tab; open one first")
        fitting = [tab for key, tab in self._tabs.items() if key.startswith(wanted.upper())]
        if len(fitting) != 1:
            raise Trouble(404, "TAB_NOT_FOUND", "tab not found")
        return fitting[0]

    def readable(self, target_id: str | None) -> Tab:
        """Return a tab that shows a page of the web.

        Raises:
            Trouble: there is none, or it shows something of this machine.
        """
        tab = self.tab(target_id)
        if urlsplit(tab.page.url).scheme not in _READABLE:
            raise refused("the tab shows what is not a page of the web")
        return tab

    async def open(self, url: str) -> Tab:
        """Open a tab.

        Raises:
            Trouble: there are too many, or the address may not be opened.
        """
        await self.check(url)
        await self.start()
        if len(self._tabs) >= self._settings.max_tabs:
            raise Trouble(409, "TOO_MANY_TABS", "too many tabs are open; close one")
        if self._context is None:
            raise Trouble(503, "BROWSER_UNAVAILABLE", "the browser has ended")
        page = await self._context.new_page()
        tab = next(one for one in self._tabs.values() if one.page is page)
        await self.go(tab, url)
        return tab

    async def go(self, tab: Tab, url: str) -> None:
        """Lead a tab to an address.

        Raises:
            Trouble: it may not be opened, or does not answer.
        """
        await self.check(url)
        try:
            answer = await tab.page.goto(url, wait_until="domcontentloaded")
        except PlaywrightError as error:
            raise self._went_wrong(url, tab.page.url, error) from None
        why = None if answer is None else answer.headers.get("x-portico-refused")
        if why is not None:
            await tab.page.goto("about:blank")
            raise refused(why)

    def _went_wrong(self, url: str, now: str, error: PlaywrightError) -> Trouble:
        for address in (url, now):
            why = self._guard.why_not(urlsplit(address).hostname or "")
            if why is not None:
                return refused(why)
        if "TUNNEL" in str(error):
            return refused("the page leads to an address that may not be opened")
        return Trouble(502, "NAVIGATION_FAILED", _first_line(error))

    async def focus(self, tab: Tab) -> None:
        """Bring a tab to the front."""
        await tab.page.bring_to_front()
        self._focused = tab.target_id

    async def check(self, url: str) -> None:
        """Check that an address may be opened.

        Raises:
            Trouble: it may not.
        """
        if url == "about:blank":
            return
        try:
            parts = check_url(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            await self._guard.check(parts.hostname or "", port)
        except FetchRefused as error:
            raise refused(str(error)) from None


def text_of(body: dict[str, Any], name: str) -> str:
    """Return a text of a request.

    Raises:
        Trouble: it is not there.
    """
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise invalid(f"{name} is required")
    return value


def _first_line(error: PlaywrightError) -> str:
    return (error.message.strip().splitlines() or ["the browser failed"])[0][:300]


def _note(tab: Tab, message: ConsoleMessage) -> None:
    tab.console.append({"type": message.type, "text": message.text[:MAX_CONSOLE_CHARS]})


async def _dismiss(dialog: Dialog) -> None:
    await dialog.dismiss()


def _environment(env: Mapping[str, str], profile: Path) -> dict[str, str | float | bool]:
    """Return what Chromium sees of ours: no secrets."""
    kept = ("PATH", "LANG", "TZ", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "XAUTHORITY")
    found: dict[str, str | float | bool] = {name: env[name] for name in kept if name in env}
    return {**found, "HOME": str(profile)}
