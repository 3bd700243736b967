"""Acting on a page: clicking, typing, waiting, and what else a person does.

Source: OpenClaw, "Browser control API" (`/act`); Playwright for Python, "Actions".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import Page

from portico.browser.serving.chromium import Tab, text_of
from portico.browser.serving.looking import located
from portico.browser.serving.trouble import Trouble, invalid

MAX_BATCH = 50
MAX_DEPTH = 3
LONGEST_WAIT_MS = 120_000
_LOAD_STATES = frozenset({"load", "domcontentloaded", "networkidle"})
Body = dict[str, Any]


class Acts:
    """Every kind of action.

    Args:
        can_evaluate: scripts may run in pages.
    """

    def __init__(self, *, can_evaluate: bool) -> None:
        self._can_evaluate = can_evaluate
        self._kinds: dict[str, Callable[[Page, Body], Awaitable[Any]]] = {
            "click": _click,
            "clickCoords": _click_coords,
            "type": _type,
            "insertText": lambda page, body: page.keyboard.insert_text(text_of(body, "text")),
            "press": lambda page, body: page.keyboard.press(text_of(body, "key")),
            "hover": lambda page, body: located(page, body).hover(),
            "scrollIntoView": lambda page, body: located(page, body).scroll_into_view_if_needed(),
            "drag": _drag,
            "select": _select,
            "fill": _fill,
            "resize": _resize,
            "wait": self._wait,
            "evaluate": self._evaluate,
            "close": lambda page, _body: page.close(),
        }

    async def act(self, tab: Tab, body: Body, *, depth: int = 0) -> Body:
        """Do it, and return what came of it.

        Raises:
            Trouble: it cannot be done.
        """
        kind = body.get("kind")
        if kind == "batch":
            return await self._batch(tab, body, depth)
        do = self._kinds.get(kind) if isinstance(kind, str) else None
        if do is None:
            raise invalid(f"kind must be one of {', '.join([*self._kinds, 'batch'])}")
        result = await do(tab.page, body)
        done: Body = {"ok": True, "targetId": tab.target_id, "url": tab.page.url}
        return {**done, "result": result} if kind == "evaluate" else done

    async def _batch(self, tab: Tab, body: Body, depth: int) -> Body:
        actions = body.get("actions")
        if not isinstance(actions, list) or not 0 < len(actions) <= MAX_BATCH:
            raise invalid(f"actions must be a list of 1 to {MAX_BATCH} actions")
        if depth >= MAX_DEPTH:
            raise invalid("batches are nested too deeply")
        results: list[Body] = []
        for action in actions:
            try:
                if not isinstance(action, dict):
                    raise invalid("an action must be an object")
                results.append(await self.act(tab, action, depth=depth + 1))
            except Trouble as trouble:
                results.append({"ok": False, **trouble.body()})
                if body.get("stopOnError") is not False:
                    break
        return {"ok": True, "targetId": tab.target_id, "results": results}

    async def _evaluate(self, page: Page, body: Body) -> Any:
        self._check_scripts()
        script = text_of(body, "fn")
        if body.get("ref") or body.get("selector"):
            return await located(page, body).evaluate(script)
        return await page.evaluate(script)

    async def _wait(self, page: Page, body: Body) -> None:
        timeout = _bounded(body.get("timeoutMs"))
        if isinstance(body.get("timeMs"), int | float):
            await page.wait_for_timeout(min(float(body["timeMs"]), LONGEST_WAIT_MS))
        if isinstance(text := body.get("text"), str):
            await page.get_by_text(text).first.wait_for(timeout=timeout)
        if isinstance(gone := body.get("textGone"), str):
            await page.get_by_text(gone).first.wait_for(state="hidden", timeout=timeout)
        if isinstance(selector := body.get("selector"), str):
            await page.locator(selector).first.wait_for(timeout=timeout)
        if isinstance(url := body.get("url"), str):
            await page.wait_for_url(url, timeout=timeout)
        if (state := body.get("loadState")) is not None:
            if state not in _LOAD_STATES:
                raise invalid(f"loadState must be one of {', '.join(sorted(_LOAD_STATES))}")
            await page.wait_for_load_state(state, timeout=timeout)
        if isinstance(script := body.get("fn"), str):
            self._check_scripts()
            await page.wait_for_function(script, timeout=timeout)

    def _check_scripts(self) -> None:
        if not self._can_evaluate:
            raise Trouble(403, "ACT_EVALUATE_DISABLED", "browser.evaluateEnabled is off")


def _bounded(given: Any) -> float | None:
    if given is None:
        return None
    if not isinstance(given, int | float) or isinstance(given, bool) or given <= 0:
        raise invalid("timeoutMs must be a positive number")
    return min(float(given), LONGEST_WAIT_MS)


async def _click(page: Page, body: Body) -> None:
    element = located(page, body)
    options: Body = {"button": _button(body), "modifiers": _texts(body, "modifiers") or None}
    if body.get("doubleClick") is True:
        await element.dblclick(**options)
    else:
        await element.click(**options)


async def _click_coords(page: Page, body: Body) -> None:
    count = 2 if body.get("doubleClick") is True else 1
    x, y = _number(body, "x"), _number(body, "y")
    await page.mouse.click(x, y, button=_button(body), click_count=count)


async def _type(page: Page, body: Body) -> None:
    element, text = located(page, body), body.get("text")
    if not isinstance(text, str):
        raise invalid("text is required")
    if body.get("slowly") is True:
        await element.press_sequentially(text, delay=50)
    else:
        await element.fill(text)
    if body.get("submit") is True:
        await element.press("Enter")


async def _drag(page: Page, body: Body) -> None:
    await located(page, body, prefix="start").drag_to(located(page, body, prefix="end"))


async def _select(page: Page, body: Body) -> None:
    values = _texts(body, "values")
    if not values:
        raise invalid("values are required")
    await located(page, body).select_option(values)


async def _fill(page: Page, body: Body) -> None:
    fields = body.get("fields")
    if not isinstance(fields, list) or not 0 < len(fields) <= MAX_BATCH:
        raise invalid("fields are required")
    for one in fields:
        if not isinstance(one, dict):
            raise invalid("a field must be an object")
        element, value = located(page, one), one.get("value")
        if isinstance(value, bool):
            await element.set_checked(value)
        else:
            await element.fill(str(value if value is not None else ""))


async def _resize(page: Page, body: Body) -> None:
    width, height = int(_number(body, "width")), int(_number(body, "height"))
    if not (100 <= width <= 4_096 and 100 <= height <= 4_096):
        raise invalid("width and height must be between 100 and 4096")
    await page.set_viewport_size({"width": width, "height": height})


def _button(body: Body) -> Any:
    button = body.get("button", "left")
    if button not in {"left", "middle", "right"}:
        raise invalid("button must be left, middle or right")
    return button


def _number(body: Body, name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(f"{name} must be a number")
    return float(value)


def _texts(body: Body, name: str) -> list[str]:
    given = body.get(name)
    return [one for one in given if isinstance(one, str)] if isinstance(given, list) else []
