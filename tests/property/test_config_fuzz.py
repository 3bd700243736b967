"""Whatever is in the config file, there is a configuration to start with."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from portico.app import Gateway
from portico.config import ConfigError, load_or_last_good, resolve_paths
from portico.config.file import MAX_FILE_BYTES
from portico.config.service import refusals_of
from portico.wiring.recovery import page, recovery_config

REAL = """\
// Ann's settings
{
  $include: "more.json5",
  gateway: {
    port: 18789, bind: "loopback",
    auth: { mode: "token", token: "0123456789abcdef0123456789abcdef", rateLimit: { maxAttempts: 3 } },
    http: { endpoints: { chatCompletions: { enabled: true } } },
    reload: { mode: "hybrid" },
  },
  agents: {
    defaults: { runtime: "echo", heartbeat: { every: "30m" } },
    list: [{ id: "main", default: true }, { id: "ops", model: "lab/m" }],
  },
  models: { providers: { lab: { baseUrl: "http://127.0.0.1:1/v1", apiKey: "${LAB}", models: [{ id: "m" }] } } },
  channels: { telegram: { botToken: { source: "env", id: "BOT" }, dmPolicy: "pairing" } },
  cron: { enabled: true, timezone: "Europe/Berlin" },
  budgets: { limits: [{ scope: "agent", id: "main", tokens: 1000 }] },
  mcp: { servers: { near: { command: "/bin/true", env: { A: "b" } } } },
}
"""  # noqa: E501  # as a person writes it
PIECES = ["{", "}", "[", "]", ",", ":", '"', "//", "/*", "null", "-1", "1e999", "NaN", "Infinity",
          "\\u0000", "${X}", "$include", '"lan"', '"remote_"', "true", "[[[[", "{}{}"]  # fmt: skip


def truncated(cut: int) -> bytes:
    return REAL.encode()[: cut % len(REAL)]


def mutated(seed: int) -> bytes:
    chance, text = random.Random(seed), REAL
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(text))
        match chance.randrange(4):
            case 0:
                text = text[:at] + chance.choice(PIECES) + text[at:]
            case 1:
                text = text[:at] + text[at + chance.randint(1, 20) :]
            case 2:
                text = text[:at] + chance.choice(PIECES) + text[at + 1 :]
            case _:
                other = chance.randrange(len(text))
                text = text[:at] + text[other : other + chance.randint(1, 60)] + text[at:]
    return text.encode("utf-8", "surrogatepass")


CONTENT = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.integers(0, 10_000).map(truncated),
    st.integers(0, 1 << 30).map(mutated),
    st.just(b"[" * 20_000),
    st.just(b'{"a":' * 5_000),
    st.just(b" " * (MAX_FILE_BYTES + 1)),
)


@given(content=CONTENT)
def test_there_is_always_something_to_start_with(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = resolve_paths(env={"HOME": folder}, state_dir=Path(folder))
        paths.config_file.write_bytes(content)
        loaded = load_or_last_good(paths, env={})
        try:
            loaded.require_startable()
        except ConfigError:
            assert refusals_of(loaded)
            loaded = recovery_config(loaded, env={})
            assert loaded.require_startable().gateway.bind == "loopback"
            assert "<script" not in page(loaded.issues)
            gateway = Gateway(loaded, env={})
            assert gateway.front.registry.find("sessions.list") is None
        assert loaded.config is not None
        assert paths.config_file.read_bytes() == content
