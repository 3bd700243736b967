"""The configuration on the page: found, changed, refused in words, and never over somebody else."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.e2e.gateway import GatewayProcess, Operator
from tests.e2e.pages import PHONE, OpenPage, needs_browser

pytestmark = needs_browser


def configuration(page: Page) -> Locator:
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("button", name="Open the configuration").click()
    panel = page.get_by_role("dialog", name="Configuration")
    expect(panel.get_by_role("button", name="Logging")).to_be_visible()
    return panel


def written(operator: Operator, *path: str) -> Any:
    tree = operator.call("config.get")["sourceConfig"]
    for step in path:
        tree = tree.get(step, {})
    return tree


def test_settings_are_changed_after_a_look_at_the_plan(
    open_page: OpenPage, gateway: GatewayProcess
) -> None:
    page = open_page(gateway.page_link)
    panel = configuration(page)
    panel.get_by_role("button", name="Logging").click()
    level = panel.get_by_label("Level", exact=True)
    level.select_option("debug")
    expect(panel.get_by_text("1 change", exact=True)).to_be_visible()
    panel.get_by_role("button", name="Review").click()
    expect(panel.get_by_text("The gateway takes it over while it runs.")).to_be_visible()
    with Operator(gateway) as other:
        # Somebody else is quicker.
        base = other.call("config.get")["hash"]
        other.call("config.patch", raw="{media: {retentionDays: 7}}", baseHash=base)
        panel.get_by_role("button", name="Save").click()
        expect(panel.get_by_role("alert").filter(has_text="Somebody else")).to_be_visible()
        expect(level.locator("option:checked")).to_have_text("debug")
        panel.get_by_role("button", name="Review").click()
        panel.get_by_role("button", name="Save").click()
        expect(panel.get_by_text("1 change", exact=True)).to_have_count(0)
        expect(panel.get_by_role("button", name="Take Level out of the file")).to_be_visible()
        assert written(other, "logging", "level") == "debug"
        assert written(other, "media", "retentionDays") == 7
    page.close()


def test_what_cannot_be_is_said_at_its_field(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link)
    panel = configuration(page)
    panel.get_by_label("Find a setting").fill("largest frame after")
    field = panel.get_by_label("Max payload bytes", exact=True)
    field.fill("many")
    expect(panel.get_by_role("alert").filter(has_text="A whole number is needed.")).to_be_visible()
    expect(panel.get_by_role("button", name="Review")).to_be_disabled()
    field.fill("1")
    panel.get_by_role("button", name="Review").click()
    setting = panel.locator(".setting").filter(has_text="gateway.limits.maxPayloadBytes")
    expect(setting.get_by_role("alert")).to_contain_text("1024")
    panel.get_by_role("button", name="Discard").click()
    expect(field).to_have_value("")

    panel.get_by_label("Find a setting").fill("gateway.auth.token")
    secret = panel.get_by_label("Token", exact=True)
    expect(secret).to_have_attribute("type", "password")
    expect(secret).to_have_value("")
    assert gateway.token not in page.content()
    assert "REDACTED" not in page.content()

    panel.get_by_label("Find a setting").fill("bindings")
    panel.get_by_label("Bindings", exact=True).fill("[{")
    expect(panel.get_by_role("alert").filter(has_text="This is not JSON yet")).to_be_visible()
    page.close()


def test_on_a_phone(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link, viewport=PHONE, has_touch=True, is_mobile=True)
    panel = configuration(page)
    panel.get_by_role("button", name="Gateway", exact=True).tap()
    expect(panel.get_by_label("Port", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    panel.get_by_role("button", name="All sections").tap()
    expect(panel.get_by_role("button", name="Logging")).to_be_visible()
    page.close()
