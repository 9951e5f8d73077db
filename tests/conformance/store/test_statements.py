"""What both engines must understand alike."""

from __future__ import annotations

import math
from typing import Any

import pytest
from sutler.store import ConstraintError, Database, Migration, StatementError, Transaction

from tests.conformance.store.changing import keys, put
from tests.conformance.store.conftest import Opens
from tests.conformance.store.places import TABLES, Place

WORDS = ["", "A", "Z", "a", "a%b", "a_b", "aa", "z", "Ä", "ß", "é", "中", "\U0001f600"]


async def test_values_come_back_as_they_were(db: Database) -> None:
    rows: list[tuple[str, int | None, float | None, bytes | None, str | None]] = [
        ("null", None, None, None, None),
        ("small", 0, 0.0, b"", ""),
        ("text", -1, 0.1, b"\x00\xff", "x'\"?%s%%\n中"),
        ("large", 2**63 - 1, 1e300, bytes(range(256)) * 1000, "y" * 100_000),
        ("least", -(2**63), -5e-324, b"123", "123"),
    ]
    insert = "INSERT INTO items (key, number, ratio, body, note) VALUES (?, ?, ?, ?, ?)"
    await db.write(lambda tx: tx.many(insert, rows))
    found = await db.read(lambda tx: tx.all("SELECT key, number, ratio, body, note FROM items"))
    assert sorted(found) == sorted(rows)
    types = {type(value) for row in found for value in row}
    assert types == {str, int, float, bytes, type(None)}


async def test_an_int_becomes_a_float_and_a_bool_a_number(db: Database) -> None:
    insert = "INSERT INTO items (key, number, ratio) VALUES (?, ?, ?)"
    await db.write(lambda tx: tx.execute(insert, ("a", True, 3)))
    await db.write(lambda tx: tx.execute(insert, ("b", False, math.pi)))
    row = await db.read(lambda tx: tx.one("SELECT number, ratio FROM items WHERE number = ?", (True,)))
    assert row == (1, 3.0)
    assert [type(value) for value in row or ()] == [int, float]


async def test_sums_are_int_and_averages_float(db: Database) -> None:
    await db.write(put("a", 1))
    await db.write(put("b", 4))
    row = await db.read(lambda tx: tx.one("SELECT SUM(number), AVG(number), COUNT(*), MIN(key) FROM items"))
    assert row == (5, 2.5, 2, "a")
    assert [type(value) for value in row or ()] == [int, float, int, str]
    assert await db.read(lambda tx: tx.one("SELECT SUM(-number) FROM items")) == (-5,)
    assert await db.read(lambda tx: tx.one("SELECT SUM(number) FROM items WHERE key = 'c'")) == (None,)


async def test_text_compares_by_code_point(db: Database) -> None:
    await db.write(lambda tx: tx.many("INSERT INTO items (key) VALUES (?)", [(word,) for word in reversed(WORDS)]))
    assert await db.read(keys) == WORDS
    after = await db.read(lambda tx: tx.all("SELECT key FROM items WHERE key > ? ORDER BY key LIMIT 2", ("a_b",)))
    assert after == [("aa",), ("z",)]


async def test_like_minds_the_case(db: Database) -> None:
    await db.write(lambda tx: tx.many("INSERT INTO items (key) VALUES (?)", [(word,) for word in WORDS]))
    like = "SELECT key FROM items WHERE key LIKE ? ESCAPE '\\' ORDER BY key"
    assert await db.read(lambda tx: tx.all(like, ("a%",))) == [("a",), ("a%b",), ("a_b",), ("aa",)]
    assert await db.read(lambda tx: tx.all(like, ("a\\%%",))) == [("a%b",)]


async def test_marks_and_percent_signs_in_text_are_text(db: Database) -> None:
    sql = "SELECT '?%s', 7 % 4, ? || '%', '100%' -- really?\n"
    assert await db.read(lambda tx: tx.one(sql, ("a",))) == ("?%s", 3, "a%", "100%")


