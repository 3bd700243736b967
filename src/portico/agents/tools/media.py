"""Tools that look at files: a picture is shown to the model, a PDF becomes text.

A file is named by its path in the workspace, by the name it was attached under, or by a web
address.

Guarantees: what is in the workspace is not shown in a turn that has read untrusted text; web
addresses follow the rules of `web_fetch`; a PDF is opened in a process of its own.

Source: OpenClaw, `image` and `pdf` tools.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, ToolOutput, tool
from portico.agents.tools.documents.reader import Reader, Unreadable, page_numbers
from portico.agents.tools.pictures import picture
from portico.agents.tools.web import check_address, marked_as_foreign
from portico.channels.model import Attachment
from portico.fetch import Fetched

MAX_FILE_BYTES = 20_000_000
MOST_PAGES = 50
ATTACHED = "attachment:"

FileName = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=2_048,
        description="Path in the workspace, name of an attached file, or web address.",
    ),
]


class ImageArgs(ToolArgs, frozen=True, kw_only=True):
    """What `image` takes."""

    image: FileName


class PdfArgs(ToolArgs, frozen=True, kw_only=True):
    """What `pdf` takes."""

    pdf: FileName
    pages: Annotated[
        str | None, msgspec.Meta(description="Which pages, such as 1-5,8; none: from the first on.")
    ] = None
    max_chars: Annotated[int, msgspec.Meta(ge=100, description="Cut the text there.")] = 50_000


class Downloads(Protocol):
    """Fetches web addresses for tools."""

    async def load(self, url: str) -> Fetched:
        """Download what an address leads to.

        Raises:
            ToolError: it cannot be had.
        """
        ...


class AttachedFiles(Protocol):
    """Files people attached."""

    async def find(self, session_id: str, name: str) -> Attachment | None:
        """Return the newest of that name in a conversation, or `None`."""
        ...


class WorkspaceFiles(Protocol):
    """Files of agents' workspaces."""

    async def load(self, agent_id: str, path: str, *, max_bytes: int) -> bytes | None:
        """Return a file's content; `None`: there is none.

        Raises:
            ToolError: it is not a file of the workspace, or too large.
        """
        ...


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    name: str


class MediaTools:
    """`image` and `pdf`.

    Args:
        max_chars: of a PDF's text, whatever a call asks for.
    """

    def __init__(
        self,
        *,
        web: Downloads,
        attached: AttachedFiles,
        workspaces: WorkspaceFiles,
        reader: Reader,
        max_chars: int = 40_000,
    ) -> None:
        self._web = web
        self._attached = attached
        self._workspaces = workspaces
        self._reader = reader
        self.max_chars = max_chars

    @tool("image", group="media", changes=False, is_untrusted=True)
    async def image(self, call: ToolCall, args: ImageArgs) -> ToolOutput:
        """Look at a picture."""
        file = await self._load(call, args.image)
        shown = picture(file.content, file.name)
        value = {
            "image": args.image,
            "mimeType": shown.mime_type,
            "sizeBytes": len(file.content),
            "note": "The picture is shown beside this result, to a model that sees.",
        }
        return ToolOutput(value, media=(shown,))

    @tool("pdf", group="media", changes=False, is_untrusted=True)
    async def pdf(self, call: ToolCall, args: PdfArgs) -> dict[str, object]:
        """Read the text of a PDF. A scanned one has none."""
        try:
            pages = [] if args.pages is None else page_numbers(args.pages, most=MOST_PAGES)
        except ValueError as error:
            raise ToolError(str(error)) from None
        file = await self._load(call, args.pdf)
        most = min(args.max_chars, self.max_chars)
        try:
            found = await self._reader.pdf(file.content, pages=pages, max_chars=most)
        except Unreadable as error:
            raise ToolError(f"The PDF cannot be read: {error}.") from None
        text = "\n\n".join(f"[page {number}]\n{text}" for number, text in found.pages)
        return {
            "pdf": args.pdf,
            "title": found.title,
            "pageCount": found.page_count,
            "pages": [number for number, _ in found.pages],
            "truncated": found.is_cut,
            "text": marked_as_foreign(text),
        }

    async def _load(self, call: ToolCall, given: str) -> _File:
        if given.startswith(("https://", "http://")):
            check_address(call, given)
            found = await self._web.load(given)
            if found.is_cut:
                raise ToolError("What is there is too large.")
            return _File(found.body, found.file_name)
        if not given.startswith(ATTACHED) and not call.is_untrusted:
            content = await self._workspaces.load(call.agent_id, given, max_bytes=MAX_FILE_BYTES)
            if content is not None:
                return _File(content, given.rpartition("/")[2])
        attached = await self._find_attached(call, given.removeprefix(ATTACHED))
        if attached is not None:
            return attached
        if call.is_untrusted:
            raise ToolError(
                f'No file "{given[:200]}" was attached here. This turn has read text from outside: '
                "it does not look into the workspace."
            )
        raise ToolError(f'There is no file "{given[:200]}", in the workspace or attached.')

    async def _find_attached(self, call: ToolCall, name: str) -> _File | None:
        if call.session_id is None:
            return None
        found = await self._attached.find(call.session_id, name)
        if found is None:
            return None
        if found.sha256 is not None and not found.has_bytes:
            raise ToolError("The file is no longer kept.")
        if not found.has_bytes:
            return None
        if len(found.content or "") > MAX_FILE_BYTES * 4 // 3 + 4:
            raise ToolError("The file is too large.")
        content = found.read()
        if content is None:
            raise ToolError("The file is damaged.")
        if len(content) > MAX_FILE_BYTES:
            raise ToolError("The file is too large.")
        return _File(content, found.file_name or "")
