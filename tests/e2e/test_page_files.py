"""Files in conversations on the page: picked, pasted, dropped, sent, and seen again."""

from __future__ import annotations

import struct
import wave
import zlib
from io import BytesIO
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import GatewayProcess
from tests.e2e.pages import PHONE, OpenPage, needs_browser

pytestmark = needs_browser

HOLD = """(files) => {
  const held = new DataTransfer()
  for (const [name, type, text] of files) held.items.add(new File([text], name, { type }))
  return held
}"""


def png(width: int = 40, height: int = 30) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    rows = (b"\0" + bytes((40, 120, 110)) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def wav() -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(8000))
    return file.getvalue()


def given(name: str, mime_type: str, content: bytes) -> Any:
    return {"name": name, "mimeType": mime_type, "buffer": content}


def pick(page: Page, *files: Any) -> None:
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Attach files").click()
    chosen.value.set_files(list(files))


def drafts(page: Page) -> Locator:
    return page.get_by_role("list", name="Files to send").get_by_role("listitem")


def mine(page: Page) -> Locator:
    return page.get_by_role("article", name="You said")


def answers(page: Page) -> Locator:
    return page.get_by_role("article", name="Answer")


def send(page: Page, text: str = "") -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send", exact=True).click()


def is_shown(picture: Locator, width: int) -> None:
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("complete", value=True)
    expect(picture).to_have_js_property("naturalWidth", width)


def test_files_are_picked_sent_and_there_after_a_reload(
    open_page: OpenPage, gateway: GatewayProcess
) -> None:
    page = open_page(gateway.page_link)
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    pick(
        page,
        given("lake.png", "image/png", png()),
        given("plan.txt", "text/plain", b"one, two, three"),
        given("voice.wav", "audio/wav", wav()),
        given("not this.txt", "text/plain", b"no"),
    )
    expect(drafts(page)).to_have_count(4)
    page.get_by_role("button", name="Remove not this.txt").click()
    expect(drafts(page)).to_have_count(3)
    expect(page.get_by_text("3 files, ")).to_be_visible()
    send(page, "look")
    expect(answers(page)).to_contain_text("Echo: look")
    expect(drafts(page)).to_have_count(0)
    is_shown(mine(page).get_by_role("img", name="lake.png"), 40)

    page.reload()
    is_shown(mine(page).get_by_role("img", name="lake.png"), 40)
    expect(mine(page)).to_contain_text("look")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save plan.txt").click()
    assert saved.value.suggested_filename == "plan.txt"
    assert saved.value.path().read_bytes() == b"one, two, three"
    page.get_by_role("button", name="Play voice.wav").click()
    player = page.get_by_label("voice.wav", exact=True)
    expect(player).to_have_js_property("duration", 0.5)

    page.get_by_role("button", name="Show lake.png").click()
    large = page.get_by_role("dialog", name="lake.png")
    is_shown(large.get_by_role("img"), 40)
    page.keyboard.press("Escape")
    expect(large).to_have_count(0)
    expect(page.get_by_role("button", name="Show lake.png")).to_be_focused()
    page.close()


def test_files_are_pasted_and_dropped(open_page: OpenPage, gateway: GatewayProcess) -> None:
    page = open_page(gateway.page_link)
    field = page.get_by_label("Message", exact=True)
    expect(field).to_be_focused()
    pasted = page.evaluate_handle(HOLD, [["", "text/plain", "from the clipboard"]])
    page.evaluate(
        """(data) => document.activeElement.dispatchEvent(new ClipboardEvent(
             'paste', { clipboardData: data, bubbles: true, cancelable: true }))""",
        pasted,
    )
    expect(drafts(page)).to_have_count(1)
    dropped = page.evaluate_handle(HOLD, [["notes.md", "text/markdown", "# Notes"]])
    log = page.get_by_role("region", name="Messages")
    log.dispatch_event("dragenter", {"dataTransfer": dropped})
    expect(page.get_by_text("Drop the files here")).to_be_visible()
    log.dispatch_event("drop", {"dataTransfer": dropped})
    expect(page.get_by_text("Drop the files here")).to_have_count(0)
    expect(drafts(page)).to_have_count(2)
    page.get_by_role("button", name="Send", exact=True).click()  # without a word
    expect(mine(page).get_by_role("list", name="Files").get_by_role("listitem")).to_have_count(2)
    expect(mine(page)).to_contain_text("notes.md")
    expect(answers(page)).to_have_count(1)
    page.close()


def test_what_is_too_large_is_told_before_and_after_sending(
    open_page: OpenPage, start_gateway: StartGateway
) -> None:
    gateway = start_gateway(
        {
            "gateway": {
                "auth": {"token": "t" * 32},
                "limits": {"maxPayloadBytes": 1_000_000},
            },
            "media": {"maxFileMb": 0.1},
        }
    )
    page = open_page(gateway.page_link)
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    pick(page, given("film.mp4", "video/mp4", bytes(800_000)))
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("film.mp4 is 800 KB; a message may have 701 KB.")
    expect(drafts(page)).to_have_count(0)
    page.get_by_role("button", name="Dismiss").click()
    expect(problem).to_have_count(0)

    pick(page, given("large.txt", "text/plain", b"x" * 200_000))
    send(page, "here")
    expect(page.get_by_text("Not sent", exact=True)).to_be_visible()
    expect(problem).to_contain_text("large.txt")
    expect(mine(page)).to_contain_text("large.txt")
    page.close()


def test_pictures_are_shown_behind_a_base_path_and_on_a_phone(
    open_page: OpenPage, start_gateway: StartGateway
) -> None:
    token = "t" * 32
    control_ui = {"basePath": "/portico"}
    gateway = start_gateway({"gateway": {"auth": {"token": token}, "controlUi": control_ui}})
    link = f"{gateway.url}/portico/#token={token}"
    page = open_page(link, viewport=PHONE, has_touch=True, is_mobile=True)
    expect(page.get_by_text("What is on your mind?")).to_be_visible()
    long_name = "a picture with a name that is longer than the screen of a telephone.png"
    pick(page, *[given(f"{n} {long_name}", "image/png", png(60 + n, 90)) for n in range(3)])
    expect(drafts(page)).to_have_count(3)
    send(page)
    expect(answers(page)).to_have_count(1)
    page.reload()
    pictures = mine(page).get_by_role("img")
    expect(pictures).to_have_count(3)
    is_shown(pictures.last, 62)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()