async def test_execute_counts_the_rows_that_changed(db: Database) -> None:
    def change(tx: Transaction) -> list[int]:
        upsert = "INSERT INTO items (key, number) VALUES (?, ?) ON CONFLICT (key) DO "
        return [
            tx.execute(f"{upsert} NOTHING", ("a", 1)),
            tx.execute(f"{upsert} NOTHING", ("a", 2)),
            tx.execute(f"{upsert} UPDATE SET number = excluded.number WHERE items.number < 1", ("a", 3)),
            tx.execute(f"{upsert} UPDATE SET number = excluded.number WHERE items.number < 9", ("a", 4)),
            tx.execute("UPDATE items SET number = number + 1"),
            tx.execute("UPDATE items SET number = 0 WHERE key = 'b'"),
            tx.execute("DELETE FROM items"),
        ]

    assert await db.write(change) == [1, 0, 0, 1, 1, 0, 1]


async def test_returning_gives_rows(db: Database) -> None:
    insert = "INSERT INTO items (key, number) VALUES (?, ?), (?, ?) RETURNING key, number"
    assert await db.write(lambda tx: tx.one(insert, ("a", 1, "b", 2))) == ("a", 1)
    update = "UPDATE items SET number = number * 10 RETURNING number"
    assert sorted(await db.write(lambda tx: tx.all(update))) == [(10,), (20,)]
    assert await db.write(lambda tx: tx.one("DELETE FROM items WHERE key = 'c' RETURNING key")) is None
    assert await db.read(keys) == ["a", "b"]


async def test_many_takes_no_rows_and_many_rows(db: Database) -> None:
    insert = "INSERT INTO items (key, number) VALUES (?, ?)"
    await db.write(lambda tx: tx.many(insert, []))
    await db.write(lambda tx: tx.many(insert, [(str(n), n) for n in range(2000)]))
    assert await db.read(lambda tx: tx.one("SELECT COUNT(*), SUM(number) FROM items")) == (2000, 1_999_000)
    with pytest.raises(ConstraintError):
        await db.write(lambda tx: tx.many(insert, [("new", 1), ("0", 1)]))
    assert await db.read(lambda tx: tx.one("SELECT COUNT(*) FROM items")) == (2000,)


@pytest.mark.parametrize(("column", "value"), [("number", "abc"), ("number", b"\x01"), ("ratio", "abc"), ("body", 5)])
async def test_a_wrong_type_is_refused(db: Database, column: str, value: Any) -> None:
    with pytest.raises(StatementError):
        await db.write(lambda tx: tx.execute(f"INSERT INTO items (key, {column}) VALUES ('a', ?)", (value,)))
    assert await db.read(keys) == []


@pytest.mark.parametrize("sql", ["INSERT INTO items (key) VALUES (NULL)", "INSERT INTO items (key) VALUES ('a')"])
async def test_a_broken_constraint_has_its_own_error(db: Database, sql: str) -> None:
    await db.write(put("a"))
    with pytest.raises(ConstraintError):
        await db.write(lambda tx: tx.execute(sql))


async def test_foreign_keys_hold(place: Place, opens: Opens) -> None:
    part = "CREATE TABLE parts (key TEXT PRIMARY KEY, item TEXT NOT NULL REFERENCES items (key) ON DELETE CASCADE)"
    async with opens(place, migrations={"test": (Migration(1, "both", (*TABLES, part)),)}) as db:
        with pytest.raises(ConstraintError):
            await db.write(lambda tx: tx.execute("INSERT INTO parts VALUES ('p', 'a')"))
        await db.write(put("a"))
        await db.write(lambda tx: tx.execute("INSERT INTO parts VALUES ('p', 'a')"))
        await db.write(lambda tx: tx.execute("DELETE FROM items"))
        assert await db.read(lambda tx: tx.all("SELECT * FROM parts")) == []
