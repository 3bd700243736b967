"""Content parts: from OpenAI's shapes to what a runtime is handed.

Guarantees: parts keep their order; the checks and limits are those of the gateway message API.

Source: OpenAI API reference, "Images and vision", "File inputs".
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import Sequence

from portico.web.messages.model import AudioPart, ContentPart, FilePart, ImagePart
from portico.web.messages.parts import Part, plain_parts
from portico.web.openai.model import ImageUrl, InputAudio, InputFile, MessagePart
from portico.web.openai.problem import Refused
from portico.web.openai.responses_model import InputContent


def chat_parts(content: str | Sequence[MessagePart] | None, *, name: str) -> tuple[Part, ...]:
    """Return the content of a chat message as runtime parts.

    Raises:
        InvalidRequest: a part is not valid; `name` is how the error calls it.
    """
    if isinstance(content, str) or not content:
        return _text_parts(content)
    given = [_chat(part, f"{name}[{index}]") for index, part in enumerate(content)]
    return plain_parts([part for part in given if part is not None], name=name)


def response_parts(content: str | Sequence[InputContent] | None, *, name: str) -> tuple[Part, ...]:
    """Return the content of a Responses item as runtime parts.

    Raises:
        InvalidRequest: a part is not valid; `name` is how the error calls it.
    """
    if isinstance(content, str) or not content:
        return _text_parts(content)
    given = [_response(part, f"{name}[{index}]") for index, part in enumerate(content)]
    return plain_parts([part for part in given if part is not None], name=name)


def _text_parts(text: str | Sequence[object] | None) -> tuple[Part, ...]:
    return ({"type": "text", "text": text},) if text and isinstance(text, str) else ()


def _chat(part: MessagePart, name: str) -> ContentPart | None:
    match part.type:
        case "text" | "refusal":
            return _text(part.text or part.refusal)
        case "image_url":
            image = part.image_url or ImageUrl()
            return _image(image.url, image.detail, name)
        case "input_audio":
            sound = part.input_audio or InputAudio()
            data = AudioPart(data=_decoded(sound.data, name), format=sound.format)
            return ContentPart(type="audio", audio=data)
        case "file":
            file = part.file or InputFile()
            return _file(
                file_id=file.file_id,
                data=file.file_data,
                url=None,
                file_name=file.filename,
                name=name,
            )
        case _:
            raise Refused(f"{name}: unsupported content part type", param=name)


def _response(part: InputContent, name: str) -> ContentPart | None:
    match part.type:
        case "input_text" | "output_text" | "text" | "refusal":
            return _text(part.text or part.refusal)
        case "input_image":
            if part.file_id and not part.image_url:
                return ContentPart(type="file", file=FilePart(file_id=part.file_id))
            return _image(part.image_url or "", part.detail, name)
        case "input_file":
            return _file(
                file_id=part.file_id,
                data=part.file_data,
                url=part.file_url,
                file_name=part.filename,
                name=name,
            )
        case _:
            raise Refused(f"{name}: unsupported content part type", param=name)


def _text(text: str | None) -> ContentPart | None:
    return ContentPart(type="text", text=text) if text and text.strip() else None


def _image(url: str, detail: str | None, name: str) -> ContentPart:
    if not url.startswith("data:"):
        return ContentPart(type="image", image=ImagePart(url=url, detail=detail))
    kind, data = _data_url(url, name)
    if not kind.startswith("image/"):
        raise Refused(f"{name}: the data URL is not an image", param=name)
    image = ImagePart(data=data, format=kind.removeprefix("image/"), detail=detail)
    return ContentPart(type="image", image=image)


def _file(
    *, file_id: str | None, data: str | None, url: str | None, file_name: str | None, name: str
) -> ContentPart:
    if file_id:
        return ContentPart(type="file", file=FilePart(file_id=file_id, filename=file_name))
    if url and not url.startswith("data:"):
        return ContentPart(type="file", file=FilePart(url=url, filename=file_name))
    given = data or url or ""
    kind = None
    if given.startswith("data:"):
        kind, body = _data_url(given, name)
    else:
        body = _decoded(given, name)
    known = file_name or f"file{mimetypes.guess_extension(kind or '') or ''}"
    return ContentPart(type="file", file=FilePart(data=body, filename=known, format=kind))


def _data_url(url: str, name: str) -> tuple[str, bytes]:
    head, comma, body = url.removeprefix("data:").partition(",")
    kind, *options = head.split(";")
    if not comma or "base64" not in options:
        raise Refused(f"{name}: a data URL must be base64", param=name)
    return kind.strip().lower(), _decoded(body, name)


def _decoded(data: str, name: str) -> bytes:
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Refused(f"{name}: the data is not base64", param=name) from None
