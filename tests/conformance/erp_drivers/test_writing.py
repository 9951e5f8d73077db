"""What every driver writes, and how ERPs refuse it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest
from sutler.errors import AlreadyExists, Conflict, FailedPrecondition, Invalid, NotFound, PermissionDenied, SutlerError

from services.erp.adapters import make_registry
from services.erp.faults import AnswerLostError
from services.erp.ports import Capability
from services.erp.schemas import FieldType
from tests.conformance.erp_drivers.places import Desk
from tests.conformance.tryton.processes import INSTALLING_SECONDS
from tests.integration.erp.servers import Proxy, serving

pytestmark = pytest.mark.timeout(INSTALLING_SECONDS)

MISSING = 10**8


def filled(value: Any, customer: int) -> Any:
    """A value with the id of a customer where one belongs."""
    if isinstance(value, Mapping):
        return {key: filled(one, customer) for key, one in value.items()}
    return customer if value == "@customer" else value


async def test_values_are_read_as_they_were_written(desk: Desk) -> None:
    [customer] = await desk.create(desk.names.customer, {desk.names.name: "C"})
    for model, sample in desk.names.samples:
        values = filled(sample, customer)
        schema = await desk.schema(model)
        for record in [*await desk.create(model, values), *await written(desk, model, values)]:
            found = (await desk.read(model, [record], *values, binaries=True))[record]
            for name, value in values.items():
                got = found[name]
                if schema.fields[name].type is FieldType.MANY_TO_ONE:
                    got = got["id"]
                if schema.fields[name].type is FieldType.DECIMAL:
                    got, value = float(got), float(value)
                assert got == value, f"{model}.{name}"


async def written(desk: Desk, model: str, values: Mapping[str, Any]) -> list[int]:
    """A record that gets some of the values by a write, where the ERP lets them be changed."""
    ids = await desk.find(model, "", archived=True)
    rest = {name: value for name, value in values.items() if name not in ("code", "digits", "rounding")}
    await desk.write(model, ids[-1], rest)
    return [] if rest.keys() != values.keys() else ids[-1:]


async def test_sizes_stand_for_binaries(desk: Desk) -> None:
    for model, sample in desk.names.samples:
        schema = await desk.schema(model)
        for name in sample:
            if schema.fields[name].type is FieldType.BINARY:
                [customer] = await desk.create(desk.names.customer, {desk.names.name: "C"})
                [record] = await desk.create(model, filled(sample, customer))
                assert (await desk.read(model, [record], name))[record][name] == 5


async def test_relations_to_many_are_added_to_removed_from_and_replaced(desk: Desk) -> None:
    names = desk.names
    a, b, c = await desk.create(names.tag, *({"name": uuid4().hex} for _ in range(3)))
    [record] = await desk.create(names.customer, {names.name: "C", names.tags: {"add": [a, {"id": b}]}})

    async def tags() -> set[int]:
        found = (await desk.read(names.customer, [record], names.tags))[record]
        return {one["id"] for one in found[names.tags]}

    assert await tags() == {a, b}
    for change, expected in (
        ({"add": [c], "remove": [a]}, {b, c}),
        ([a, {"id": c}], {a, c}),
        ([a, {"id": c}], {a, c}),
        (None, set()),
        ([b], {b}),
    ):
        await desk.write(names.customer, record, {names.tags: change})
        assert await tags() == expected


async def test_records_of_ones_own_are_created_changed_and_deleted(desk: Desk) -> None:
    names = desk.names
    rows = [{**names.part, names.part_text: city} for city in ("gent", "genk")]
    [record] = await desk.create(names.customer, {names.name: "C", names.parts: {"create": rows}})
    model = (await desk.schema(names.customer)).fields[names.parts].relation

    async def parts() -> dict[str, int]:
        found = (await desk.read(names.customer, [record], names.parts))[record]
        ids = [one["id"] for one in found[names.parts]]
        return {row[names.part_text]: one for one, row in (await desk.read(model, ids, names.part_text)).items()}

    before = await parts()
    assert before.keys() == {"gent", "genk"}
    change = {
        "update": [{"id": before["gent"], names.part_text: "luik"}],
        "delete": [before["genk"]],
        "create": [{**names.part, names.part_text: "lier"}],
    }
    assert not (await desk.prepare(names.customer, {names.parts: change})).repeatable
    await desk.write(names.customer, record, {names.parts: change})
    after = await parts()
    assert after.keys() == {"luik", "lier"}
    assert after["luik"] == before["gent"]


async def test_ids_come_in_the_order_of_rows(desk: Desk) -> None:
    names = desk.names
    rows = [{names.name: f"row {number}"} for number in range(25)]
    ids = await desk.create(names.customer, *rows)
    found = await desk.read(names.customer, ids, names.name)
    assert [found[one][names.name] for one in ids] == [row[names.name] for row in rows]


async def test_a_refused_row_leaves_none(desk: Desk) -> None:
    model, values = desk.names.unique
    await taken(desk)
    others = await desk.find(model, "")
    with pytest.raises(SutlerError):
        await desk.create(model, {**values, "name": uuid4().hex, **code(values)}, values)
    assert await desk.find(model, "") == others


def code(values: Mapping[str, Any]) -> dict[str, str]:
    return {"code": "QY"} if "code" in values else {}


async def taken(desk: Desk) -> None:
    """Takes the values that must be unique, unless they are taken."""
    model, values = desk.names.unique
    name, value = list(values.items())[-1]
    if not await desk.find(model, f'{name} = "{value}"'):
        await desk.create(model, values)


async def test_unique_values_are_refused_twice(desk: Desk) -> None:
    await taken(desk)
    model, values = desk.names.unique
    with pytest.raises(AlreadyExists) as caught:
        await desk.create(model, {**values, **({"name": "Elsewhere"} if len(values) > 1 else {})})
    assert caught.value.reason == "UNIQUE_VIOLATION"
    assert caught.value.metadata["erp_message"]


async def test_required_values_are_asked_for(desk: Desk) -> None:
    model, name = desk.names.required
    for values in ({}, {name: None}):
        with pytest.raises(Invalid) as caught:
            await desk.create(model, values)
        assert caught.value.reason == "VALUE_MISSING"


async def test_every_value_that_does_not_fit_is_told_at_once(desk: Desk) -> None:
    model, values = desk.names.wrong
    with pytest.raises(Invalid) as caught:
        await desk.prepare(model, values)
    told = {violation.field: violation.reason for violation in caught.value.violations}
    expected = {f"values.{name}": "FIELD_NOT_FOUND" if name == "nope" else "VALUE_INVALID" for name in values}
    assert told == expected


async def test_missing_records_are_told(desk: Desk) -> None:
    model = desk.names.customer
    for act in (desk.write(model, MISSING, {desk.names.name: "x"}), desk.delete(model, MISSING)):
        with pytest.raises(NotFound) as caught:
            await act
        assert str(MISSING) in caught.value.metadata["ids"]
    assert await desk.read(model, [MISSING], desk.names.name) == {}


async def test_deleted_records_are_gone(desk: Desk) -> None:
    one, other = await desk.create(desk.names.customer, {desk.names.name: "a"}, {desk.names.name: "b"})
    await desk.delete(desk.names.customer, one)
    assert (await desk.read(desk.names.customer, [one, other], "id")).keys() == {other}


async def test_a_reference_to_nothing_is_refused_where_the_erp_looks(desk: Desk) -> None:
    if not desk.names.checks_references:
        return
    with pytest.raises((FailedPrecondition, NotFound)) as caught:
        await desk.create("sale.order", {"partner_id": MISSING})
    assert caught.value.reason in ("REFERENCE_MISSING", "NOT_FOUND")


async def test_rights_are_kept(desk: Desk) -> None:
    with pytest.raises(PermissionDenied) as caught:
        await desk.limited().create(desk.names.hidden, {"name": uuid4().hex})
    assert caught.value.reason == "ERP_ACCESS_DENIED"


async def test_methods(desk: Desk) -> None:
    names = desk.names
    [record] = await desk.create(names.customer, {names.name: "to copy"})
    told = await desk.driver.call(desk.ask, names.customer, names.copy, [record], [], {})
    copy = told[0] if isinstance(told, list) else told
    assert "to copy" in (await desk.read(names.customer, [copy], names.name))[copy][names.name]
    with pytest.raises(NotFound) as caught:
        await desk.driver.call(desk.ask, names.customer, "no_such_method", [record], [], {})
    assert caught.value.reason == "METHOD_NOT_FOUND"


async def test_a_write_can_be_bound_to_a_version(desk: Desk) -> None:
    names = desk.names
    assert names.atomic == (Capability.ATOMIC_ETAG in desk.driver.info.capabilities)
    [record] = await desk.create(names.customer, {names.name: "first"})
    schema = await desk.schema(names.customer)
    stamps = await desk.driver.stamps(desk.ask, schema, [record])
    if not names.atomic:
        assert stamps == {}
        return
    await asyncio.sleep(1.1)  # Tryton 7.0 tells versions in whole seconds on SQLite
    await desk.write(names.customer, record, {names.name: "second"}, stamps=stamps)
    with pytest.raises(Conflict) as caught:
        await desk.write(names.customer, record, {names.name: "third"}, stamps=stamps)
    assert caught.value.reason == "ETAG_MISMATCH"
    with pytest.raises(Conflict):
        await desk.driver.delete(desk.ask, schema, [record], stamps=stamps)
    assert (await desk.read(names.customer, [record], names.name))[record][names.name] == "second"


async def test_a_lost_answer_is_no_refusal(desk: Desk) -> None:
    """The ERP did what was asked, and what came back is cut off: the driver says so and does not ask again."""
    names, name = desk.names, uuid4().hex
    proxy = Proxy(desk.place.url)
    async with serving(proxy.answer) as url:
        driver = desk.place.driver(make_registry(), url=url)
        lossy = Desk(desk.place, driver, desk.ask)
        await lossy.schema(names.customer)
        for method in ("create", "write"):
            proxy.lose(method)
        with pytest.raises(AnswerLostError):
            await lossy.create(names.customer, {names.name: name})
        [record] = await desk.find(names.customer, f'{names.name} = "{name}"')
        with pytest.raises(AnswerLostError):
            await lossy.write(names.customer, record, {names.name: f"{name} changed"})
        assert (await desk.read(names.customer, [record], names.name))[record][names.name] == f"{name} changed"
        assert (proxy.count("create"), proxy.count("write")) == (1, 1)
        await driver.close()
