"""Caches keep to their user, and drop what has changed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sutler.errors import SutlerError, Unavailable

from services.erp.caching import Answers
from services.erp.coalescing import Ready
from services.erp.connections import CachePolicy, ErpContext
from services.erp.links import Link
from services.erp.ports import Claims, Hit
from services.erp.records import (
    DataSource,
    FieldSet,
    Origin,
    Record,
    field_tree,
)
from services.erp.users import Ask
from services.erp.wanting import View, Wanted
from tests.unit.erp.models import ORDER, schemas
from tests.unit.erp.test_connections import a_connection

ASK = Ask("anna", "secret", ErpContext(), "anna-1")


class MemoryCache:
    """A cache in memory that can be down."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], tuple[Any, list[str]]] = {}
        self.ttls: list[float] = []
        self.claimed: dict[tuple[str, str], set[str]] = {}

    async def get_many(self, tenant: str, keys: Sequence[str]) -> list[Hit | None]:
        found = [self.kept.get((tenant, key)) for key in keys]
        return [None if one is None else Hit(one[0], Origin.NEAR_CACHE) for one in found]

    @asynccontextmanager
    async def claiming(self, tenant: str, wanted: Mapping[str, Sequence[str]]) -> AsyncIterator[Claims]:
        self.claimed |= {(tenant, key): set(tags) for key, tags in wanted.items()}
        yield MemoryClaims(self, tenant, set(wanted))

    async def invalidate(self, tenant: str, tags: Sequence[str]) -> None:
        self.kept = {key: one for key, one in self.kept.items() if not set(one[1]) & set(tags)}
        self.claimed = {key: theirs for key, theirs in self.claimed.items() if not theirs & set(tags)}


@dataclass
class MemoryClaims:
    """Claims of a cache in memory."""

    cache: MemoryCache
    tenant: str
    keys: set[str]

    async def ready(self) -> None:
        pass

    async def put(self, entries: Mapping[str, tuple[Any, Sequence[str]]], ttl: float) -> None:
        self.cache.ttls.append(ttl)
        for key, (value, tags) in entries.items():
            if key in self.keys and (self.tenant, key) in self.cache.claimed:
                self.cache.kept[self.tenant, key] = (value, list(tags))


def a_link(**spec: Any) -> Link:
    return Link(a_connection(**spec), *([None] * 7))  # type: ignore[arg-type]


def a_view(link: Link, ask: Ask = ASK, fields: tuple[str, ...] = ("name",)) -> View:
    return View(link, ask, ORDER, field_tree(fields), FieldSet(fields), schemas)


class Reader:
    """Reads order 30 as it is now, and counts."""

    def __init__(self) -> None:
        self.count = 0
        self.error: SutlerError | None = None

    async def __call__(self, ids: Sequence[int], ready: Ready) -> dict[int, tuple[Record, set[tuple[str, int]]]]:
        self.count += 1
        if self.error:
            raise self.error
        source = DataSource(read_time=time.time())
        return {
            one: (
                Record(model="sale.order", id=one, values={"n": self.count}, source=source),
                {("sale.order", one), ("res.partner", 7)},
            )
            for one in ids
        }


WANTED = Wanted(model="sale.order", fields=("name",))


async def test_records_are_read_through_the_cache_until_something_they_are_made_of_changes() -> None:
    answers, read, link = Answers(MemoryCache()), Reader(), a_link()
    view = a_view(link)

    async def value() -> Any:
        return (await answers.records(view, [30], WANTED, read))[30].values["n"]

    assert [await value(), await value()] == [1, 1]
    await answers.changed(link, "sale.order", [31])
    assert await value() == 1
    await answers.changed(link, "sale.order", [30])
    assert await value() == 2
    await answers.changed(link, "res.partner", [7])
    assert await value() == 3
    await answers.forget("default", link.connection.uid)
    assert await value() == 4


OTHERS: tuple[dict[str, Any], ...] = ({"tenant": "red"}, {"uid": "d"}, {"epoch": 2})


async def test_nobody_sees_what_was_read_as_somebody_else() -> None:
    cache, read = MemoryCache(), Reader()
    answers = Answers(cache)
    views = [
        a_view(a_link()),
        a_view(a_link(), Ask("ben", "secret", ErpContext(), "ben-1")),
        a_view(a_link(), Ask("anna", "secret", ErpContext(language="fr_FR"), "anna-1"), ("name",)),
        a_view(a_link(), fields=("state",)),
        a_view(a_link(), Ask("anna", "secret", ErpContext(company_ids=(2,)), "anna-1")),
        a_view(a_link(), Ask("anna", "secret", ErpContext(time_zone="Asia/Tokyo"), "anna-1")),
        a_view(a_link(), Ask("anna", "secret", ErpContext(extra={"active_test": False}), "anna-1")),
        *(a_view(replace(a_link(), connection=replace(a_link().connection, **other))) for other in OTHERS),
    ]
    views[2] = replace(views[2], covers=FieldSet(("name",), language="fr_FR"))
    for view in views:
        await answers.records(view, [30], WANTED, read)
    assert read.count == len(views)
    assert len(cache.kept) == len(views)
    assert {tuple(key.split("/")[:3]) for _, key in cache.kept} == {
        ("default", "c", "1"), ("red", "c", "1"), ("default", "d", "1"), ("default", "c", "2")
    }  # fmt: skip


async def test_an_older_answer_is_given_only_where_it_is_allowed_and_says_so() -> None:
    cache, read, link = MemoryCache(), Reader(), a_link(cache_policies=(CachePolicy(model="*", record_ttl=300.0),))
    answers, view = Answers(cache), a_view(link)
    await answers.records(view, [30], WANTED, read)
    read.error = Unavailable("down")
    fresh_only = Wanted(model="sale.order", max_staleness=0)
    with pytest.raises(Unavailable):
        await answers.records(view, [30], fresh_only, read)
    stale = Wanted(model="sale.order", max_staleness=0, allow_stale=True)
    found = (await answers.records(view, [30], stale, read))[30]
    assert found.values == {"n": 1}
    assert found.source is not None
    assert found.source.stale
    assert found.source.error is read.error


async def test_what_changed_while_it_was_read_is_not_kept() -> None:
    cache, link = MemoryCache(), a_link()
    answers = Answers(cache)

    async def slow(ids: Sequence[int], ready: Ready) -> Any:
        found = await Reader()(ids, ready)
        await answers.changed(link, "sale.order", [30])
        return found

    await answers.records(a_view(link), [30], WANTED, slow)
    assert cache.kept == {}


async def test_answers_to_searches_go_with_any_change_of_the_model() -> None:
    answers, link, count = Answers(MemoryCache()), a_link(), 0

    async def read() -> Any:
        nonlocal count
        count += 1
        return {"n": count}

    async def value() -> Any:
        return (await answers.search(a_view(link), ["x"], WANTED, ["sale.order"], read))[0]["n"]

    assert [await value(), await value()] == [1, 1]
    await answers.changed(link, "sale.order", [99])
    assert await value() == 2
