"""Statements that changes leave for the end of their batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sutler.store import ConstraintError, Database, StatementError, Transaction

from tests.conformance.store.changing import number, put

SAVE = "INSERT INTO items (key, number) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET number = excluded.number"


def count(key: str, step: int = 1) -> Callable[[Transaction], int]:
    """Adds to a number that is stored when the batch ends."""

    def change(tx: Transaction) -> int:
        left = tx.left(key)
        if left is None:
            row = tx.one("SELECT number FROM items WHERE key = ?", (key,))
            left = (key, row[0] if row else 0)
        total = int(str(left[1])) + step
        tx.leave(key, SAVE, (key, total))
        return total

    return change


def counts_and_fails(tx: Transaction) -> None:
    count("a", 100)(tx)
    count("b", 100)(tx)
    raise KeyError


async def test_of_what_a_batch_leaves_under_one_key_the_last_is_stored(db: Database, one_batch: None) -> None:
    assert await asyncio.gather(*(db.write(count(key)) for key in ("a", "b", "a", "a"))) == [1, 1, 2, 3]
    assert (await db.read(number("a")), await db.read(number("b"))) == (3, 1)
    assert await db.write(count("a")) == 4


async def test_what_a_failed_change_left_is_forgotten(db: Database, one_batch: None) -> None:
    found = await asyncio.gather(
        db.write(count("a")), db.write(counts_and_fails), db.write(count("a")), return_exceptions=True
    )
    assert (found[0], type(found[1]), found[2]) == (1, KeyError, 2)
    assert (await db.read(number("a")), await db.read(number("b"))) == (2, None)


async def test_who_catches_up_sees_it_and_can_still_fail(db: Database, one_batch: None) -> None:
    def looks(tx: Transaction) -> int | None:
        tx.catch_up()
        assert tx.left("a") is None
        return number("a")(tx)

    def looks_and_fails(tx: Transaction) -> None:
        count("a")(tx)
        looks(tx)
        raise KeyError

    changes: list[Callable[[Transaction], int | None]] = [count("a"), looks, count("a")]
    found = await asyncio.gather(
        *(db.write(change) for change in changes), db.write(looks_and_fails), db.write(looks), return_exceptions=True
    )
    assert (found[:3], type(found[3]), found[4]) == ([1, 1, 2], KeyError, 2)
    assert await db.read(number("a")) == 2


async def test_who_catches_up_forgets_what_was_found_before(db: Database, one_batch: None) -> None:
    def finds(tx: Transaction) -> None:
        tx.found["a"] = number("a")(tx)
        count("a")(tx)
        tx.catch_up()

    found = await asyncio.gather(db.write(finds), db.write(lambda tx: tx.found.get("a", "unknown")))
    assert found == [None, "unknown"]


async def test_a_statement_that_cannot_be_run_fails_those_who_left_it(db: Database, one_batch: None) -> None:
    def breaks(tx: Transaction) -> None:
        tx.leave("broken", "INSERT INTO items (key, number) VALUES (?, ?)", ("old", 1))

    await db.write(put("old"))
    found = await asyncio.gather(db.write(count("a")), db.write(breaks), return_exceptions=True)
    assert (found[0], type(found[1])) == (1, ConstraintError)
    assert (await db.read(number("a")), await db.read(number("old"))) == (1, 0)


async def test_a_read_leaves_nothing(db: Database) -> None:
    with pytest.raises(StatementError):
        await db.read(lambda tx: tx.leave("a", SAVE, ("a", 1)))
