"""Rows that changes insert without waiting, and what becomes of them where they were not free."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sutler.store import ConstraintError, Database, StatementError, Transaction

from tests.conformance.store.changing import keys, put

COLUMNS = "key, body"


class TakenError(Exception):
    """A key is taken."""


def insert(key: str, *more: str) -> Callable[[Transaction], None]:
    return lambda tx: tx.insert("items", COLUMNS, *((one, b"") for one in (key, *more)))


def claim(key: str) -> Callable[[Transaction], None]:
    def change(tx: Transaction) -> None:
        if not tx.hurried and tx.one("SELECT 1 FROM items WHERE key = ?", (key,)):
            raise TakenError
        tx.insert("items", COLUMNS, (key, b""))

    return change


async def test_a_change_sees_what_it_inserted(db: Database) -> None:
    def change(tx: Transaction) -> int:
        insert("a")(tx)
        seen = tx.one("SELECT COUNT(*) FROM items")
        insert("b")(tx)
        assert tx.execute("UPDATE items SET number = ? WHERE key = 'b'", (1,)) == 1
        return int(seen[0]) if seen else 0

    assert await db.write(change) == 1
    assert await db.read(keys) == ["a", "b"]


async def test_many_rows_at_once_are_all_stored(db: Database) -> None:
    names = [f"{number:03}" for number in range(77)]
    await db.write(insert(*names))
    assert await db.read(keys) == names


@pytest.mark.usefixtures("one_batch")
async def test_of_those_who_claim_a_key_at_once_one_gets_it(db: Database) -> None:
    await db.write(put("old"))
    wanted = ["a", "b", "a", "old", "c", "a"]
    found = await asyncio.gather(*(db.write(claim(key)) for key in wanted), return_exceptions=True)
    assert [type(result) for result in found] == [
        *(type(None), type(None), TakenError, TakenError, type(None), TakenError)
    ]
    assert await db.read(keys) == ["a", "b", "c", "old"]


async def test_a_change_that_fails_leaves_nothing_that_it_inserted(db: Database) -> None:
    def fails(tx: Transaction) -> None:
        insert("gone")(tx)
        raise KeyError

    found = await asyncio.gather(
        *(db.write(change) for change in (insert("a"), fails, insert("b"))), return_exceptions=True
    )
    assert [type(result) for result in found] == [type(None), KeyError, type(None)]
    assert await db.read(keys) == ["a", "b"]


async def test_a_key_that_nobody_asked_about_fails_its_change_alone(db: Database) -> None:
    await db.write(put("old"))
    found = await asyncio.gather(*(db.write(insert(key)) for key in ("a", "old", "b")), return_exceptions=True)
    assert [type(result) for result in found] == [type(None), ConstraintError, type(None)]
    assert await db.read(keys) == ["a", "b", "old"]


@pytest.mark.usefixtures("one_batch")
async def test_who_fails_after_taking_a_key_for_free_learns_that_it_is_not(db: Database) -> None:
    await db.write(put("old"))

    def claims_and_fails(key: str) -> Callable[[Transaction], None]:
        def change(tx: Transaction) -> None:
            claim(key)(tx)
            raise KeyError

        return change

    changes = (claim("a"), claims_and_fails("old"), claims_and_fails("a"), claims_and_fails("b"), claim("b"))
    found = await asyncio.gather(*(db.write(change) for change in changes), return_exceptions=True)
    assert [type(result) for result in found] == [type(None), TakenError, TakenError, KeyError, type(None)]
    assert await db.read(keys) == ["a", "b", "old"]


async def test_a_read_cannot_insert(db: Database) -> None:
    with pytest.raises(StatementError):
        await db.read(insert("a"))
    assert await db.read(keys) == []
