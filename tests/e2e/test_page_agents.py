"""The Agents view of the page: with mouse and keyboard, and on a phone."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.e2e.gateway import GatewayProcess, Operator
from tests.e2e.pages import PHONE, OpenPage, needs_browser

pytestmark = needs_browser


def test_an_agent_is_made_written_and_deleted(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link)
    page.get_by_role("button", name="Agents").click()
    panel = page.get_by_role("dialog", name="Agents")
    panel.get_by_role("button", name="New agent").click()
    panel.get_by_role("region", name="New agent").get_by_label("Name").fill("Paige")
    page.keyboard.press("Enter")
    expect(panel.get_by_role("heading", name="Paige")).to_be_visible()
    panel.get_by_label("Emoji").fill("P!")
    panel.get_by_role("button", name="Save", exact=True).click()
    expect(panel.get_by_text("Saved", exact=True)).to_be_visible()
    panel.get_by_label("Document").select_option("SOUL.md")
    text = panel.get_by_role("textbox", name="SOUL.md")
    expect(text).to_have_value(re.compile("Friendly"))
    text.fill("Calm.")
    page.keyboard.press("Control+s")
    expect(panel.get_by_role("button", name="Save SOUL.md")).to_be_disabled()
    with Operator(gateway) as other:
        mine = {"agentId": "paige", "name": "SOUL.md"}
        assert other.call("agents.files.get", **mine)["file"]["content"] == "Calm."
        other.call("agents.files.set", **mine, content="Loud.")
        text.fill("Mine.")
        panel.get_by_role("button", name="Save SOUL.md").click()
        expect(panel.get_by_role("alert")).to_contain_text("Somebody else has changed SOUL.md")
        panel.get_by_role("button", name="Keep mine").click()
        expect(panel.get_by_role("button", name="Save SOUL.md")).to_be_disabled()
        assert other.call("agents.files.get", **mine)["file"]["content"] == "Mine."
    text.fill("lost")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Discard").click()
    expect(panel).to_have_count(0)
    page.get_by_role("button", name="Agents").click()
    panel.get_by_role("button", name="Paige").click()
    panel.get_by_role("region", name="Paige").get_by_role("button", name="Chat").click()
    expect(panel).to_have_count(0)
    page.get_by_label("Message", exact=True).fill("hello")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("article", name="Answer").first).to_contain_text("Echo: hello")
    expect(page.get_by_label("Conversations").get_by_text("Paige")).to_be_visible()
    page.get_by_role("button", name="Agents").click()
    panel.get_by_role("navigation").get_by_role("button", name="Paige").click()
    panel.get_by_role("button", name="Delete Paige").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(panel.get_by_role("button", name="Paige")).to_have_count(0)
    page.close()  # it still reads lists again; the gateway goes first


def test_agents_on_a_phone(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link, viewport=PHONE, has_touch=True, is_mobile=True)
    page.get_by_role("button", name="Agents").click()
    panel = page.get_by_role("dialog", name="Agents")
    panel.get_by_role("button", name="main").click()
    expect(panel.get_by_role("textbox", name="AGENTS.md")).to_be_visible()
    expect(panel.get_by_role("button", name="New agent")).not_to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    panel.get_by_role("button", name="All agents").click()
    expect(panel.get_by_role("button", name="New agent")).to_be_visible()
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_have_count(0)


def test_skills_are_shown_and_switched(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link)
    page.get_by_role("button", name="Agents").click()
    panel = page.get_by_role("dialog", name="Agents")
    # Not by the word: the agent's folder, which is shown below, may hold it, too.
    panel.get_by_text("5 of 6 can be used").click()
    webhook = panel.get_by_role("listitem").filter(has_text="dispatch-webhook")
    expect(webhook).to_contain_text("Missing: skills.entries.dispatch-webhook.config.targets")
    tasks = panel.get_by_role("listitem").filter(has_text="task-capture").get_by_role("checkbox")
    expect(tasks).to_be_checked()
    tasks.uncheck()
    expect(panel.get_by_text("4 of 6 can be used")).to_be_visible()
    with Operator(gateway) as other:
        skills = other.call("skills.status")["skills"]
        assert [one["name"] for one in skills if one["disabled"]] == ["task-capture"]
    tasks.check()
    expect(panel.get_by_text("5 of 6 can be used")).to_be_visible()
    page.close()
