"""SQLite, PostgreSQL and the predicate give the same answer, and it is the right one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sutler.filtering import Filter, parse

from tests.unit.libs.filtering_cases import case
from tests.unit.libs.filtering_engines import Database, open_postgresql, open_sqlite, store
from tests.unit.libs.filtering_model import SCHEMA, Leaf, item

RANDOMS = st.randoms(use_true_random=True)


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Database]:
    with open_sqlite() as database:
        yield database


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Database]:
    with open_postgresql() as database:
        yield database


def passing(database: Database, wanted: Filter) -> set[int]:
    """Returns the documents that pass, having checked that all others pass the negation."""
    condition, params = wanted.sql(database.dialect)
    rows = database.run(f"SELECT name, {condition}, NOT {condition} FROM documents AS d", [*params, *params])
    assert all(bool(yes) is not bool(no) for _, yes, no in rows if yes is not None), "NOT is not two-valued"
    assert all(yes is not None for _, yes, _ in rows), "a condition is NULL"
    found = database.run(f"SELECT name FROM documents AS d WHERE {condition}", params)
    assert {name for (name,) in found} == {name for name, yes, _ in rows if yes}
    return {int(name) for (name,) in found}


def check(database: Database, random: Random) -> None:
    documents, filters = case(random)
    store(database, documents, escaped=random.random() < 0.5)
    for wanted in filters:
        expected = {index for index, document in enumerate(documents) if wanted.holds(item(document))}
        assert passing(database, parse(wanted.text, SCHEMA)) == expected, wanted.text


@given(random=RANDOMS)
@settings(max_examples=400)
def test_predicate_agrees_with_the_model(random: Random) -> None:
    documents, filters = case(random)
    for wanted in filters:
        passes = parse(wanted.text, SCHEMA).predicate()
        for document in documents:
            assert passes(item(document)) is wanted.holds(item(document)), wanted.text


@given(random=RANDOMS)
@settings(max_examples=250)
def test_sqlite_agrees_with_the_model(sqlite: Database, random: Random) -> None:
    check(sqlite, random)


@given(random=RANDOMS)
@settings(max_examples=150)
def test_postgresql_agrees_with_the_model(postgresql: Database, random: Random) -> None:
    check(postgresql, random)


def test_the_cases_are_not_vacuous() -> None:
    """Every way to compare a kind of value both passes and fails, also deep in an open field."""
    outcomes: dict[tuple[str, str, str], Counter[bool]] = {}
    for seed in range(1200):
        documents, filters = case(Random(seed))
        for leaf in filters:
            if isinstance(leaf, Leaf) and leaf.path != ("properties",):
                seen = outcomes.setdefault((leaf.path[0], leaf.kind, leaf.operator), Counter())
                seen.update(leaf.holds(item(document)) for document in documents)
    assert {key: dict(seen) for key, seen in outcomes.items() if len(seen) < 2} == {}
    assert len([key for key in outcomes if key[0] == "properties"]) == 3 + 7 + 7 + 1
