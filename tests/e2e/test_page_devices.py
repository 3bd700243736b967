"""The Devices view of the page: who asks, who is paired, and a code read by a camera."""

from __future__ import annotations

import io

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Locator, expect

from portico.devices.setup_code import decode
from tests.e2e.comers import BEHIND_A_PROXY, NODE, comes
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import GatewayProcess, Operator
from tests.e2e.node_device import NodeDevice
from tests.e2e.pages import PHONE, OpenPage, needs_browser
from tests.fakes.control_plane import Device

pytestmark = needs_browser


@pytest.fixture
def gateway(start_gateway: StartGateway) -> GatewayProcess:
    return start_gateway(BEHIND_A_PROXY)


def photographed(picture: Locator) -> str:
    """Read a QR code as it is on the screen, once it is."""
    expect(picture).to_have_js_property("complete", True)
    (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture.screenshot())))
    return found.text


def test_a_device_asks_is_let_in_and_put_out(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link)
    expect(page.get_by_role("button", name="Devices")).to_be_visible()
    phone = Device()
    assert not comes(gateway, phone, name="Ann's phone", scopes=["operator.read"])["ok"]
    page.get_by_role("button", name="Devices, 1 waiting").click()
    panel = page.get_by_role("dialog", name="Devices")
    expect(panel.get_by_text("asks to be let in as operator: read")).to_be_visible()
    panel.get_by_role("button", name="Approve Ann's phone").click()
    expect(panel.get_by_role("heading", name="Waiting for you")).to_have_count(0)
    assert comes(gateway, phone, scopes=["operator.read"])["ok"]

    assert not comes(gateway, Device(), name="A stranger")["ok"]
    panel.get_by_role("button", name="Reject A stranger").click()
    expect(panel.get_by_text("A stranger")).to_have_count(0)

    panel.get_by_role("button", name="Rename Ann's phone").click()
    panel.get_by_role("textbox", name="Name").fill("Kitchen")
    page.keyboard.press("Enter")
    expect(panel.get_by_text("Kitchen")).to_be_visible()
    panel.get_by_role("button", name="Revoke Kitchen as operator").click()
    page.get_by_role("button", name="Revoke", exact=True).click()
    expect(page.get_by_role("dialog", name="Revoke Kitchen as operator?")).to_have_count(0)
    expect(panel.get_by_text("May do nothing")).to_be_visible()
    panel.get_by_role("button", name="Remove Kitchen").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(panel.get_by_text("Kitchen")).to_have_count(0)
    expect(page.get_by_role("dialog", name="Remove Kitchen?")).to_have_count(0)
    with Operator(gateway) as operator:
        left = operator.call("device.pair.list")["paired"]
        assert [one["clientId"] for one in left] == ["openclaw-control-ui"]
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    expect(page.get_by_role("button", name="Devices")).to_be_focused()


def test_a_device_comes_with_a_code(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link, color_scheme="dark")
    page.get_by_role("button", name="Devices").click()
    panel = page.get_by_role("dialog", name="Devices")
    panel.get_by_role("button", name="Pair a device").click()
    panel.get_by_role("button", name="Show a code").click()
    expect(panel.get_by_role("alert").filter(has_text="only bound to loopback")).to_be_visible()
    panel.get_by_label("Node only").check()
    panel.get_by_label("Where it finds the gateway").fill(gateway.url)
    page.keyboard.press("Enter")
    picture = panel.get_by_role("img", name="QR code")
    expect(picture).to_be_visible()
    code = decode(photographed(picture), now_ms=0)
    assert code.url == gateway.ws_url.rstrip("/")
    auth = {"bootstrapToken": code.bootstrap_token}
    came = comes(
        gateway,
        Device(),
        client={**NODE, "displayName": "Attic"},
        role="node",
        scopes=[],
        auth=auth,
    )
    assert came["ok"]
    expect(panel.get_by_text("Attic is paired.")).to_be_visible()
    assert not comes(gateway, Device(), client=NODE, role="node", scopes=[], auth=auth)["ok"]
    panel.get_by_role("button", name="Done").click()
    expect(panel.get_by_text("Attic", exact=True)).to_have_count(2)  # a node, and a device


def test_devices_on_a_phone(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link, viewport=PHONE, has_touch=True, is_mobile=True)
    comes(gateway, Device(), name="A tablet with a rather long name", scopes=["operator.read"])
    expect(page.get_by_role("button", name="Devices, 1 waiting")).to_be_visible()
    bar = page.get_by_role("banner")
    assert bar.evaluate("element => element.scrollWidth <= element.clientWidth")
    page.get_by_role("button", name="Devices, 1 waiting").click()
    panel = page.get_by_role("dialog", name="Devices")
    panel.get_by_role("button", name="Pair a device").click()
    panel.get_by_label("Where it finds the gateway").fill("wss://gateway.example")
    panel.get_by_role("button", name="Show a code").click()
    expect(panel.get_by_role("img", name="QR code")).to_be_visible()
    body = panel.locator(".devices-body")
    assert body.evaluate("element => element.scrollWidth <= element.clientWidth")
    expect(panel.get_by_role("button", name="Approve A tablet")).to_be_visible()


def test_a_node_asks_to_be_used(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link)
    expect(page.get_by_role("button", name="Devices")).to_be_visible()
    with NodeDevice(gateway, "system.which", "system.run") as node:
        page.get_by_role("button", name="Devices, 1 waiting").click()
        panel = page.get_by_role("dialog", name="Devices")
        expect(panel.get_by_text("waits for approval")).to_be_visible()
        panel.get_by_role("button", name="Use test node for what it asks").click()
        expect(panel.get_by_text("May be used for")).to_be_visible()
        assert node.wait_event("node.pair.resolved")["payload"]["decision"] == "approved"
        expect(panel.get_by_text("here now").first).to_be_visible()
    expect(panel.get_by_text("approved · seen just now")).to_be_visible()
