"""A2UI in a real browser: what an agent pushes is drawn, changed, pressed and gone again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.gateway import GatewayProcess, Operator
from tests.e2e.pages import OpenPage, needs_browser
from tests.e2e.test_canvas import canvas_folder
from tests.e2e.test_canvas_browser import change, framed

pytestmark = needs_browser

A2UI = "/__openclaw__/a2ui/?agent=main"
V08: list[dict[str, Any]] = [
    {
        "surfaceUpdate": {
            "surfaceId": "s",
            "components": [
                {
                    "id": "root",
                    "component": {"Column": {"children": {"explicitList": ["t", "f", "b"]}}},
                },
                {
                    "id": "t",
                    "component": {"Text": {"text": {"path": "/title"}, "usageHint": "h2"}},
                },
                {
                    "id": "f",
                    "component": {
                        "TextField": {
                            "label": {"literalString": "Your name"},
                            "text": {"path": "/name"},
                        }
                    },
                },
                {
                    "id": "b",
                    "component": {
                        "Button": {
                            "child": "bt",
                            "action": {
                                "name": "send",
                                "context": [
                                    {"key": "who", "value": {"path": "/name"}},
                                    {"key": "kind", "value": {"literalString": "test"}},
                                ],
                            },
                        }
                    },
                },
                {"id": "bt", "component": {"Text": {"text": {"literalString": "Send it"}}}},
            ],
        }
    },
    {
        "dataModelUpdate": {
            "surfaceId": "s",
            "contents": [
                {"key": "title", "valueString": "Hello <b>there</b>"},
                {"key": "name", "valueString": "Ann"},
            ],
        }
    },
    {"beginRendering": {"surfaceId": "s", "root": "root"}},
]
CATALOG = "https://a2ui.org/specification/v0_9/basic_catalog.json"
V09: list[dict[str, Any]] = [
    {"version": "v0.9", "createSurface": {"surfaceId": "n", "catalogId": CATALOG}},
    {
        "version": "v0.9",
        "updateComponents": {
            "surfaceId": "n",
            "components": [
                {"id": "root", "component": "Column", "children": ["t", "b"]},
                {"id": "t", "component": "Text", "text": {"path": "/title"}, "variant": "h2"},
                {
                    "id": "b",
                    "component": "Button",
                    "child": "bt",
                    "action": {"event": {"name": "go", "context": {"who": {"path": "/name"}}}},
                },
                {"id": "bt", "component": "Text", "text": "Go on"},
            ],
        },
    },
    {
        "version": "v0.9",
        "updateDataModel": {"surfaceId": "n", "path": "/", "value": {"title": "New", "name": "Bo"}},
    },
]


def push(operator: Operator, *messages: dict[str, Any]) -> dict[str, Any]:
    jsonl = "\n".join(json.dumps(one) for one in messages)
    args = {"action": "a2ui_push", "jsonl": jsonl} if messages else {"action": "a2ui_reset"}
    invoked = operator.call("tools.invoke", name="canvas", args=args)
    assert invoked["ok"], invoked
    return dict(invoked["output"])


def pressed(page: Page, button: str) -> dict[str, Any]:
    """Press a button of a surface, and return what the page around it is told."""
    page.evaluate(
        """() => { window.told = new Promise((yes) =>
          addEventListener('message', (event) => yes(event.data), { once: true })) }"""
    )
    page.frame_locator("iframe").get_by_role("button", name=button).click()
    return dict(page.evaluate("window.told"))


@pytest.mark.parametrize(
    ("messages", "title", "button", "action"),
    [
        (V08, "Hello", "Send it", ("send", {"who": "Ann", "kind": "test"})),
        (V09, "New", "Go on", ("go", {"who": "Bo"})),
    ],
    ids=["0.8", "0.9"],
)
def test_a_surface(
    open_page: OpenPage,
    gateway: GatewayProcess,
    messages: list[dict[str, Any]],
    title: str,
    button: str,
    action: tuple[str, dict[str, Any]],
) -> None:
    with Operator(gateway) as operator:
        push(operator, *messages)
        base = operator.hello["pluginSurfaceUrls"]["canvas"]
        page = open_page(gateway.page_link)
        expect(page.get_by_label("Message", exact=True)).to_be_visible()
        framed(page, f"{base}{A2UI}")
        shown = page.frame_locator("iframe")
        expect(shown.get_by_role("heading", name=title)).to_be_visible()
        assert shown.locator("h2 b").count() == 0
        told = pressed(page, button)
        assert told["type"] == "portico:a2ui-action"
        assert (told["userAction"]["name"], told["userAction"]["context"]) == action
        push(operator)
        expect(shown.get_by_text("Nothing is drawn here yet.")).to_be_visible()
        page.close()


def test_the_canvas_view(open_page: OpenPage, gateway: GatewayProcess) -> None:
    folder = canvas_folder(gateway)
    (folder / "index.html").write_text("<title>x</title><h1>A page of mine</h1>")
    with Operator(gateway) as operator:
        push(operator, *V08)
    page = open_page(gateway.page_link)
    page.get_by_role("button", name="Canvas").click()
    panel = page.get_by_role("dialog", name="Canvas")
    inside = panel.frame_locator("iframe")
    expect(inside.get_by_role("heading", name="A page of mine")).to_be_visible()
    another = inside.get_by_role("heading", name="Another")
    change(folder / "index.html", "<title>x</title><h1>Another</h1>", another)
    panel.get_by_label("What is shown").select_option("A2UI")
    expect(inside.get_by_role("heading", name="Hello")).to_be_visible()
    inside.get_by_role("button", name="Send it").click()
    asks = panel.get_by_role("status")
    expect(asks).to_contain_text("send")
    expect(asks).to_contain_text('"who":"Ann"')
    asks.get_by_role("button", name="Dismiss").click()
    expect(asks).to_have_count(0)
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    page.close()
