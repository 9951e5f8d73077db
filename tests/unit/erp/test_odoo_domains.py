"""Filters as Odoo domains, and that both select the same records."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sutler.errors import Invalid

from services.erp.adapters.odoo.domains import explicit, named_external_ids, to_domain
from services.erp.adapters.odoo.following import follow
from services.erp.schemas import ModelSchema
from services.erp.selecting import Selector, parse_order, select
from tests.unit.erp.models import ORDER, schemas


def domain(text: str, **external: int | None) -> list[Any]:
    selector = asyncio.run(select(ORDER, schemas, filter=text))
    return to_domain("sale.order", selector, external)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ('state = "sale"', [["state", "=", "sale"]]),
        ("locked = true", [["locked", "=", True]]),
        ("amount_total >= 100.5", [["amount_total", ">=", 100.5]]),
        ("partner_id = 7", [["partner_id", "=", 7]]),
        ('partner_id.country_id.code = "DE"', [["partner_id.country_id.code", "=", "DE"]]),
        ('order_line.product_id.default_code = "x"', [["order_line.product_id.default_code", "=", "x"]]),
        ('date_order > "2026-11-21T09:30:00Z"', [["date_order", ">", "2026-11-21 09:30:00"]]),
        ('date_order > "2026-11-21T09:30:00.5+01:00"', [["date_order", ">", "2026-11-21 08:30:00.500000"]]),
        ('validity_date = "2026-11-21"', [["validity_date", "=", "2026-11-21"]]),
        ('name = "S0*"', [["name", "=like", "S0%"]]),
        ('name = "*50%_\\\\*"', [["name", "=like", "%50\\%\\_\\\\%"]]),
        ("partner_id:*", [["partner_id", "!=", False]]),
        ("priority:*", [["id", "!=", 0]]),
        ('name != "x"', [["name", "!=", "x"]]),
        ("NOT amount_total > -5", [["amount_total", "<=", -5.0]]),
        ('-partner_id.name = "x"', ["|", ["partner_id", "=", False], ["partner_id.name", "!=", "x"]]),
        ('NOT name = "x*"', ["|", ["name", "not like", "%"], "!", ["name", "=like", "x%"]]),
        ('name = ""', [["name", "<=", ""]]),
        ('name != ""', ["|", ["name", "not like", "%"], ["name", ">", ""]]),
        ("partner_id = 0", [["id", "=", 0]]),
        ("partner_id.active:*", [["partner_id.id", "!=", False]]),
        ("order_line:*", [["order_line.id", "!=", False]]),
        ("NOT (-order_line.product_uom_qty = 5)", [["order_line.product_uom_qty", "=", 5.0]]),
        ("NOT partner_id:*", [["partner_id", "=", False]]),
        ("a", None),
        (
            'state = "sale" AND priority = 1 OR priority = 2',
            ["&", ["state", "=", "sale"], "|", ["priority", "=", 1], ["priority", "=", 2]],
        ),
        (
            'NOT (state = "sale" AND priority < 1)',
            ["|", ["state", "!=", "sale"], ["priority", ">=", 1]],
        ),
    ],
)
def test_filters_become_domains_in_prefix_form(text: str, expected: list[Any] | None) -> None:
    if expected is None:
        with pytest.raises(Invalid) as caught:
            domain(text)
        assert caught.value.reason == "FILTER_INVALID"
        return
    assert domain(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        'validity_date > "soon"',
        "order_line.product_uom_qty != 5",
        "NOT order_line:*",
        "no_such = 1",
        "partner_id.no_such = 1",
        "image:*",
    ],
)
def test_what_odoo_cannot_say_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        domain(text)
    assert caught.value.reason == "FILTER_INVALID"


def test_external_ids_are_resolved_before() -> None:
    selector = asyncio.run(select(ORDER, schemas, filter='external_id = "shop.a" OR external_id != "shop.b"'))
    assert selector.filter is not None
    assert named_external_ids(selector.filter.root) == ["shop.a", "shop.b"]
    assert to_domain("sale.order", selector, {"shop.a": 4, "shop.b": None}) == ["|", ["id", "=", 4], ["id", "!=", 0]]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([["a", "=", 1], ["b", "=", 2]], ["&", ["a", "=", 1], ["b", "=", 2]]),
        (["|", ["a", "=", 1], ["b", "=", 2], ["c", "=", 3]], ["&", "|", ["a", "=", 1], ["b", "=", 2], ["c", "=", 3]]),
        (["!", ["a", "=", 1]], ["!", ["a", "=", 1]]),
    ],
)
def test_raw_domains_get_the_operators_that_they_leave_out(raw: list[Any], expected: list[Any]) -> None:
    assert explicit("m", raw) == expected
    both = to_domain("m", Selector(domain=tuple(raw), after_id=7, since=0.5), {})
    assert both[:2] == ["&", "&"]
    assert both[2:] == [*expected, ["id", ">", 7], ["write_date", ">=", "1970-01-01 00:00:00.500000"]]


@pytest.mark.parametrize("raw", [["|", ["a", "=", 1]], ["x", ["a", "=", 1]], [["a", "="]], [1], ["&"]])
def test_malformed_domains_are_refused(raw: list[Any]) -> None:
    with pytest.raises(Invalid) as caught:
        explicit("m", raw)
    assert caught.value.reason == "DOMAIN_INVALID"


def test_orders_end_with_the_id() -> None:
    assert [(one.field, one.descending) for one in parse_order("date_order desc", ORDER)] == [
        ("date_order", True),
        ("id", False),
    ]
    with pytest.raises(Invalid) as caught:
        parse_order("colour", ORDER)
    assert caught.value.reason == "ORDER_BY_INVALID"


# What Odoo's SQL makes of a leaf: `!=` lets NULL pass, `!` of a pattern does not.


def holds(tokens: list[Any], record: dict[str, Any]) -> bool:
    value, rest = evaluate(tokens, record)
    assert not rest
    return value is True


def evaluate(tokens: list[Any], record: dict[str, Any]) -> tuple[bool | None, list[Any]]:
    first, rest = tokens[0], tokens[1:]
    if first == "!":
        value, rest = evaluate(rest, record)
        return (None if value is None else not value), rest
    if first in ("&", "|"):
        a, rest = evaluate(rest, record)
        b, rest = evaluate(rest, record)
        values = (a, b)
        if first == "&":
            return (False if False in values else None if None in values else True), rest
        return (True if True in values else None if None in values else False), rest
    return leaf(first, record), rest


def leaf(condition: list[Any], record: dict[str, Any]) -> bool | None:
    name, operator, wanted = condition
    value = record[name]
    if wanted is False and name != "locked":
        return (value is None) == (operator == "=")
    if operator == "!=":
        return value != wanted
    if operator == "not like":
        assert wanted == "%"
        return value is None
    if value is None:
        return None
    if operator == "=like":
        assert isinstance(wanted, str)
        begin, end = wanted.startswith("%"), wanted.endswith("%")
        text = wanted.strip("%")
        return (text in value) if begin and end else value.endswith(text) if begin else value.startswith(text)
    return bool(
        {"=": value == wanted, "<": value < wanted, "<=": value <= wanted, ">": value > wanted, ">=": value >= wanted}[
            operator
        ]
    )


LEAVES = st.sampled_from(
    [
        "priority = 1", "priority != 1", "priority > 0", "priority <= 1", 'name = "a"', 'name != "b"', 'name = "a*"',
        'name = "*b"', 'name = "*a*"', "name:*", "locked = true", "locked != true", 'note:*',
    ]
)  # fmt: skip
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda text: f"NOT ({text})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}) AND ({pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}) OR ({pair[1]})"),
    ),
    max_leaves=6,
)
RECORDS = st.fixed_dictionaries(
    {
        "id": st.just(1),
        "priority": st.integers(-1, 2),  # an empty number is 0, to who reads it and to who compares it
        "name": st.one_of(st.none(), st.sampled_from(["a", "b", "ab", "ba"])),
        "note": st.one_of(st.none(), st.just("x")),
        "locked": st.booleans(),
    }
)


@settings(max_examples=80)
@given(text=FILTERS, record=RECORDS)
def test_a_domain_selects_what_the_filter_selects(text: str, record: dict[str, Any]) -> None:
    selector = asyncio.run(select(ORDER, schemas, filter=text))
    assert selector.filter is not None
    assert holds(to_domain("sale.order", selector, {}), record) == selector.filter.predicate()(record)


@pytest.mark.parametrize(
    ("raw", "models"),
    [
        ([["state", "=", "sale"], [1, "=", 1]], []),
        ([["partner_id", "=", 7], ["order_line", "not in", [1, 2]], ["partner_id", "=", False]], []),
        (["|", ["partner_id.name", "=", "x"], ["id", ">", 3]], ["res.partner"]),
        ([["partner_id.country_id", "=", 7]], ["res.partner"]),
        ([["partner_id.country_id.code", "=", "DE"]], ["res.partner", "res.country"]),
        ([["partner_id", "=", "anna@example.com"]], ["res.partner"]),
        ([["partner_id", "in", [7, "anna"]]], ["res.partner"]),
        ([["partner_id", "child_of", [7]]], ["res.partner"]),
        ([["order_line", "any", ["|", ["id", "=", 1], ["product_id", "not any", [["id", "=", 1]]]]]],
         ["sale.order.line", "product.product"]),
        ([["date_order.month_number", "=", 3]], []),
    ],
)  # fmt: skip
async def test_a_raw_domain_is_followed_to_every_model_it_reads(raw: list[Any], models: list[str]) -> None:
    asked: list[str] = []

    async def source(model: str) -> ModelSchema:
        asked.append(model)
        return await schemas(model)

    await follow(ORDER, raw, source)
    assert asked == models


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ([["secret_field.email", "=", "x"]], "FIELD_NOT_FOUND"),
        ([["partner_id.secret_field", "=", "x"]], "FIELD_NOT_FOUND"),
        ([["order_line", "any", [["id", "="]]]], "DOMAIN_INVALID"),
        ([["order_line", "any", ["&"]]], "DOMAIN_INVALID"),
    ],
)
async def test_a_raw_domain_that_cannot_be_followed_is_refused(raw: list[Any], reason: str) -> None:
    with pytest.raises(Invalid) as caught:
        await follow(ORDER, raw, schemas)
    assert caught.value.reason == reason
