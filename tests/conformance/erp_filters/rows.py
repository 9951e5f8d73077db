"""Rows in a sandbox to filter, and random filters that have to do with them."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.conformance.erp_filters.trees import Group, Leaf, Negation, Tables, Text, Tree
from tests.conformance.sandbox.processes import SandboxProcess

PARTNER, ORDER, LINE, COUNTRY, TAG = (
    "res.partner", "sale.order", "sale.order.line", "res.country", "res.partner.category",
)  # fmt: skip
READ = {
    PARTNER: ["name", "ref", "street", "function", "color", "partner_latitude", "is_company", "active", "type",
              "parent_id", "country_id", "child_ids", "category_id"],
    ORDER: ["client_order_ref", "amount_total", "date_order", "commitment_date", "validity_date", "locked", "state",
            "partner_id", "order_line"],
    LINE: ["name", "price_unit", "product_uom_qty", "display_type", "product_id"],
    COUNTRY: ["code"],
    TAG: ["name"],
}  # fmt: skip
RELATIONS = {
    (PARTNER, "parent_id"): PARTNER, (PARTNER, "child_ids"): PARTNER, (PARTNER, "country_id"): COUNTRY,
    (PARTNER, "category_id"): TAG, (ORDER, "partner_id"): PARTNER, (ORDER, "order_line"): LINE,
}  # fmt: skip
BOOLEANS = {"is_company", "active", "locked"}
TIMES = {"date_order", "commitment_date"}
ORDERED = ("=", "!=", "<", "<=", ">", ">=", ":")
EQUAL = ("=", "!=", ":")
LEAVES: dict[str, dict[str, tuple[str, ...]]] = {
    PARTNER: {
        **dict.fromkeys(["name", "ref", "street", "function", "type", "parent_id.ref", "country_id.code",
                         "child_ids.ref", "parent_id.country_id.code", "category_id.name"], ORDERED),
        **dict.fromkeys(["color", "partner_latitude", "parent_id.color", "parent_id.partner_latitude",
                         "child_ids.color", "child_ids.street", "id"], ORDERED),
        **dict.fromkeys(["is_company", "active", "parent_id.is_company", "parent_id", "country_id",
                         "parent_id.country_id", "child_ids", "category_id", "child_ids.country_id"], EQUAL),
    },
    ORDER: {
        **dict.fromkeys(["client_order_ref", "amount_total", "date_order", "commitment_date", "validity_date", "state",
                         "partner_id.ref", "partner_id.color", "partner_id.parent_id.ref", "order_line.price_unit",
                         "order_line.product_uom_qty", "order_line.name", "order_line.display_type"], ORDERED),
        **dict.fromkeys(["locked", "partner_id", "partner_id.is_company", "partner_id.country_id", "order_line"],
                        EQUAL),
    },
}  # fmt: skip
CHARACTERS = "aAb%_\\'\"*.[]?()& |!\n\t" + "é\u00df\ue000\U0001f600"
TEXTS = [
    None,
    "a",
    "A",
    "ab",
    "aab",
    "a%b",
    "a_b",
    "a\\b",
    "%",
    "_",
    "\\",
    "*",
    "**",
    "a*b",
    "'; DROP TABLE x; --",
    "é",
]


def fill(sandbox: SandboxProcess, random: Random) -> Tables:
    """Writes rows with everything that is hard to filter by, and returns what the sandbox then has."""
    tags = sandbox.call(TAG, "create", [{"name": text(random) or "t"} for _ in range(4)])
    parents: list[int] = []
    for _ in range(4):
        parents += sandbox.call(PARTNER, "create", [_partner(random, parents, tags) for _ in range(10)])
    sandbox.call(ORDER, "create", [_order(random, parents) for _ in range(30)])
    for order in sandbox.call(ORDER, "search", [], order="id")[::4]:
        sandbox.call(ORDER, "action_confirm", [order])
    rows = {}
    for model, fields in READ.items():
        found = sandbox.call(model, "search_read", [], fields, context={"active_test": False})
        rows[model] = {row["id"]: {name: _plain(name, value) for name, value in row.items()} for row in found}
    return Tables(rows, RELATIONS)


def text(random: Random) -> str | None:
    if random.random() < 0.5:
        return random.choice(TEXTS)
    return "".join(random.choices(CHARACTERS, k=random.randint(1, 4)))


def _partner(random: Random, parents: list[int], tags: list[int]) -> dict[str, Any]:
    values = {
        "name": text(random) or "n",
        "ref": text(random),
        "street": random.choice(["", None, "x", text(random)]),
        "function": text(random),
        "color": random.choice([-1, 0, 1, 2, 7]),
        "partner_latitude": random.choice([0.0, -1.5, 0.1, 51.0500123]),
        "is_company": random.random() < 0.3,
        "active": random.random() < 0.8,
        "type": random.choice(["contact", "invoice", "other", None]),
        "parent_id": random.choice([None, *parents[-4:]]) if parents else None,
        "country_id": random.choice([None, 20, 233]),
        "category_id": [[6, 0, random.sample(tags, random.randint(0, 2))]],
    }
    return {name: False if value is None else value for name, value in values.items()}


def _order(random: Random, partners: list[int]) -> dict[str, Any]:
    lines = [
        [0, 0, {"product_id": random.choice([1, 2]), "product_uom_qty": random.choice([1, 2.5, 10]),
                "price_unit": random.choice([0.0, 0.1, 19.99, 100.1])}]
        for _ in range(random.randint(0, 3))
    ]  # fmt: skip
    lines += [[0, 0, {"display_type": "line_note", "name": text(random) or "note"}]] * (random.random() < 0.3)
    moment = f"2026-0{random.randint(1, 9)}-1{random.randint(0, 9)} 0{random.randint(0, 9)}:30:00"
    return {
        "partner_id": random.choice(partners),
        "client_order_ref": text(random) or False,
        "date_order": moment,
        "commitment_date": random.choice([False, moment]),
        "validity_date": random.choice([False, "2026-01-31", "2026-11-30", moment[:10]]),
        "order_line": lines,
    }


def _plain(name: str, value: Any) -> Any:
    if name in BOOLEANS:
        return value
    if name in TIMES and value:
        return f"{value.replace(' ', 'T')}Z"
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], str):
        return value[0]
    return None if value is False else value


def tree(random: Random, tables: Tables, model: str, depth: int = 3) -> Tree:
    """Returns a random filter; its values are mostly those of rows, whole or in part."""
    kind = random.random()
    if depth == 0 or kind < 0.35:
        return _leaf(random, tables, model)
    if kind < 0.55:
        return Negation(tree(random, tables, model, depth - 1), random.random() < 0.3)
    count = random.randint(2, 3)
    return Group(random.choice(["AND", "OR"]), tuple(tree(random, tables, model, depth - 1) for _ in range(count)))


def _leaf(random: Random, tables: Tables, model: str) -> Leaf:
    path = random.choice(sorted(LEAVES[model]))
    if random.random() < 0.12:
        return Leaf(path, ":", None)
    known = [end for row in tables.rows[model].values() for end in tables.ends(model, row, path)]
    value, op = random.choice(known), random.choice(LEAVES[model][path])
    if not isinstance(value, str):
        near = isinstance(value, bool) or random.random() < 0.7
        return Leaf(path, op, value if near else random.choice([0, -1, 1]))
    if path in TIMES:
        return Leaf(path, op, Text(value))
    if path == "validity_date" or op not in EQUAL:
        return Leaf(path, op, Text(value or "a"))
    return Leaf(path, op, _part(random, value))


def _part(random: Random, value: str) -> Text:
    start, end = sorted((random.randint(0, len(value)), random.randint(0, len(value))))
    match random.randint(0, 4):
        case 0 | 1:
            return Text(value)
        case 2:
            return Text(value[:end], trailing=True)
        case 3:
            return Text(value[start:], leading=True)
    return Text(value[start:end], leading=True, trailing=True)
