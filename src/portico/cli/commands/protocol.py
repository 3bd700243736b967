"""`portico protocol export`: the protocol for programs in other languages."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from portico.cli.command import HERE, Local, command
from portico.cli.exit import ExitCode
from portico.cli.output import print_json


@command("export")
def export(
    *,
    form: Annotated[Literal["jsonschema", "typescript"], Parameter(name="--format")] = "jsonschema",
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    here: Local = HERE,
) -> int:
    """Print the protocol as a schema or as types.

    It holds the frames, the errors, every method with its params, result and scope, and every
    event. No gateway needs to run.

    Args:
        form: jsonschema (2020-12) or typescript. [default: jsonschema]
        out: Write to this file instead of stdout.

    Examples:
        portico protocol export > protocol.schema.json
        portico protocol export --format typescript --out protocol.gen.ts
    """
    from portico.app import method_registry
    from portico.cli.schema.document import protocol_document
    from portico.cli.schema.typescript import typescript

    with redirect_stdout(sys.stderr):  # stdout holds the document and nothing else
        registry = method_registry()
    document = protocol_document(registry)
    if form == "typescript":
        text = typescript(document)
    else:
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
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
