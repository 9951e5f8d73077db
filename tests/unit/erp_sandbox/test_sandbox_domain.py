"""Domains: generated ones against a plain evaluation in Python, and the cases that deserve a name."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.erp.sandbox.database import Database
from services.erp.sandbox.errors import BadDateInDomain, BadValue
from services.erp.sandbox.store import Store
from tests.unit.erp_sandbox.conftest import START, Sandbox
from tests.unit.erp_sandbox.evaluation import Evaluator

NAMES = ["Ada", "ada", "A_b", "a%b", "50%", "x\\y", "Étage", "", "Zoé 1"]
EVERYTHING: dict[str, Any] = {"context": {"active_test": False}}
KINDS = {
    "color": "number",
    "partner_latitude": "number",
    "name": "text",
    "email": "text",
    "is_company": "boolean",
    "active": "boolean",
}
RELATIONS = {"parent_id": "res.partner", "child_ids": "res.partner", "category_id": "res.partner.category"}
TIMES = ["2026-11-21 10:00:00", "2026-11-21 10:00:00.250000", "2026-11-21 10:00:01.5", "2026-11-21 10:00:03"]


def _fill(sandbox: Sandbox) -> None:
    chance = Random(7)
    ids: list[int] = []
    for _ in range(30):
        sandbox.wait(0.1)
        values: dict[str, Any] = {"type": chance.choice(["invoice", "other"]), "is_company": chance.random() < 0.3}
        choices_by_field: dict[str, list[Any]] = {
            "name": [*NAMES, False],
            "email": [*NAMES, False],
            "color": [0, 1, 2, -3, None],
            "partner_latitude": [0.0, 0.5, -1.25, None],
            "parent_id": [False, *ids],
            "active": [True, True, False],
            "category_id": [[[6, 0, one]] for one in ([], [1], [2], [1, 2])],
        }
        for name, choices in choices_by_field.items():
            value = chance.choice(choices)
            if value is not None:
                values[name] = value
        ids.append(sandbox("res.partner", "create", values))


def _evaluator(sandbox: Sandbox) -> Evaluator:
    columns = "id, name, email, color, partner_latitude, is_company, active, type, parent_id, write_date"
    with sandbox.store.database.read() as connection:
        partners = {
            row[0]: dict(zip(columns.split(", "), row, strict=True))
            for row in connection.execute(f"SELECT {columns} FROM res_partner")
        }
        pairs = connection.execute("SELECT here, there FROM res_partner__category_id").fetchall()
        tags = {
            row[0]: {"id": row[0], "name": row[1], "color": row[2]}
            for row in connection.execute("SELECT id, name, color FROM res_partner_category")
        }
    for identifier, partner in partners.items():
        partner["category_id"] = [there for here, there in pairs if here == identifier]
        partner["child_ids"] = [one["id"] for one in partners.values() if one["parent_id"] == identifier]
        for name in ("is_company", "active"):
            partner[name] = None if partner[name] is None else bool(partner[name])
    return Evaluator({"res.partner": partners, "res.partner.category": tags}, RELATIONS, KINDS)


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Sandbox, Evaluator]]:
    database = Database(":memory:")
    sandbox = Sandbox(Store(database, None, START))
    _fill(sandbox)
    yield sandbox, _evaluator(sandbox)
    database.close()


def _leaves() -> st.SearchStrategy[Any]:
    texts = st.sampled_from([*NAMES, "a", "%", "_", "É"])
    ids = st.integers(1, 45)
    numbers = st.sampled_from([0, 1, -3, 2.5])
    flat = st.one_of(
        _leaf(["name", "email"], ["=", "!=", "<", ">="], texts),
        _leaf(["name", "email"], ["like", "ilike", "not like", "not ilike", "=like", "=ilike"], texts),
        _leaf(["name", "email", "type"], ["in", "not in"], st.lists(texts | st.just(False), max_size=3)),
        _leaf(["name", "email", "parent_id", "color", "write_date"], ["=", "!="], st.just(False)),
        _leaf(["color", "partner_latitude"], ["=", "!=", "<", "<=", ">", ">="], numbers.map(int)),
        _leaf(["color"], ["in", "not in"], st.lists(st.integers(-3, 2) | st.just(False), max_size=3)),
        _leaf(["is_company", "active"], ["=", "!="], st.booleans()),
        _leaf(["id", "parent_id"], ["in", "not in"], st.lists(ids, max_size=4)),
        _leaf(["parent_id"], ["=", "!="], ids),
        _leaf(["id"], ["=", "!=", "<", ">", "child_of"], ids),
        _leaf(["category_id", "child_ids"], ["=", "!="], st.just(False) | ids),
        _leaf(["category_id", "child_ids"], ["in", "not in"], st.lists(ids, min_size=1, max_size=3)),
        _leaf(["write_date"], ["<", "<=", ">", ">=", "=", "!="], st.sampled_from(TIMES)),
    )
    paths = st.sampled_from(["parent_id.", "parent_id.parent_id.", "parent_id.child_ids."])
    dotted = st.tuples(paths, flat).map(lambda pair: [pair[0] + pair[1][0], *pair[1][1:]])
    tagged = _leaf(["category_id.name"], ["=", "!=", "ilike", "not ilike"], st.sampled_from(["Customer", "res"]))
    return flat | dotted | tagged


def _leaf(fields: list[str], operators: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.sampled_from(fields), st.sampled_from(operators), values).map(list)


def _trees() -> st.SearchStrategy[list[Any]]:
    single = _leaves().map(lambda leaf: [leaf])
    return st.recursive(
        single,
        lambda inner: st.one_of(
            inner.map(lambda one: ["!", *one]),
            st.tuples(st.sampled_from("&|"), inner, inner).map(lambda three: [three[0], *three[1], *three[2]]),
        ),
        max_leaves=6,
    )


@settings(max_examples=400)
@given(st.lists(_trees(), max_size=3).map(lambda trees: [token for tree in trees for token in tree]))
def test_a_search_finds_what_a_plain_evaluation_finds(world: tuple[Sandbox, Evaluator], domain: list[Any]) -> None:
    sandbox, evaluator = world
    expected = evaluator.matching("res.partner", _with_full_times(domain))

    assert set(sandbox("res.partner", "search", domain, **EVERYTHING)) == expected
    assert sandbox("res.partner", "search_count", domain, **EVERYTHING) == len(expected)


def _with_full_times(domain: list[Any]) -> list[Any]:
    def full(value: Any) -> Any:
        if value not in TIMES:
            return value
        second, _, fraction = value.partition(".")
        return f"{second}.{fraction.ljust(6, '0')}"

    return [token if isinstance(token, str) else [*token[:2], full(token[2])] for token in domain]


@pytest.mark.parametrize(
    ("domain", "names"),
    [
        ([["partner_id.name", "=", "Alder Hosting"]], ["S00001"]),
        ([["partner_id", "ilike", "cedar"]], ["S00003"]),
        ([["partner_id", "not ilike", "cedar"]], ["S00001", "S00002"]),
        ([["partner_id", "child_of", "Birch"]], ["S00002"]),
        ([["partner_id.child_ids", "child_of", [13]]], ["S00001"]),
        ([["partner_id", "parent_of", [14]]], ["S00002"]),
        ([["partner_id", "any", [["name", "ilike", "cedar"]]]], ["S00003"]),
        ([["order_line.product_id", "=", "[machine-small] Small machine"]], []),
        ([["order_line.product_id", "=", "Small machine"]], ["S00001", "S00002", "S00003"]),
        ([["order_line.product_uom_qty", ">", 1]], ["S00001", "S00003"]),
        ([["order_line", "in", [1, 6]]], ["S00001", "S00003"]),
        ([["state", "in", ["draft"]], "!", ["name", "=like", "%1"]], ["S00002", "S00003"]),
        (["|", ["name", "=", "S00001"], "&", ["id", ">", 1], ["id", "<", 3]], ["S00001", "S00002"]),
        ([["country_code", "=", "BE"]], ["S00002"]),
        ([["name", "=?", False], ["id", "=?", 2]], ["S00002"]),
        ([[1, "=", 1]], ["S00001", "S00002", "S00003"]),
        ([[0, "=", 1]], []),
    ],
)
def test_paths_names_and_trees(sandbox: Sandbox, domain: list[Any], names: list[str]) -> None:
    found = sandbox("sale.order", "search_read", domain, fields=["name"], order="name")

    assert [order["name"] for order in found] == names


@pytest.mark.parametrize(
    ("domain", "error"),
    [
        ([["nope", "=", 1]], BadValue),
        ([["partner_id.nope", "=", 1]], BadValue),
        ([["name.nope", "=", 1]], BadValue),
        ([["name", "~~", 1]], BadValue),
        ([["name", "="]], BadValue),
        (["&", ["name", "=", "x"]], BadValue),
        (["?"], BadValue),
        ([7], BadValue),
        ([["color", "=", "abc"]], BadValue),
        ([["write_date", ">", "yesterday"]], BadDateInDomain),
    ],
)
def test_a_wrong_domain_is_the_callers_error(sandbox: Sandbox, domain: list[Any], error: type[Exception]) -> None:
    model = "sale.order" if "partner_id" in str(domain) else "res.partner"
    with pytest.raises(error):
        sandbox(model, "search", domain)


def test_order_offset_and_limit(sandbox: Sandbox) -> None:
    every = sandbox("res.partner", "search", [], order="country_id desc, id")
    page = sandbox("res.partner", "search", [], order="country_id desc, id", offset=2, limit=3)
    countries = [row["country_id"] for row in sandbox("res.partner", "read", every, ["country_id"])]

    assert page == every[2:5]
    assert [country and country[1] for country in dict.fromkeys(map(tuple, filter(None, countries)))] == [
        "United States",
        "Belgium",
    ]
    assert countries[0] is False
