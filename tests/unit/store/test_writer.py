from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from sutler.store.batch import Batches, Change
from sutler.store.writer import Writer


class Faulty:
    """Batches with a fault of their own at the first run."""

    commits = 0
    runs = 0
    closed = 0

    def run(self, batch: list[Change], more: Callable[[], Change | None]) -> None:
        batch.extend(iter(more, None))
        self.runs += 1
        if self.runs == 1:
            raise AssertionError("a fault of the store")
        for change in batch:
            change.result = "done"
        self.commits += 1

    def close(self) -> None:
        self.closed += 1


async def test_a_fault_of_the_store_leaves_no_caller_waiting() -> None:
    batches = Faulty()
    committed: list[bool] = []
    writer = Writer(cast(Batches, batches), lambda: committed.append(True), 10, "test")
    first: asyncio.Future[Any] = writer.submit(lambda tx: None)
    second: asyncio.Future[Any] = writer.submit(lambda tx: None)
    writer.start()
    for future in (first, second):
        with pytest.raises(AssertionError):
            await asyncio.wait_for(future, 5)
    assert batches.closed == 1
    assert await asyncio.wait_for(writer.submit(lambda tx: ""), 5) == "done"
    await asyncio.to_thread(writer.close)
    assert committed == [True]
