"""What the service answers, by method and path.

Source: OpenClaw, "Browser control API": names and shapes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import TimeoutError as PlaywrightTimeout

from portico.browser.serving.acts import Acts, Body
from portico.browser.serving.chromium import Chromium, Tab, text_of
from portico.browser.serving.looking import Looking
from portico.browser.serving.trouble import Trouble, invalid
from portico.browser.settings import BrowserSettings

Query = dict[str, str]
Answer = Callable[[Query, Body], Awaitable[Body]]
PROFILE = "portico"


class Routes:
    """Everything that can be asked of the browser."""

    def __init__(
        self, chromium: Chromium, looking: Looking, acts: Acts, settings: BrowserSettings
    ) -> None:
        self._chromium = chromium
        self._looking = looking
        self._acts = acts
        self._settings = settings
        self._table: dict[tuple[str, str], Answer] = {
            ("GET", "/"): self._status,
            ("GET", "/profiles"): self._profiles,
            ("POST", "/start"): self._start,
            ("POST", "/stop"): self._stop,
            ("GET", "/tabs"): self._tabs,
            ("POST", "/tabs/open"): self._open,
            ("POST", "/tabs/focus"): self._focus,
            ("POST", "/navigate"): self._navigate,
            ("GET", "/snapshot"): self._snapshot,
            ("GET", "/text"): self._text,
            ("POST", "/screenshot"): self._screenshot,
            ("POST", "/pdf"): self._pdf,
            ("POST", "/act"): self._act,
            ("GET", "/console"): self._console,
        }

    async def answer(
        self, method: str, path: str, query: Query, body: Body, *, timeout_s: float
    ) -> Body:
        """Answer one request.

        Raises:
            Trouble: it cannot be done.
        """
        do = self._table.get((method, path))
        if do is None and method == "DELETE" and path.startswith("/tabs/"):
            body, do = {"targetId": path.removeprefix("/tabs/")}, self._close
        if do is None:
            raise Trouble(404, "NOT_FOUND", f"there is no {method} {path[:200]}")
        if query.get("profile", PROFILE) not in {PROFILE, "openclaw", "default"}:
            raise Trouble(404, "PROFILE_NOT_FOUND", "there is one profile only: portico")
        try:
            async with asyncio.timeout(timeout_s):
                return await do(query, body)
        except (TimeoutError, PlaywrightTimeout):
            raise Trouble(504, "TIMEOUT", "the page did not do it in time") from None
        except PlaywrightError as error:
            said = (error.message.strip().splitlines() or ["the browser failed"])[0][:300]
            raise Trouble(409, "ACT_FAILED", said) from None

    async def _status(self, _query: Query, _body: Body) -> Body:
        settings = self._settings
        is_running = self._chromium.is_running
        return {
            "enabled": True,
            "profile": PROFILE,
            "driver": "playwright",
            "running": is_running,
            "cdpReady": is_running,
            "tabCount": len(self._chromium.tabs()),
            "headless": settings.headless,
            "noSandbox": settings.has_no_sandbox,
            "executablePath": settings.executable_path,
            "evaluateEnabled": settings.can_evaluate,
        }

    async def _profiles(self, _query: Query, _body: Body) -> Body:
        shown = {
            "name": PROFILE,
            "driver": "playwright",
            "running": self._chromium.is_running,
            "tabCount": len(self._chromium.tabs()),
            "isDefault": True,
        }
        return {"profiles": [shown]}

    async def _start(self, _query: Query, _body: Body) -> Body:
        await self._chromium.start()
        return {"ok": True, "profile": PROFILE}

    async def _stop(self, _query: Query, _body: Body) -> Body:
        was_running = self._chromium.is_running
        await self._chromium.stop()
        return {"ok": True, "stopped": was_running, "profile": PROFILE}

    async def _tabs(self, _query: Query, _body: Body) -> Body:
        shown = [await _shown(tab) for tab in self._chromium.tabs()]
        return {"running": self._chromium.is_running, "tabs": shown}

    async def _open(self, _query: Query, body: Body) -> Body:
        return await _shown(await self._chromium.open(text_of(body, "url")))

    async def _focus(self, _query: Query, body: Body) -> Body:
        tab = self._chromium.tab(text_of(body, "targetId"))
        await self._chromium.focus(tab)
        return {"ok": True, "targetId": tab.target_id}

    async def _close(self, _query: Query, body: Body) -> Body:
        await self._chromium.tab(text_of(body, "targetId")).page.close()
        return {"ok": True}

    async def _navigate(self, _query: Query, body: Body) -> Body:
        url = text_of(body, "url")
        await self._chromium.start()
        target_id = _target(body)
        if target_id is None and not self._chromium.tabs():
            tab = await self._chromium.open(url)
        else:
            tab = self._chromium.tab(target_id)
            await self._chromium.go(tab, url)
        return {"ok": True, "targetId": tab.target_id, "url": tab.page.url}

    async def _snapshot(self, query: Query, _body: Body) -> Body:
        return await self._looking.snapshot(self._readable(query), query)

    async def _text(self, query: Query, _body: Body) -> Body:
        return await self._looking.text(self._readable(query), query)

    async def _screenshot(self, _query: Query, body: Body) -> Body:
        return await self._looking.screenshot(self._readable(body), body)

    async def _pdf(self, _query: Query, body: Body) -> Body:
        return await self._looking.pdf(self._readable(body), body)

    async def _act(self, _query: Query, body: Body) -> Body:
        return await self._acts.act(self._readable(body), body)

    async def _console(self, query: Query, _body: Body) -> Body:
        tab = self._readable(query)
        level = query.get("level")
        said = [one for one in tab.console if level is None or one["type"] == level]
        return {"ok": True, "targetId": tab.target_id, "messages": said}

    def _readable(self, asked: Query | Body) -> Tab:
        return self._chromium.readable(_target(asked))


def _target(asked: Query | Body) -> str | None:
    given: Any = asked.get("targetId")
    if given is None or given == "":
        return None
    if not isinstance(given, str):
        raise invalid("targetId must be a text")
    return given


async def _shown(tab: Tab) -> Body:
    return {
        "targetId": tab.target_id,
        "title": await tab.page.title(),
        "url": tab.page.url,
        "type": "page",
    }
