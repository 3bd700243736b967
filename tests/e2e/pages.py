"""A browser for the tests of the page; what a page complains about to its console fails a test."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.e2e.chromium import ARGUMENTS, find_chromium

CHROMIUM = find_chromium()
needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and "PORTICO_REQUIRE_CLIENTS" not in os.environ,
        reason="no Chromium: install one, or let `make e2e` or `make test` fetch it from npm",
    ),
]
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
# A slow machine is not a fault: what a test waits for has a bound only so that it ends.
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)
# Chromium says this itself when a gateway it was connected to is away for a moment.
AWAY = re.compile(r"WebSocket connection to .* failed")
WATCH_POLICY = """
addEventListener('securitypolicyviolation', (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))
"""
# Notes each text what is selected shows, in a hidden list beside the page.
REMEMBER = """
(selector) => {
  const list = document.documentElement.appendChild(document.createElement('ul'))
  list.id = 'shown'
  list.hidden = true
  const known = new Set()
  const note = () => {
    for (const one of document.querySelectorAll(selector)) {
      const text = (one.ariaBusy === 'true' ? 'busy: ' : '') + one.textContent
      if (known.has(text)) continue
      known.add(text)
      list.appendChild(document.createElement('li')).textContent = text
    }
  }
  new MutationObserver(note).observe(document.body, {
    attributes: true, characterData: true, childList: true, subtree: true,
  })
}
"""
# Where there is a message bus, Chromium ends when that does.
NO_BUS = {"DBUS_SESSION_BUS_ADDRESS": "disabled:", "DBUS_SYSTEM_BUS_ADDRESS": "disabled:"}
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None, "no Chromium"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(ARGUMENTS), env={**os.environ, **NO_BUS}
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open pages; what a page complains about to its console fails the test."""
    complaints: list[str] = []
    contexts = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not AWAY.search(message.text):
            complaints.append(f"{message.type}: {message.text}")

    def open_(url: str, **options: Any) -> Page:
        context = browser.new_context(viewport=options.pop("viewport", DESKTOP), **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(WATCH_POLICY)
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(f"thrown: {error}"))
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def remember(page: Page, selector: str) -> Locator:
    """Keep every text that what is selected shows from now on; return the list of them.

    What is there only for a while may be over before a test gets to look.
    """
    page.evaluate(REMEMBER, selector)
    return page.locator("#shown > li")
