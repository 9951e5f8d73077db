"""Paging by keyset visits every row once, in the order that Python gives, in both engines."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sutler.errors import Invalid
from sutler.filtering import Dialect, Field, Kind, Schema, after_sql, order_sql, position
from sutler.paging import Order, parse_order_by

from tests.unit.libs.filtering_cases import document
from tests.unit.libs.filtering_engines import Database, open_postgresql, open_sqlite, store
from tests.unit.libs.filtering_model import SCHEMA, item

RANDOMS = st.randoms(use_true_random=True)
FIELDS = ["title", "size", "ratio", "done", "create_time", "state", "tier", "tags.a", 'tags."a.b"', "properties.a"]
FIELDS += ['properties."é"', "spec.title", "spec.size", "spec.done", "spec.open"]
BY_NAME = (Order("name"),)


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Database]:
    with open_sqlite() as database:
        yield database


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Database]:
    with open_postgresql() as database:
        yield database


def sort_key(found: dict[str, Any], field: str) -> tuple[Any, ...]:
    """Absent first; in an open field also lists and objects, then bools, numbers, texts."""
    value: Any = found
    for segment in field.replace('"a.b"', "a_b").replace('"', "").split("."):
        value = value.get("a.b" if segment == "a_b" else segment) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return (1, int(value))
    if isinstance(value, int | float):
        return (2, value)
    return (3, [ord(c) for c in value]) if isinstance(value, str) else (0,)


def pages(database: Database, documents: list[dict[str, Any]], orders: tuple[Order, ...], size: int) -> list[str]:
    by_name = {found["name"]: found for found in documents}
    names: list[str] = []
    condition: str = "TRUE"
    params: tuple[object, ...] = ()
    order, order_params = order_sql(orders, SCHEMA, database.dialect)
    while len(names) <= len(documents):
        statement = f"SELECT name FROM documents AS d WHERE {condition} ORDER BY {order} LIMIT {size}"
        page = [name for (name,) in database.run(statement, [*params, *order_params])]
        names += page
        if not page:
            return names
        last = orjson.loads(orjson.dumps(position(item(by_name[page[-1]]), orders, SCHEMA)))
        condition, params = after_sql(orders, SCHEMA, last, database.dialect)
    raise AssertionError("the pages do not end")


def check(database: Database, random: Random) -> None:
    names = random.sample(["a", "B", "b", "é", "\ue000", "\U0001f600", "z", "zz", "Z"], k=random.randint(1, 9))
    documents = [{**document(random), "name": name} for name in names]
    store(database, documents)
    fields = [*random.sample(FIELDS, k=random.randint(0, 2)), "name"]
    orders = tuple(Order(field, random.random() < 0.5) for field in fields)
    expected = sorted(documents, key=lambda found: found["name"])
    for order in reversed(orders):
        keys = {found["name"]: sort_key(item(found), order.field) for found in documents}
        expected.sort(key=lambda found: keys[found["name"]], reverse=order.descending)
    assert pages(database, documents, orders, random.randint(1, 3)) == [found["name"] for found in expected]


@given(random=RANDOMS)
@settings(max_examples=400)
def test_sqlite_pages_in_order(sqlite: Database, random: Random) -> None:
    check(sqlite, random)


@given(random=RANDOMS)
@settings(max_examples=150)
def test_postgresql_pages_in_order(postgresql: Database, random: Random) -> None:
    check(postgresql, random)


def test_pages_by_a_required_field_come_from_the_index(sqlite: Database, postgresql: Database) -> None:
    order, _ = order_sql(BY_NAME, SCHEMA, "sqlite")
    condition, params = after_sql(BY_NAME, SCHEMA, ["n"], "sqlite")
    plan = sqlite.run(f"EXPLAIN QUERY PLAN SELECT * FROM documents AS d WHERE {condition} ORDER BY {order}", params)
    assert [row[-1] for row in plan] == ["SEARCH d USING INDEX sqlite_autoindex_documents_1 (name>?)"]

    order, _ = order_sql(BY_NAME, SCHEMA, "postgresql")
    condition, params = after_sql(BY_NAME, SCHEMA, ["n"], "postgresql")
    postgresql.run("SET enable_seqscan = off")
    postgresql.run("SET enable_bitmapscan = off")
    lines = postgresql.run(f"EXPLAIN SELECT * FROM documents AS d WHERE {condition} ORDER BY {order}", params)
    plan_text = "\n".join(line for (line,) in lines)
    assert "Index Scan using documents_pkey" in plan_text
    assert "Index Cond" in plan_text
    assert "Sort" not in plan_text


def test_order_by_knows_the_schema() -> None:
    assert parse_order_by("properties.rows desc, size", SCHEMA.orderable, BY_NAME) == (
        Order("properties.rows", descending=True),
        Order("size"),
        Order("name"),
    )
    plain = set(SCHEMA.fields) - {"labels", "tags", "properties", "spec.labels", "spec.open", "spec.failure"}
    shown = plain | {"tags.KEY", "properties.KEY", "spec.open.KEY"}
    assert sorted(SCHEMA.orderable) == sorted(shown) and shown <= set(SCHEMA.orderable)
    assert len(SCHEMA.orderable) == len(shown)


@pytest.mark.parametrize(
    "field", ["colour", "labels", "tags", "spec.failure", "tags.a.b", "size.a", "", 'tags."\\n"', "a" + ".a" * 40]
)
def test_what_has_no_order_is_refused(field: str) -> None:
    assert field not in SCHEMA.orderable
    with pytest.raises(Invalid) as caught:
        order_sql([Order(field)], SCHEMA, "sqlite")
    assert (caught.value.reason, caught.value.metadata["field"]) == ("ORDER_BY_INVALID", field)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_position_of_another_order_is_refused(dialect: Dialect) -> None:
    with pytest.raises(Invalid) as caught:
        after_sql([Order("size"), Order("name")], SCHEMA, ["n"], dialect)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize(
    ("kind", "column", "values"),
    [
        (Kind.STRING, "a; DROP TABLE t", {}),
        (Kind.STRING, "a.b.c", {}),
        (Kind.STRING, "", {}),
        (Kind.ENUM, "state", {}),
        (Kind.STRING, "state", {"A": 1}),
        (Kind.ENUM, "state", {"A": 1, "B": "b"}),
    ],
)
def test_a_field_is_checked(kind: Kind, column: str, values: dict[str, int | str]) -> None:
    with pytest.raises(ValueError):
        Field(kind, column, values=values)


def test_the_longest_path_of_a_schema_decides() -> None:
    schema = Schema({"properties": Field(Kind.OPEN, "doc"), "properties.size": Field(Kind.INT, "size")})
    found = schema.find(("properties", "size"))
    assert found is not None and found.field.column == "size"
    assert schema.find(("properties", "size", "unit")) is None
    below = schema.find(("properties", "other", "unit"))
    assert below is not None and below.keys == ("other", "unit")
