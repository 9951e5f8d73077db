"""Reading: joined calls, one call for each level, etags, schemas, and lists."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest
from sutler.errors import Invalid, NotFound, SutlerError, Unavailable
from sutler.filtering import parse
from sutler.paging import Order

from services.erp import faults, filters
from services.erp.catalogue import Catalogue
from services.erp.coalescing import Coalescer
from services.erp.connections import CachePolicy, ConnectionSpec, ErpContext
from services.erp.expanding import Expander, check_paths
from services.erp.listing import page_of
from services.erp.records import (
    FieldSet,
    Row,
    check_level,
    etag_covers,
    expand_star,
    field_tree,
    hash_of,
    record_etag,
)
from services.erp.schemas import Model, ModelSchema
from services.erp.users import Ask
from tests.unit.erp.models import ORDER, schemas

ASK = Ask("anna", "secret", ErpContext(), "anna-1")

DATA: dict[str, dict[int, dict[str, Any]]] = {
    "sale.order": {
        30: {"name": "S30", "partner_id": {"id": 7, "display_name": "Anna"}, "order_line": [{"id": 57}, {"id": 58}]},
        31: {"name": "S31", "partner_id": {"id": 7, "display_name": "Anna"}, "order_line": []},
        32: {"name": "S32", "partner_id": None, "order_line": [{"id": 59}]},
    },
    "res.partner": {7: {"name": "Anna", "country_id": {"id": 57, "display_name": "Germany"}}},
    "res.country": {57: {"code": "DE"}},
    "sale.order.line": {
        57: {"display_name": "L57", "product_uom_qty": 3.0, "product_id": {"id": 1, "display_name": "Small"}},
        58: {"display_name": "L58", "product_uom_qty": 1.0, "product_id": None},
    },
    "product.product": {1: {"default_code": "machine-small"}},
}


class FakeDriver:
    """Answers from memory and counts its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[int, ...]]] = []
        self.error: SutlerError | None = None
        self.described = 0

    async def read(
        self, ask: Ask, schema: ModelSchema, ids: Sequence[int], fields: Sequence[str], *, binaries: bool = False
    ) -> list[Row]:
        self.calls.append((schema.name, tuple(ids)))
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        known = DATA[schema.name]
        return [Row(id=one, values={name: known[one].get(name) for name in fields}) for one in ids if one in known]

    async def schema(self, ask: Ask, model: str) -> ModelSchema:
        self.described += 1
        if self.error:
            raise self.error
        return ORDER


def reads(driver: FakeDriver, window: float = 0.005) -> Coalescer:
    return Coalescer(driver, window)  # type: ignore[arg-type]


async def test_a_hundred_reads_that_come_together_are_one_call() -> None:
    driver = FakeDriver()
    joined = reads(driver)
    found = await asyncio.gather(*(joined.read(ASK, ORDER, [30 + i % 3], ["name"], binaries=False) for i in range(100)))
    assert driver.calls == [("sale.order", (30, 31, 32))]
    assert [list(one) for one in found[:3]] == [[30], [31], [32]]
    assert found[1][31].values == {"name": "S31"}


async def test_what_a_caller_has_waited_already_is_part_of_the_window() -> None:
    driver = FakeDriver()
    joined = reads(driver, window=30.0)
    async with asyncio.timeout(5):
        found = await joined.read(ASK, ORDER, [30], ["name"], binaries=False, came=time.monotonic() - 31)
    assert list(found) == [30]


async def test_reads_of_other_users_fields_or_languages_are_not_joined() -> None:
    driver = FakeDriver()
    joined = reads(driver)
    french = Ask("anna", "secret", ErpContext(language="fr_FR"), "anna-1")
    await asyncio.gather(
        joined.read(ASK, ORDER, [30], ["name"], binaries=False),
        joined.read(Ask("ben", "secret", ErpContext(), "ben-1"), ORDER, [30], ["name"], binaries=False),
        joined.read(french, ORDER, [30], ["name"], binaries=False),
        joined.read(ASK, ORDER, [30], ["state"], binaries=False),
        joined.read(ASK, ORDER, [30], ["name"], binaries=True),
    )
    assert len(driver.calls) == 5


async def test_an_error_reaches_everybody_who_joined() -> None:
    driver = FakeDriver()
    driver.error = Unavailable("down")
    joined = reads(driver)
    calls = [joined.read(ASK, ORDER, [30], ["name"], binaries=False) for _ in range(3)]
    told = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(one) for one in told] == [Unavailable] * 3
    assert len(driver.calls) == 1


