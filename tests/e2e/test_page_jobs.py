"""The Jobs view of the page: on, off, now, and how it went; on a phone, too."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.e2e.gateway import GatewayProcess, Operator
from tests.e2e.pages import PHONE, OpenPage, needs_browser

pytestmark = needs_browser


def add(operator: Operator, name: str, message: str) -> None:
    operator.call(
        "cron.add",
        name=name,
        schedule={"kind": "every", "everyMs": 86_400_000},
        sessionTarget="isolated",
        wakeMode="now",
        payload={"kind": "agentTurn", "message": message},
    )


def test_jobs_are_seen_switched_and_run(open_page: OpenPage, gateway: GatewayProcess) -> None:
    with Operator(gateway) as operator:
        page = open_page(gateway.page_link)
        page.get_by_role("button", name="Jobs").click()
        panel = page.get_by_role("dialog", name="Jobs")
        expect(panel.get_by_text("Nothing is scheduled")).to_be_visible()
        add(operator, "Morning brief", "hello")
        add(operator, "Broken", "/sim error=refusal")
        expect(panel.get_by_text("Morning brief")).to_be_visible()

        switch = panel.get_by_role("switch", name="Morning brief is on")
        expect(switch).to_be_checked()
        switch.click()
        expect(switch).not_to_be_checked()
        jobs = operator.call("cron.list", includeDisabled=True)["jobs"]
        assert {one["name"]: one["enabled"] for one in jobs}["Morning brief"] is False

        panel.get_by_role("button", name="History of Broken").click()
        expect(panel.get_by_text("No run has ended yet")).to_be_visible()
        panel.get_by_role("button", name="Run Broken now").click()
        runs = panel.get_by_role("list", name="Runs of Broken")
        expect(runs.get_by_text("error", exact=True)).to_be_visible()
        panel.get_by_role("button", name="Run Morning brief now").click()
        panel.get_by_role("button", name="History of Morning brief").click()
        good = panel.get_by_role("list", name="Runs of Morning brief")
        expect(good.get_by_text("ok", exact=True)).to_be_visible()
        page.keyboard.press("Escape")
        expect(panel).to_have_count(0)
        page.close()


def test_on_a_phone(open_page: OpenPage, gateway: GatewayProcess) -> None:
    with Operator(gateway) as operator:
        add(operator, "A job with quite a long name that has to be broken somewhere", "hello")
    page = open_page(gateway.page_link, viewport=PHONE)
    page.get_by_role("button", name="Jobs").click()
    panel = page.get_by_role("dialog", name="Jobs")
    expect(panel.get_by_role("switch").first).to_be_visible()
    wide = page.evaluate("document.scrollingElement.scrollWidth > innerWidth")
    assert not wide
    page.close()
