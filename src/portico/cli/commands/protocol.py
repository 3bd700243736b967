"""`portico protocol export`: the protocol for programs in other languages."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from portico.cli.command import HERE, Local, command
from portico.cli.exit import ExitCode
from portico.cli.output import print_json

Form = Literal["jsonschema", "typescript", "swift", "kotlin"]


@command("export")
def export(
    *,
    form: Annotated[Form, Parameter(name="--format")] = "jsonschema",
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    here: Local = HERE,
) -> int:
    """Print the protocol as a schema or as types.

    It holds the frames, the errors, every method with its params, result and scope, and every
    event. No gateway needs to run.

    Args:
        form: jsonschema (2020-12), typescript, swift or kotlin. [default: jsonschema]
        out: Write to this file instead of stdout.

    Examples:
        portico protocol export > protocol.schema.json
        portico protocol export --format typescript --out protocol.gen.ts
        portico protocol export --format swift --out GatewayProtocol.swift
    """
    from portico.app import method_registry
    from portico.cli.schema.document import protocol_document

    with redirect_stdout(sys.stderr):  # stdout holds the document and nothing else
        registry = method_registry()
    document = protocol_document(registry)
    text = _written(document, form)
    if out is None:
        print(text, end="")
        return ExitCode.OK
    out.write_text(text, encoding="utf-8")
    size = {"file": str(out), "format": form, "methods": len(document["methods"])}
    if here.json:
        print_json(size)
    else:
        print(f"Written to {out} ({size['methods']} methods).")
    return ExitCode.OK


@command("docs")
def docs(folder: Path, *, here: Local = HERE) -> int:
    """Write the reference of the protocol as Markdown.

    A page per family of methods, one for the events, and an index. No gateway needs to run.

    Args:
        folder: Where the pages go; pages of families that are gone are removed.

    Examples:
        portico protocol docs docs/protocol
    """
    from portico.app import method_registry
    from portico.cli.schema.document import protocol_document
    from portico.cli.schema.pages import GENERATED, pages

    with redirect_stdout(sys.stderr):
        registry = method_registry()
    written = pages(registry, protocol_document(registry))
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.md"):
        if old.name not in written and old.read_text(encoding="utf-8").startswith(GENERATED):
            old.unlink()
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    if here.json:
        print_json({"folder": str(folder), "pages": sorted(written)})
    else:
        print(f"Written to {folder} ({len(written)} pages).")
    return ExitCode.OK


def _written(document: dict[str, Any], form: Form) -> str:
    from portico.cli.schema.kotlin import kotlin
    from portico.cli.schema.model import protocol_model
    from portico.cli.schema.swift import swift
    from portico.cli.schema.typescript import typescript

    match form:
        case "jsonschema":
            return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        case "typescript":
            return typescript(document)
        case "swift":
            return swift(protocol_model(document))
        case "kotlin":
            return kotlin(protocol_model(document))
