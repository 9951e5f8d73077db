"""Deadlines that pass while the store is busy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sutler.client import connect
from sutler.errors import DeadlineExceeded, SutlerError
from sutler.testing import wait_until

from tests.integration.faults.conftest import new_id
from tests.integration.faults.faces import Face


@contextmanager
def busy(database: Path) -> Iterator[None]:
    """Holds the database's write lock, as another process does in the middle of a change."""
    other = sqlite3.connect(database, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


async def test_a_change_whose_deadline_passes_happens_once(face: Face, tmp_path: Path) -> None:
    async with face.serving(tmp_path) as (s, up), connect(up.address, attempts=1, timeout=1) as hasty:
        await face.prepare(s)
        await face.change(s, "before", new_id())
        request = new_id()
        with busy(face.database(tmp_path)):
            with pytest.raises(DeadlineExceeded) as caught:
                await face.change(hasty, "late", request)
            assert caught.value.reason == "DEADLINE_EXCEEDED"
            await face.read(s, "before")

        async def there() -> bool:
            try:
                await face.read(s, "late")
            except SutlerError:
                return False
            return True

        await wait_until(there)
        first = await face.change(s, "late", request)
        assert await face.change(s, "late", request) == first
        await face.read(s, "late")


async def test_a_deadline_that_has_passed_already(face: Face, tmp_path: Path) -> None:
    async with face.serving(tmp_path) as (s, up), connect(up.address, attempts=1, timeout=-1) as late:
        await face.prepare(s)
        with pytest.raises(DeadlineExceeded):
            await face.change(late, "never", new_id())
