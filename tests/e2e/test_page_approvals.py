"""Approvals on the page: cards, by mouse and by keyboard, in light and dark."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.gateway import GatewayProcess, Operator
from tests.e2e.pages import PHONE, OpenPage, needs_browser, remember

pytestmark = needs_browser


def connected(page: Page) -> Page:
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    return page


def ask(operator: Operator, command: str, **params: Any) -> tuple[str, str]:
    known = {"agentId": "main", "host": "gateway", "cwd": "/home/ann/site", **params}
    asked = operator.send("exec.approval.request", command=command, twoPhase=True, **known)
    return asked, operator.answer(asked)["id"]


def cards(page: Page) -> Locator:
    return page.get_by_role("region", name="Approvals").get_by_role("article")


def test_a_card_is_shown_and_answered(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = connected(open_page(gateway.page_link))
    with Operator(gateway) as agent:
        asked, _ = ask(agent, "rm -rf build", warningText="It cannot be undone.")
        card = cards(page)
        expect(card).to_have_count(1)
        expect(card).to_contain_text("main wants to run")
        expect(card).to_contain_text("rm -rf build")
        expect(card).to_contain_text("in /home/ann/site")
        expect(card).to_contain_text("It cannot be undone.")
        expect(card).to_contain_text("29 min")
        card.get_by_role("button", name="Allow once").click()
        assert agent.answer(asked)["decision"] == "allow-once"
        expect(card).to_have_count(0)


def test_what_waited_before_is_there_and_what_is_over_goes(
    open_page: OpenPage, gateway: GatewayProcess
) -> None:
    with Operator(gateway) as agent, Operator(gateway) as other:
        first, first_id = ask(agent, "first")
        page = connected(open_page(gateway.page_link))
        expect(cards(page)).to_have_count(1)
        shown = remember(page, "section[aria-label=Approvals]")
        second, _ = ask(agent, "second", timeoutMs=1_500)
        assert agent.answer(second)["decision"] is None
        expect(cards(page)).to_have_count(1)
        expect(shown.filter(has_text="2 approvals wait for you")).not_to_have_count(0)
        other.call("exec.approval.resolve", id=first_id, decision="deny")
        expect(cards(page)).to_have_count(0)
        assert agent.answer(first)["decision"] == "deny"


def test_a_card_can_be_answered_by_keyboard_alone(
    open_page: OpenPage, gateway: GatewayProcess
) -> None:
    page = connected(open_page(gateway.page_link))
    field = page.get_by_label("Message", exact=True)
    field.press_sequentially("half a sen")
    with Operator(gateway) as agent:
        one, _ = ask(agent, "one")
        two, _ = ask(agent, "two", unavailableDecisions=["allow-always"])
        expect(cards(page)).to_have_count(2)
        expect(field).to_be_focused()  # nobody who writes is interrupted
        field.press_sequentially("tence")
        expect(field).to_have_value("half a sentence")
        expect(cards(page).last.get_by_role("button", name="Always")).to_have_count(0)
        page.keyboard.press("Shift+Tab")
        expect(cards(page).last.get_by_role("button", name="Allow once")).to_be_focused()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        assert agent.answer(two)["decision"] == "deny"
        expect(cards(page)).to_have_count(1)
        expect(cards(page).get_by_role("button", name="Deny")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        assert agent.answer(one)["decision"] == "allow-always"
        expect(field).to_be_focused()


def test_a_link_leads_to_its_card(open_page: OpenPage, gateway: GatewayProcess) -> None:
    with Operator(gateway) as agent, Operator(gateway) as other:
        ask(agent, "first")
        asked, approval_id = ask(agent, "second")
        path = other.call("approval.get", id=approval_id)["approval"]["urlPath"]
        page = connected(open_page(f"{gateway.url}{path}#token={gateway.token}"))
        assert page.url == f"{gateway.url}/"
        card = cards(page).filter(has_text="second")
        expect(card.get_by_role("button", name="Deny")).to_be_focused()
        page.keyboard.press("Enter")
        assert agent.answer(asked)["decision"] == "deny"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_a_card(
    open_page: OpenPage, gateway: GatewayProcess, scheme: str
) -> None:
    page = connected(
        open_page(
            gateway.page_link, viewport=PHONE, has_touch=True, is_mobile=True, color_scheme=scheme
        )
    )
    with Operator(gateway) as agent:
        ask(agent, "find . -name '*.tmp' -delete && " * 40)
        deny = cards(page).get_by_role("button", name="Deny")
        expect(deny).to_be_in_viewport()
        expect(page.get_by_label("Message", exact=True)).to_be_in_viewport()
        wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert wide is False
        size = deny.bounding_box()
        assert size is not None
        assert size["height"] >= 36
