from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from sutler.idempotency import Once, RequestRepeated
from sutler.ids import new_id
from sutler.store import Database, Transaction
from sutler.store.requests import StoredAnswers, find, remember

from tests.conformance.store.changing import add, number
from tests.conformance.store.conftest import Opens
from tests.conformance.store.places import Place

METHOD = "/sutler.test.v1.TestService/Add"


def once(request_id: str, *, tenant: str = "default", hash: bytes = b"h") -> Once:
    return Once(tenant, METHOD, request_id, hash, lambda result: str(result).encode())


def add_once(which: Once | None, keep: timedelta = timedelta(days=7)) -> Callable[[Transaction], int]:
    def change(tx: Transaction) -> int:
        result = add("n")(tx)
        remember(tx, which, result, keep)
        return result

    return change


async def test_the_second_of_the_same_request_changes_nothing_and_gets_the_first_answer(db: Database) -> None:
    request_id = new_id()
    assert await db.write(add_once(once(request_id))) == 1
    with pytest.raises(RequestRepeated) as caught:
        await db.write(add_once(once(request_id, hash=b"other")))
    assert (caught.value.first.hash, caught.value.first.answer) == (b"h", b"1")
    assert await db.read(number("n")) == 1
    assert await StoredAnswers(db).find("default", METHOD, request_id) == (b"h", b"1")


async def test_requests_differ_by_tenant_method_and_id(db: Database) -> None:
    request_id = new_id()
    for which in (once(request_id), once(request_id, tenant="other"), once(new_id())):
        await db.write(add_once(which))
    assert await db.read(number("n")) == 3
    assert await StoredAnswers(db).find("third", METHOD, request_id) is None
    assert await StoredAnswers(db).find("default", "/other", request_id) is None


async def test_without_a_request_id_nothing_is_remembered(db: Database) -> None:
    await asyncio.gather(*(db.write(add_once(None)) for _ in range(3)))
    assert await db.read(number("n")) == 3
    assert await db.read(lambda tx: tx.one("SELECT COUNT(*) FROM requests")) == (0,)


async def test_only_success_is_remembered(db: Database) -> None:
    request_id = new_id()

    def fails(tx: Transaction) -> None:
        add_once(once(request_id))(tx)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await db.write(fails)
    assert await db.read(lambda tx: find(tx, "default", METHOD, request_id)) is None
    assert await db.write(add_once(once(request_id))) == 1


async def test_an_answer_is_forgotten_after_its_time(place: Place, opens: Opens) -> None:
    time = 1000.0
    async with opens(place, clock=lambda: time) as db:
        request_id = new_id()
        await db.write(add_once(once(request_id), timedelta(seconds=10)))
        time = 1009.0
        with pytest.raises(RequestRepeated):
            await db.write(add_once(once(request_id)))
        time = 1010.0
        assert await StoredAnswers(db).find("default", METHOD, request_id) is None
        assert await db.write(add_once(once(request_id))) == 2


async def test_of_many_at_once_one_wins(shared_place: Place, opens: Opens) -> None:
    request_id = new_id()
    async with opens(shared_place) as first, opens(shared_place) as second:
        results = await asyncio.gather(
            *(db.write(add_once(once(request_id))) for db in (first, second) * 10),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == ["RequestRepeated"] * 19 + ["int"]
        assert await first.read(number("n")) == 1
