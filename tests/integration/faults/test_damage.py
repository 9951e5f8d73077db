"""Databases that are damaged: at the start, and in pages that are read later."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sutler.errors import Code

from tests.integration.faults.conftest import new_id
from tests.integration.faults.faces import Face
from tests.integration.faults.refusals import refused

PAGE_BYTES = 4096
AT_START = "keys"
"""A table that every service reads before it serves."""


def spoil(database: Path, table: str = "") -> None:
    """Overwrites the first page of a table, or the header of the file."""
    page = 1
    if table:
        with closing(sqlite3.connect(database)) as raw:
            [(page,)] = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,))
    with database.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xff" * (PAGE_BYTES if table else 100))


async def fill(face: Face, folder: Path) -> None:
    """Makes a database with one thing in it."""
    async with face.serving(folder) as (s, _):
        await face.prepare(s)
        await face.change(s, "before", new_id())


@pytest.mark.parametrize("table", ["", AT_START], ids=["header", "page"])
async def test_damage_at_the_start_is_told_and_nothing_is_changed(face: Face, tmp_path: Path, table: str) -> None:
    await fill(face, tmp_path)
    database = face.database(tmp_path)
    spoil(database, table)
    found = database.read_bytes()
    with face.process(tmp_path) as process:
        assert await process.ended() == 1
        [line] = process.output.splitlines()
        assert str(database) in line
    assert database.read_bytes() == found


async def test_damage_that_is_found_later_is_data_loss(face: Face, tmp_path: Path) -> None:
    await fill(face, tmp_path)
    spoil(face.database(tmp_path), face.table)
    async with face.serving(tmp_path) as (s, _):
        for _ in range(2):
            with refused(face, Code.DATA_LOSS, "STORAGE_UNAVAILABLE"):
                await face.read(s, "before")
        with refused(face, Code.DATA_LOSS, "STORAGE_UNAVAILABLE"):
            await face.change(s, "after", new_id())
