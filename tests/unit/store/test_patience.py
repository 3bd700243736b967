"""Writes that are tried again."""

from __future__ import annotations

import pytest

from portico.store import patience
from portico.store.patience import until_written


class Away(Exception):
    pass


class Store:
    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tries = 0

    async def write(self) -> str:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_RETRY_S", 0.001)


async def test_it_is_tried_until_it_works() -> None:
    store, told = Store(Away("1"), Away("2")), list[str]()
    done = await until_written(
        store.write, patience_s=1, on_delay=lambda error: told.append(str(error))
    )
    assert (done, store.tries, told) == ("done", 3, ["1", "2"])


async def test_patience_ends() -> None:
    store = Store(*(Away(str(number)) for number in range(100)))
    with pytest.raises(Away) as raised:
        await until_written(store.write, patience_s=0.006, on_delay=lambda _error: None)
    assert str(raised.value) == "3"  # after pauses of 1, 2 and 4 ms


async def test_what_time_does_not_mend_is_raised_at_once() -> None:
    store = Store(ValueError("never"))
    with pytest.raises(ValueError, match="never"):
        await until_written(
            store.write, patience_s=1, on_delay=lambda _error: None, final=(ValueError,)
        )
    assert store.tries == 1
