from __future__ import annotations

from benchmarks.client import WebSocket, text_frame
from benchmarks.figures import Aim, Figure, table
from benchmarks.load import Cost
from benchmarks.servers import median


def test_an_aim_is_compared_with_the_value_or_the_ratio():
    memory = Figure(name="memory", unit="MB", value=70, baseline=30, aim=Aim(75))
    rpc = Figure(name="rpc", unit="µs", value=30, baseline=10, aim=Aim(2, of="ratio"))
    plain = Figure(name="plain", unit="s", value=1)
    assert (memory.met, rpc.met, plain.met) == (True, False, None)
    assert rpc.ratio == 3
    assert plain.ratio is None


def test_the_table_names_what_was_missed():
    figures = [
        Figure(name="ready", unit="s", value=1.234, aim=Aim(0.9)),
        Figure(name="rpc", unit="µs", value=15, baseline=10, aim=Aim(2, of="ratio")),
    ]
    head, line, missed, met = table(figures).splitlines()
    assert head.startswith("| figure")
    assert set(line) <= {"|", "-"}
    assert "1.23 s" in missed
    assert "**no**" in missed
    assert "1.50" in met
    assert "yes" in met


def test_the_round_with_the_median_cpu_time_counts():
    costs = [Cost(cpu_us=cpu, per_s=cpu) for cpu in (3.0, 1.0, 2.0)]
    assert median(costs).per_s == 2.0


def test_the_client_cuts_messages_however_they_arrive():
    heard: list[bytes] = []
    socket = WebSocket()
    socket.on_message = heard.append
    sizes = (0, 125, 126, 65_535, 65_536)
    stream = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    for size in sizes:
        stream += _unmasked(text_frame(b"x" * size), size)
    for at in range(0, len(stream), 1_000):
        socket.data_received(stream[at : at + 1_000])
    assert [len(message) for message in heard] == list(sizes)


def _unmasked(frame: bytes, size: int) -> bytes:
    head = frame[: len(frame) - size - 4]
    return bytes((head[0], head[1] & 0x7F)) + head[2:] + frame[len(frame) - size :]
