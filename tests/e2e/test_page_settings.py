"""The page's settings of this browser: notifications, by push and without it, and the colours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.gateway import GatewayProcess, Operator
from tests.e2e.pages import PHONE, OpenPage, needs_browser
from tests.fakes.push_service import Browser

pytestmark = needs_browser

# Chromium has a push service only with an account at its maker: its part is played here.
PUSH = """
PushManager.prototype.getSubscription = async () => null
PushManager.prototype.subscribe = async () => {
  const given = %s
  if (given === null) throw new Error('there is no push service')
  return { toJSON: () => given, unsubscribe: async () => true }
}"""
LOOK_AWAY = "Object.defineProperty(document, 'visibilityState', { get: () => 'hidden' })"
SHOWN = """async (wanted) => {
  const worker = await navigator.serviceWorker.getRegistration()
  for (const until = Date.now() + 20_000; ;) {
    const notices = (await worker.getNotifications()).map((one) => `${one.title} | ${one.body}`)
    if (notices.includes(wanted) || Date.now() > until) return notices
    await new Promise((next) => setTimeout(next, 50))
  }
}"""


def with_push(page: Page, given: dict[str, Any] | None) -> None:
    """Let the browser have a push service, or none; it may show notifications."""
    logged_in(page)
    page.context.grant_permissions(["notifications"])
    page.add_init_script(PUSH % json.dumps(given))
    page.reload()


def logged_in(page: Page) -> None:
    """Wait until a reload would find the token again."""
    expect(page.get_by_text("What is on your mind?")).to_be_visible()


def settings(page: Page) -> Locator:
    page.get_by_role("button", name="Settings").click()
    panel = page.get_by_role("dialog", name="Settings")
    expect(panel.get_by_role("heading", name="Notifications")).to_be_visible()
    return panel


def browsers_of(gateway: GatewayProcess) -> Any:
    with Operator(gateway) as operator:
        return operator.call("push.web.preferences.get", endpoint=ENDPOINT)


ENDPOINT = "https://push.example.org/this-browser"


def test_a_browser_subscribes_chooses_and_leaves(
    open_page: OpenPage, gateway: GatewayProcess
) -> None:
    page = open_page(gateway.page_link)
    with_push(page, {"endpoint": ENDPOINT, "keys": Browser(ENDPOINT).keys})
    panel = settings(page)
    switch = panel.get_by_role("switch", name="Notifications")
    expect(switch).not_to_be_checked()
    switch.click()
    expect(switch).to_be_checked()
    expect(panel.get_by_text("also while the page is closed")).to_be_visible()
    panel.get_by_label("Jobs that have failed").uncheck()
    panel.get_by_label("What is said on a locked screen").select_option("private")
    panel.get_by_role("button", name="Send one for trial").click()
    # The address leads nowhere, and the gateway says so.
    expect(
        panel.get_by_role("alert").filter(has_text="all web push deliveries failed")
    ).to_be_visible()
    held = browsers_of(gateway)["effective"]
    assert (held["categories"]["scheduledTaskFailed"], held["detailLevel"]) == (False, "private")
    assert held["categories"]["agentFinished"] is True

    page.reload()
    panel = settings(page)
    expect(panel.get_by_role("switch", name="Notifications")).to_be_checked()
    expect(panel.get_by_label("Jobs that have failed")).not_to_be_checked()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Gateway token")).to_be_visible()
    with pytest.raises(Exception, match="not subscribed"):
        browsers_of(gateway)
    page.close()


def test_the_worker_shows_what_is_pushed_and_leads_to_it(
    open_page: OpenPage, gateway: GatewayProcess
) -> None:
    page = open_page(gateway.page_link)
    with_push(page, {"endpoint": ENDPOINT, "keys": Browser(ENDPOINT).keys})
    panel = settings(page)
    panel.get_by_role("switch", name="Notifications").click()
    expect(panel.get_by_text("also while the page is closed")).to_be_visible()
    page.keyboard.press("Escape")
    running = page.context.service_workers
    worker = running[0] if running else page.context.wait_for_event("serviceworker")
    notice = {"title": "An answer: Bread", "body": "It rises.", "tag": "test"}
    worker.evaluate(
        "(said) => dispatchEvent(new PushEvent('push', { data: JSON.stringify(said) }))",
        {**notice, "sessionKey": "agent:main:bread"},
    )
    assert "An answer: Bread | It rises." in page.evaluate(SHOWN, "An answer: Bread | It rises.")
    worker.evaluate(
        """async () => {
          const [notification] = await registration.getNotifications()
          dispatchEvent(new NotificationEvent('notificationclick', { notification }))
        }"""
    )
    expect(page.get_by_role("heading", name="bread", level=1)).to_be_attached()
    page.close()


def test_without_push_the_page_tells_while_it_is_open(
    open_page: OpenPage, gateway: GatewayProcess
) -> None:
    page = open_page(gateway.page_link)
    with_push(page, None)
    panel = settings(page)
    panel.get_by_role("switch", name="Notifications").click()
    expect(panel.get_by_text("as long as the page is open")).to_be_visible()
    expect(panel.get_by_text("there is no push service")).to_be_visible()
    panel.get_by_role("button", name="Send one for trial").click()
    expect(panel.get_by_text("Shown by this page.")).to_be_visible()
    page.keyboard.press("Escape")
    page.evaluate(LOOK_AWAY)
    with Operator(gateway) as operator:
        operator.call("sessions.create", key="agent:main:bread", label="Bread")
        expect(page.get_by_role("button", name="Bread").first).to_be_visible()
        operator.call(
            "chat.send", sessionKey="agent:main:bread", message="rise", idempotencyKey="rise-1"
        )
        wanted = "An answer: Bread | An agent has answered."
        assert wanted in page.evaluate(SHOWN, wanted)
        asking = {"agentId": "main", "host": "gateway", "twoPhase": True}
        operator.send("exec.approval.request", command="ls", **asking)
        wanted = "An approval is needed: main | An agent asks whether it may do something."
        assert wanted in page.evaluate(SHOWN, wanted)
    page.close()


def test_what_is_in_the_way_is_said(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link, viewport=PHONE)
    logged_in(page)
    page.add_init_script(
        "Object.defineProperty(Notification, 'permission', { get: () => 'denied' })"
    )
    page.reload()
    panel = settings(page)
    expect(panel.get_by_text("This browser blocks them for this page")).to_be_visible()
    expect(panel.get_by_role("switch", name="Notifications")).to_be_disabled()
    page.add_init_script("Object.defineProperty(window, 'isSecureContext', { get: () => false })")
    page.reload()
    panel = settings(page)
    expect(panel.get_by_text("only where the connection is encrypted")).to_be_visible()
    panel.get_by_label("Dark").check(force=True)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()