async def test_relations_are_followed_with_one_call_for_each_level() -> None:
    driver = FakeDriver()
    expander = Expander(reads(driver, 0), ASK, schemas)
    paths = [
        "partner_id.country_id.code", "partner_id.name", "order_line.product_uom_qty",
        "order_line.product_id.default_code", "order_line.product_id",
    ]  # fmt: skip
    tree = field_tree(paths)
    await check_paths(tree, ORDER, schemas)
    values = [
        {name: value for name, value in DATA["sale.order"][one].items() if name != "name"} for one in (30, 31, 32)
    ]
    values = [dict(one) for one in values]
    touched = await expander.expand(values, tree, ORDER)
    assert sorted(name for name, _ in driver.calls) == [
        "product.product", "res.country", "res.partner", "sale.order.line",
    ]  # fmt: skip
    assert values[0]["partner_id"] == {"id": 7, "country_id": {"id": 57, "code": "DE"}, "name": "Anna"}
    assert values[0]["order_line"] == [
        {
            "id": 57,
            "product_uom_qty": 3.0,
            "product_id": {"id": 1, "display_name": "Small", "default_code": "machine-small"},
        },
        {"id": 58, "product_uom_qty": 1.0, "product_id": None},
    ]
    assert values[1]["order_line"] == []
    assert values[2]["partner_id"] is None
    assert values[2]["order_line"] == [{"id": 59}]
    assert ("res.country", 57) in touched
    assert ("sale.order.line", 59) in touched


async def test_named_relations_to_many_have_titles() -> None:
    expander = Expander(reads(FakeDriver(), 0), ASK, schemas)
    values = [dict(DATA["sale.order"][30])]
    await expander.expand(values, field_tree(["order_line"]), ORDER)
    assert values[0]["order_line"] == [{"id": 57, "display_name": "L57"}, {"id": 58, "display_name": "L58"}]


@pytest.mark.parametrize("path", ["no_such", "name.x", "partner_id.no_such", "order_line.product_id.no_such"])
async def test_unknown_paths_are_refused(path: str) -> None:
    with pytest.raises(Invalid) as caught:
        await check_paths(field_tree([path]), ORDER, schemas)
    assert caught.value.reason == "FIELD_NOT_FOUND"


def test_a_star_is_every_field_but_binaries() -> None:
    fields = expand_star(["*", "partner_id.name"], ORDER)
    assert "image" not in fields
    assert {"name", "order_line", "partner_id.name"} <= set(fields)
    check_level(field_tree(fields), ORDER)


def test_etags_cover_the_values_and_which_they_are() -> None:
    names, states = FieldSet(("name",)), FieldSet(("name", "state"))
    one = record_etag({"name": "a"}, names)
    assert one == record_etag({"name": "a"}, FieldSet(("name", "name")))
    assert len({one, record_etag({"name": "b"}, names), record_etag({"name": "a"}, states)}) == 3
    assert etag_covers(one) == names.digest
    assert etag_covers("W/nonsense") == ""
    assert len(record_etag({"x": "y" * 9999}, states)) <= 64


def test_hashes_are_the_same_in_every_process() -> None:
    code = (
        "from services.erp.records import FieldSet, hash_of, record_etag;"
        "print(hash_of({'b': {1, }.__len__(), 'a': ['x', None]}), record_etag({'n': 'ü'}, FieldSet(('n', 'a'))))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
    assert told.pop().split()[0].decode() == hash_of({"a": ["x", None], "b": 1})


async def test_schemas_are_remembered_and_an_older_one_only_if_allowed() -> None:
    driver = FakeDriver()
    catalogue = Catalogue(driver, ConnectionSpec())  # type: ignore[arg-type]
    await catalogue.schema(ASK, "sale.order")
    assert (await catalogue.described(ASK, "sale.order")).fresh is False
    assert driver.described == 1
    driver.error = Unavailable("down")
    with pytest.raises(Unavailable):
        await catalogue.described(ASK, "sale.order", max_staleness=0)
    kept = await catalogue.described(ASK, "sale.order", max_staleness=0, allow_stale=True)
    assert kept.error is driver.error
    driver.error = faults.model_not_found("connections/main", "x")
    with pytest.raises(NotFound):
        await catalogue.described(ASK, "sale.order", max_staleness=0, allow_stale=True)


async def test_models_stay_known_while_the_erp_is_down() -> None:
    driver, spec = FakeDriver(), ConnectionSpec(cache_policies=(CachePolicy(model="*", record_ttl=0.0),))
    catalogue = Catalogue(driver, spec)  # type: ignore[arg-type]
    await catalogue.schema(ASK, "sale.order")
    driver.error = Unavailable("down")
    assert await catalogue.schema(ASK, "sale.order") is ORDER
    assert driver.described == 2
    with pytest.raises(Unavailable):
        await catalogue.schema(ASK, "res.partner")


def test_lists_in_memory_have_pages_without_gaps() -> None:
    models = [Model(model=f"m{i % 7}.x{i}", display_name=f"T{i % 3}", modules=("a", "b")[: i % 3]) for i in range(20)]
    orders = (Order("display_name", descending=True), Order("model"))
    wanted = parse('modules:"a" OR NOT modules:*', filters.MODELS)
    seen: list[str] = []
    after = None
    while True:
        page = page_of(models, filters.model_fields, filters.MODELS, wanted, orders, after, 3)
        seen += [one.model for one in page.items]
        after = page.next
        if after is None:
            break
    expected = sorted(models, key=lambda one: one.model)
    expected.sort(key=lambda one: one.display_name, reverse=True)
    assert seen == [one.model for one in expected]
