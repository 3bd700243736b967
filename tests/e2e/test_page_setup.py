"""Setting the gateway up on the page: a fresh one gets a model, and answers with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.e2e.gateway import GatewayProcess, Operator
from tests.e2e.pages import PHONE, OpenPage, needs_browser
from tests.fakes.provider import FakeProvider, Refuse, Say

pytestmark = needs_browser

MODELS = '{"data": [{"id": "m"}]}'


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A provider of models with a loop of its own: the browser's side of a test is not async."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    made = asyncio.run_coroutine_threadsafe(FakeProvider().__aenter__(), loop).result(30)
    yield made
    asyncio.run_coroutine_threadsafe(made.__aexit__(None, None, None), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


def test_a_fresh_gateway_gets_a_model(
    open_page: OpenPage, gateway: GatewayProcess, provider: FakeProvider
) -> None:
    provider.default = lambda asked: Say("I am a model.") if asked else Refuse(200, MODELS)
    page = open_page(gateway.page_link)
    page.get_by_role("button", name="Set up a model").click()
    panel = page.get_by_role("dialog", name="Set up a model")
    expect(panel.get_by_role("heading", name="Language model")).to_be_visible()
    panel.get_by_label("Another, with OpenAI's API").check()
    panel.get_by_role("button", name="Next").click()

    expect(panel.get_by_role("heading", name="Address")).to_be_visible()
    field = panel.get_by_role("textbox", name="Address")
    expect(field).to_be_focused()
    field.fill("not an address")
    page.keyboard.press("Enter")
    expect(panel.get_by_role("alert")).to_contain_text("Write it like https://")
    field.fill(provider.url)
    page.keyboard.press("Enter")

    expect(panel.get_by_role("heading", name="Key")).to_be_visible()
    panel.get_by_role("button", name="Back").click()
    expect(panel.get_by_role("heading", name="Address")).to_be_visible()
    expect(field).to_have_value(provider.url)
    expect(field).to_be_focused()
    page.keyboard.press("Enter")
    panel.get_by_label("Enter it now").check()
    panel.get_by_role("button", name="Next").click()
    secret = panel.get_by_label("Key", exact=True)
    expect(secret).to_have_attribute("type", "password")
    secret.fill("sk-lab")
    panel.get_by_role("button", name="Next").click()

    expect(panel.get_by_role("heading", name="Model", exact=True)).to_be_visible()
    expect(panel.get_by_role("textbox", name="Model")).to_have_value("m")  # the only one
    panel.get_by_role("button", name="Next").click()
    expect(panel.get_by_role("heading", name="Write these settings?")).to_be_visible()
    panel.get_by_role("button", name="Yes").click()
    expect(panel.get_by_text("It is written")).to_be_visible()
    panel.get_by_role("button", name="Start talking").click()
    expect(panel).to_have_count(0)
    expect(page.get_by_role("button", name="Set up a model")).to_have_count(0)

    page.get_by_label("Message", exact=True).fill("Who are you?")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("article", name="Answer")).to_contain_text("I am a model.")
    page.close()


def test_leaving_changes_nothing_on_a_phone(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link, viewport=PHONE, has_touch=True, is_mobile=True)
    page.get_by_role("button", name="Settings").tap()
    page.get_by_role("button", name="Everything").tap()
    panel = page.get_by_role("dialog", name="Set up the gateway")
    expect(panel.get_by_role("button", name="Next")).to_be_in_viewport()
    panel.get_by_role("button", name="Next").tap()
    expect(panel.get_by_role("textbox", name="Workspace")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    with Operator(gateway) as operator:
        before = operator.call("config.get")["hash"]
        panel.get_by_role("button", name="Close").tap()
        expect(panel).to_have_count(0)
        assert operator.call("config.get")["hash"] == before
    page.close()
