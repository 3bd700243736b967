"""The page at `/`, used by a person with a browser: mouse, keyboard, phone, light and dark."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.gateway import GatewayProcess, Operator
from tests.e2e.pages import PHONE, OpenPage, needs_browser, remember

pytestmark = needs_browser


def message_field(page: Page) -> Any:
    return page.get_by_label("Message", exact=True)


def say(page: Page, text: str) -> None:
    message_field(page).fill(text)
    page.get_by_role("button", name="Send").click()


def answers(page: Page) -> Any:
    return page.get_by_role("article", name="Answer")


def test_the_printed_link_logs_in_and_leaves_no_token_behind(
    open_page: OpenPage, gateway: GatewayProcess
) -> None:
    page = open_page(gateway.page_link)
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    assert gateway.token not in page.url
    page.get_by_role("button", name="Healthy").click()
    panel = page.get_by_role("region", name="Gateway health")
    expect(panel).to_contain_text("The gateway is healthy")
    expect(panel).to_contain_text("main")


def test_an_answer_streams_in_and_stays(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link)
    expect(message_field(page)).to_be_visible()
    shown = remember(page, "article[aria-label=Answer]")
    say(page, "/sim words=40 delay_ms=30\n")
    answer = answers(page).first
    expect(answer).to_contain_text("word39")
    expect(answer).to_have_attribute("aria-busy", "false")
    expect(answers(page)).to_have_count(1)
    pieces = shown.filter(has_text="busy: ").filter(has_text="word0")
    expect(pieces.filter(has_not_text="word39")).not_to_have_count(0)


def test_markdown_is_shown_as_such_and_never_as_html(
    open_page: OpenPage, gateway: GatewayProcess
) -> None:
    page = open_page(gateway.page_link)
    say(page, "**bold** `code` <img src=x onerror=alert(1)> <script>alert(2)</script>")
    answer = answers(page).first
    expect(answer.locator("strong")).to_have_text("bold")
    expect(answer.locator("code")).to_have_text("code")
    expect(answer).to_have_attribute("aria-busy", "false")
    expect(answer.locator("img[onerror], script")).to_have_count(0)


def test_a_running_answer_can_be_stopped(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link)
    say(page, "/sim words=200 delay_ms=200\n")
    expect(answers(page).first).to_contain_text("word1")
    page.get_by_role("button", name="Stop the answer").click()
    expect(answers(page).first).to_contain_text("Stopped")
    expect(page.get_by_role("button", name="Stop the answer")).to_have_count(0)
    say(page, "still there?")
    expect(answers(page).last).to_contain_text("Echo: still there?")


def test_a_reload_keeps_login_and_history(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link)
    say(page, "remember me")
    expect(answers(page).first).to_contain_text("Echo: remember me")
    page.reload()
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    expect(page.get_by_role("article", name="You said")).to_have_count(1)
    expect(answers(page).first).to_contain_text("Echo: remember me")


def test_a_tool_call_is_shown_now_and_later(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link)
    say(page, "/sim tools=1\ndone")
    used = page.get_by_role("list", name="Tools used")
    expect(used).to_contain_text("simulated")
    expect(answers(page).first).to_contain_text("Echo: done")
    page.reload()
    expect(used).to_contain_text("simulated")
    used.get_by_text("simulated").click()
    expect(used).to_contain_text('"ok": true')
    expect(answers(page)).to_have_count(1)


def test_a_failed_answer_says_so(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link)
    say(page, "/sim error=rate_limit\nhello")
    expect(page.get_by_text("The answer failed", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Retry")).to_be_visible()


def test_a_wrong_token_is_refused_in_words(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.url + "/")
    field = page.get_by_label("Gateway token")
    field.fill("not-the-token")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("That is not the right token")
    field.fill(gateway.token)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Gateway token")).to_be_visible()


def test_the_page_comes_back_after_a_restart(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link)
    say(page, "before")
    expect(answers(page).first).to_contain_text("Echo: before")
    gateway.stop()
    expect(page.get_by_text("Reconnecting in")).to_be_visible()
    gateway.start()
    # Its next attempt may be 20 s away.
    expect(page.get_by_text("Connected", exact=True)).to_be_visible(timeout=60_000)
    say(page, "after")
    expect(answers(page).last).to_contain_text("Echo: after")
    expect(answers(page)).to_have_count(2)


def test_what_others_say_appears_without_asking(
    open_page: OpenPage, gateway: GatewayProcess
) -> None:
    page = open_page(gateway.page_link)
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    with Operator(gateway) as other:
        other.call("chat.send", sessionKey="main", message="from afar", idempotencyKey="afar-1")
        other.wait_event("chat", runId="afar-1", state="final")
    expect(page.get_by_text("Echo: from afar").first).to_be_visible()


def test_a_phone_has_everything_within_reach(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link, viewport=PHONE, has_touch=True, is_mobile=True)
    say(page, "from the sofa " * 20)
    expect(answers(page).first).to_contain_text("Echo: from the sofa")
    page.get_by_role("button", name="Conversations").tap()
    menu = page.get_by_role("navigation", name="Conversations")
    expect(menu.get_by_role("button", name="New chat")).to_be_in_viewport()
    menu.get_by_role("button", name="New chat").tap()
    expect(page.get_by_text("What is on your mind?")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.evaluate(
        """[...document.querySelectorAll('button')]
             .filter((one) => one.checkVisibility() && !one.closest('[inert]'))
             .map((one) => [one.ariaLabel ?? one.textContent, one.getBoundingClientRect()])
             .filter(([, box]) => box.height < 24 || box.width < 24).map(([name]) => name)"""
    )
    assert small == []


def test_the_keyboard_is_enough(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.url + "/")
    expect(page.get_by_label("Gateway token")).to_be_focused()
    page.keyboard.type(gateway.token)
    page.keyboard.press("Enter")
    expect(message_field(page)).to_be_focused()
    page.keyboard.type("/sim words=200 delay_ms=200")
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Enter")
    expect(answers(page).first).to_contain_text("word1")
    page.keyboard.press("Escape")
    expect(answers(page).first).to_contain_text("Stopped")
    expect(message_field(page)).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(message_field(page)).not_to_be_focused()
    expect(page.locator(":focus")).not_to_have_css("outline-style", "none")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_colours(
    open_page: OpenPage, gateway: GatewayProcess, scheme: str
) -> None:
    page = open_page(gateway.page_link, color_scheme=scheme)
    say(page, "hello")
    expect(answers(page).first).to_contain_text("Echo: hello")
    brightness = page.evaluate(
        """(() => {
          const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true })
          const light = (colour) => {
            canvas.fillStyle = colour
            canvas.fillRect(0, 0, 1, 1)
            const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data
            return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255
          }
          const style = getComputedStyle(document.body)
          return { ink: light(style.color), paper: light(style.backgroundColor) }
        })()"""
    )
    difference = brightness["paper"] - brightness["ink"]
    assert difference > 0.6 if scheme == "light" else difference < -0.6
