"""What is kept is found by exactly those who asked for the same, and for as long as it may be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.erp.caching import Answers
from services.erp.coalescing import Ready
from services.erp.connections import ConnectionSpec, ErpContext
from services.erp.records import DataSource, FieldSet, Record, field_tree
from services.erp.users import Ask
from services.erp.wanting import View, Wanted
from tests.unit.erp.models import ORDER, PARTNER, schemas
from tests.unit.erp.test_caching import WANTED, MemoryCache, Reader, a_link, a_view

SCHEMAS = {schema.name: schema for schema in (ORDER, PARTNER)}
IDS = st.integers(1, 12)
NAMES = st.text("a1/,\"'", min_size=1, max_size=3)
PARTS = (
    st.sampled_from(["default", "red"]),
    st.sampled_from(["c", "c1"]),
    st.sampled_from(sorted(SCHEMAS)),
    st.sampled_from(["anna-1", "anna-11"]),
    st.sampled_from(["", "de_DE"]),
    st.sampled_from(["", "UTC"]),
    st.lists(IDS, max_size=2).map(tuple),
    st.dictionaries(NAMES, NAMES, max_size=1),
    st.sets(NAMES, max_size=2).map(sorted).map(tuple),
    IDS,
)
"""Tenant, connection, model, user, language, time zone, companies, context, fields, record."""


@st.composite
def questions(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """A question, and others that differ from it in a part or two."""
    first = tuple(draw(part) for part in PARTS)
    found = [first]
    for _ in range(draw(st.integers(1, 4))):
        other = list(first)
        for place in draw(st.sets(st.integers(0, len(PARTS) - 1), min_size=1, max_size=2)):
            other[place] = draw(PARTS[place])
        found.append(tuple(other))
    return found


def view_of(question: tuple[Any, ...]) -> View:
    tenant, uid, model, user, language, zone, companies, extra, fields, _ = question
    context = ErpContext(language=language, time_zone=zone, company_ids=companies, extra=extra)
    link = replace(a_link(), connection=replace(a_link().connection, tenant=tenant, uid=uid))
    covers = FieldSet(fields, language=language)
    return View(link, Ask("anna", "secret", context, user), SCHEMAS[model], field_tree(("name",)), covers, schemas)


async def ask(answers: Answers, question: tuple[Any, ...], number: int) -> int:
    """Asks for a record whose only value is the number of the question; returns that of the answer."""

    async def read(ids: Sequence[int], ready: Ready) -> Any:
        source = DataSource(read_time=time.time())
        return {one: (Record(model=question[2], id=one, values={"n": number}, source=source), set()) for one in ids}

    wanted = Wanted(model=question[2], fields=question[8])
    return int((await answers.records(view_of(question), [question[-1]], wanted, read))[question[-1]].values["n"])


@given(questions())
def test_no_two_questions_share_what_is_kept(asked: list[tuple[Any, ...]]) -> None:
    async def all_of_them() -> list[int]:
        answers = Answers(MemoryCache())
        return [await ask(answers, question, number) for number, question in enumerate([*asked, *asked])]

    told = asyncio.run(all_of_them())
    assert max(told) < len(asked), "what was asked before was kept"
    assert [asked[number] for number in told] == [*asked, *asked]


@pytest.mark.parametrize(("age", "reads"), [(295, 1), (305, 2)])
async def test_a_plain_read_takes_what_is_at_most_five_minutes_old(age: float, reads: int) -> None:
    answers, read = Answers(MemoryCache()), Reader()

    async def aged(ids: Sequence[int], ready: Ready) -> Any:
        source = DataSource(read_time=time.time() - age)
        return {
            one: (replace(record, source=source), touched)
            for one, (record, touched) in (await read(ids, ready)).items()
        }

    for _ in range(2):
        await answers.records(a_view(a_link()), [30], WANTED, aged)
    assert read.count == reads


def test_searches_are_kept_for_a_minute() -> None:
    assert ConnectionSpec().ttl("sale.order", search=True) == 60
