"""Filters through every driver select what they mean, in plain Python over the same records."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sutler.errors import Invalid

from tests.conformance.erp_drivers.places import Desk, Names
from tests.conformance.erp_filters.trees import Group, Leaf, Negation, Tables, Text, Tree, written
from tests.conformance.tryton.processes import INSTALLING_SECONDS

pytestmark = pytest.mark.timeout(INSTALLING_SECONDS)

EXAMPLES = 60
ORDERS = ["=", "!=", "<", "<=", ">", ">="]


async def fill(desk: Desk) -> Tables:
    """Makes customers with tags and parts, some without; texts are in small letters, as some databases ignore case."""
    names, words, mark = desk.names, desk.names.words, uuid4().hex[:8]
    tags = await desk.create(names.tag, *({"name": f"{mark} {word}"} for word in ("gold", "silver")))
    own = await desk.driver.log_in(desk.ask)
    rows: list[dict[str, Any]] = []
    for number in range(8):
        name = words[number % len(words)]
        text = None if number % 3 == 2 else name if names.text == names.name else words[number % 4]
        cities = ["gent", "genk"][: number % 3]
        rows.append({names.name: name} | {names.text: text, names.tags: tags[: number % 3], names.parts: cities})
    values = [
        row | {names.parts: {"create": [{**names.part, names.part_text: city} for city in row[names.parts]]}}
        for row in rows
    ]
    ids = await desk.create(names.customer, *values)
    read = await desk.read(names.customer, ids, names.parts)
    parts = {}
    for row, one in zip(rows, ids, strict=True):
        owned = [each["id"] for each in read[one][names.parts]]
        parts |= {id: {names.part_text: city} for id, city in zip(sorted(owned), row[names.parts], strict=True)}
        row |= {names.parts: owned, "create_uid": own, "id": one}
    named = {tag: {"name": f"{mark} {word}"} for tag, word in zip(tags, ("gold", "silver"), strict=True)}
    tables = {names.customer: dict(zip(ids, rows, strict=True)), names.tag: named, "parts": parts}
    users = {own: {"login": "admin"}}
    relations = {(names.customer, names.tags): names.tag, (names.customer, names.parts): "parts"}
    return Tables(tables | {names.user: users}, relations | {(names.customer, "create_uid"): names.user})


def tree(random: Random, tables: Tables, names: Names, depth: int = 3) -> Tree:
    kind = random.random()
    if depth == 0 or kind < 0.35:
        return leaf(random, tables, names)
    if kind < 0.55:
        return Negation(tree(random, tables, names, depth - 1))
    terms = tuple(tree(random, tables, names, depth - 1) for _ in range(random.randint(2, 3)))
    return Group(random.choice(["AND", "OR"]), terms)


def leaf(random: Random, tables: Tables, names: Names) -> Leaf:
    paths = [names.name, names.text, f"{names.tags}.name", f"{names.parts}.{names.part_text}", "create_uid.login", "id"]
    path = random.choice(paths)
    if random.random() < 0.15 and path != "id":
        return Leaf(path, ":", None)
    rows = tables.rows[names.customer].values()
    value = random.choice([end for row in rows for end in tables.ends(names.customer, row, path)])
    if path == "id":
        return Leaf(path, random.choice(ORDERS), value)
    part = value[: random.randint(1, len(value))]
    patterns = [Text(part, trailing=True), Text(value[-2:], leading=True), Text(part[1:] or part, True, True)]
    if random.random() < 0.5:
        return Leaf(path, random.choice(["=", "!="]), random.choice([Text(value), *patterns]))
    return Leaf(path, random.choice(ORDERS), Text(value))


async def test_a_filter_selects_what_it_means(desk: Desk) -> None:
    names, tables = desk.names, await fill(desk)
    loop, ids = asyncio.get_running_loop(), tuple(tables.rows[desk.names.customer])
    met = set()

    @settings(max_examples=EXAMPLES)
    @given(st.randoms(use_true_random=True))
    def check(random: Random) -> None:
        made = tree(random, tables, names)
        refused = not names.follows_all and tables.refused(names.customer, made)
        expected = None if refused else tables.matching(names.customer, made)
        found = asyncio.run_coroutine_threadsafe(find(desk, made, ids), loop).result(30)
        assert found == expected, f"{written(made)}: {sorted((found or set()) ^ (expected or set()))}"
        met.add(None if expected is None else 0 < len(expected) < len(ids))

    await asyncio.to_thread(check)
    assert met >= {True, False}, "some select a part of the records, and some all or none"


async def find(desk: Desk, made: Tree, ids: tuple[int, ...]) -> set[int] | None:
    """The ids of the records that are selected; None if the driver refuses the filter."""
    try:
        return set(await desk.find(desk.names.customer, written(made), ids=ids))
    except Invalid as error:
        if error.reason == "FILTER_INVALID":
            return None
        raise


@pytest.mark.parametrize("wrong", ['no_such_field = "x"', "create_date = 5", "name.name = 1"])
async def test_a_wrong_filter_is_refused(desk: Desk, wrong: str) -> None:
    with pytest.raises(Invalid) as caught:
        await desk.find(desk.names.customer, wrong)
    assert caught.value.reason == "FILTER_INVALID"


@pytest.mark.parametrize(
    "wrong", [[["name", "="]], [["name", "sounds like", "x"]], ["name"], [5], [["no_such", "=", 1]]]
)
async def test_a_wrong_raw_domain_is_refused(desk: Desk, wrong: list[Any]) -> None:
    schema = await desk.schema(desk.names.customer)
    selector = await desk.selector(desk.names.customer, "", domain=tuple(wrong))

    async def search() -> None:
        await desk.driver.follow(schema, wrong, desk.schema)
        await desk.driver.search(desk.ask, schema, selector, fields=["id"])

    with pytest.raises(Invalid) as caught:
        await search()
    assert caught.value.reason in ("DOMAIN_INVALID", "FIELD_NOT_FOUND")


async def test_a_raw_domain_leads_where_its_paths_lead(desk: Desk) -> None:
    names, asked = desk.names, []
    schema = await desk.schema(names.customer)

    async def schemas(model: str) -> Any:
        asked.append(model)
        return await desk.schema(model)

    await desk.driver.follow(schema, [["create_uid", "=", 1], [names.name, "=", "x"]], schemas)
    assert asked == []
    await desk.driver.follow(schema, [["create_uid.login", "=", "x"], [f"{names.tags}.name", "=", "x"]], schemas)
    assert set(asked) == {names.user, names.tag}
