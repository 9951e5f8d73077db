from __future__ import annotations

import asyncio

import pytest
from sutler.store import Database, Transaction
from sutler.store.engine import StatementError
from sutler.store.sequences import draw

from tests.conformance.store.conftest import Opens
from tests.conformance.store.places import Place


def draws_and_fails(tx: Transaction) -> None:
    draw(tx, "a", 5)
    draw(tx, "b")
    raise KeyError


async def test_what_a_failed_change_drew_is_drawn_by_the_next(db: Database, one_batch: None) -> None:
    drawn = await asyncio.gather(
        db.write(lambda tx: draw(tx, "a")),
        db.write(draws_and_fails),
        db.write(lambda tx: (draw(tx, "a", 2), draw(tx, "a"), draw(tx, "b"))),
        return_exceptions=True,
    )
    assert isinstance(drawn[1], KeyError)
    assert (drawn[0], drawn[2]) == (1, (3, 4, 1))
    assert await db.write(lambda tx: draw(tx, "a")) == 5


async def test_numbers_go_on_where_another_process_left_off(shared_place: Place, opens: Opens) -> None:
    async with opens(shared_place) as one, opens(shared_place) as other:
        drawn = [await db.write(lambda tx: draw(tx, "a", 3)) for db in (one, other, one, other)]
    assert drawn == [3, 6, 9, 12]
    async with opens(shared_place) as again:
        assert await again.write(lambda tx: draw(tx, "a")) == 13


async def test_a_read_draws_nothing(db: Database) -> None:
    with pytest.raises(StatementError):
        await db.read(lambda tx: draw(tx, "a"))
