"""The TypeScript models of the protocol, compiled by the real compiler, strictly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.node_client import find_node

TSC = Path(__file__).parents[2] / "ui" / "node_modules" / "typescript" / "bin" / "tsc"
pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(
        not TSC.exists() and "PORTICO_REQUIRE_CLIENTS" not in os.environ,
        reason="the page's tools are not installed: `make ui` does it",
    ),
]
USE = """
import type { EventFrame, MethodName, Methods, RequestFrame } from './protocol.gen'

type Of<M extends MethodName> = Methods[M]
type Call = <M extends MethodName>(method: M, params: Of<M>['params']) => Promise<Of<M>['result']>

export async function ask(call: Call): Promise<string | undefined> {
  await call('chat.send', { sessionKey: 'main', message: 'hello', idempotencyKey: 'once' })
  const nodes = await call('node.list', {})
  const frame: RequestFrame = { type: 'req', id: '1', method: 'health' }
  const heard: EventFrame = { type: 'event', event: 'tick', seq: 1 }
  return frame.method + heard.event + String(nodes)
}
"""
WRONG = """
import type { Methods } from './protocol.gen'

export const sent: Methods['chat.send']['params'] = { message: 1 }
"""


def compiled(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    options = ("--noEmit", "--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "false")
    return subprocess.run(
        [
            find_node(),
            str(TSC),
            *options,
            "--target",
            "es2022",
            "--module",
            "esnext",
            "--moduleResolution",
            "bundler",
            "--types",
            "",
            name,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_typescript_compiles_and_knows_right_from_wrong(tmp_path: Path) -> None:
    exported = subprocess.run(
        [sys.executable, "-m", "portico", "protocol", "export", "--format", "typescript"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (tmp_path / "protocol.gen.ts").write_text(exported.stdout)
    (tmp_path / "use.ts").write_text(USE)
    (tmp_path / "wrong.ts").write_text(WRONG)
    used = compiled(tmp_path, "use.ts")
    assert used.returncode == 0, used.stdout
    assert "wrong.ts" in compiled(tmp_path, "wrong.ts").stdout
