"""What every driver reads: users, models, records, names."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest
from sutler.errors import FailedPrecondition, Invalid, NotFound, SutlerError
from sutler.paging import Order

from services.erp.ports import Capability
from services.erp.records import DISPLAY_NAME
from services.erp.schemas import FieldType
from services.erp.selecting import Selector
from services.erp.users import Ask
from tests.conformance.erp_drivers.places import Desk
from tests.conformance.tryton.processes import INSTALLING_SECONDS

pytestmark = pytest.mark.timeout(INSTALLING_SECONDS)


async def test_logging_in(desk: Desk) -> None:
    user = await desk.driver.user(desk.ask)
    assert user.id == await desk.driver.log_in(desk.ask) == await desk.driver.log_in(desk.ask, anew=True)
    assert user.username == "admin"
    assert await desk.driver.version() == desk.driver.server_version != ""
    assert "demo" in [*await desk.driver.databases(), "demo"]
    assert desk.driver.clock_skew is not None
    assert abs(desk.driver.clock_skew) < 3


async def test_a_wrong_secret_is_refused(desk: Desk) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        await desk.driver.log_in(Ask("admin", "not the secret", desk.ask.context))
    assert caught.value.reason == "LOGIN_REFUSED"
    assert "not the secret" not in str(caught.value)


async def test_models_and_what_users_may_do_with_them(desk: Desk) -> None:
    models = {one.model: one for one in await desk.driver.models(desk.ask)}
    assert models[desk.names.customer].display_name
    assert desk.names.user in models
    mine, theirs = [await one.driver.rights(one.ask, desk.names.hidden) for one in (desk, desk.limited())]
    assert (mine.creatable, mine.writable, mine.deletable) == (True, True, True)
    assert (theirs.creatable, theirs.writable, theirs.deletable) == (False, False, False)


async def test_fields(desk: Desk) -> None:
    names = desk.names
    schema = await desk.schema(names.customer)
    fields = schema.fields
    assert schema.model.archive_field == "active"
    assert Capability.ARCHIVING in desk.driver.info.capabilities
    assert fields[names.name].type is FieldType.STRING
    assert fields[DISPLAY_NAME].type is FieldType.STRING
    assert (fields["create_uid"].type, fields["create_uid"].relation) == (FieldType.MANY_TO_ONE, names.user)
    assert fields["write_date"].type is FieldType.DATETIME
    assert (fields[names.tags].type, fields[names.tags].relation) == (FieldType.MANY_TO_MANY, names.tag)
    assert fields[names.parts].type is FieldType.ONE_TO_MANY
    related = await desk.schema(fields[names.parts].relation)
    assert related.fields[fields[names.parts].relation_field].relation == names.customer
    model, field, option = names.selection
    assert option in [one.value for one in (await desk.schema(model)).fields[field].options]


async def test_an_unknown_model_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFound) as caught:
        await desk.schema("no.such.model")
    assert caught.value.reason == "MODEL_NOT_FOUND"
    assert caught.value.metadata["model"] == "no.such.model"


async def test_an_unknown_field_is_named(desk: Desk) -> None:
    schema = await desk.schema(desk.names.customer)
    with pytest.raises(Invalid) as caught:
        await desk.driver.read(desk.ask, schema, [1], ["no_such_field"])
    assert (caught.value.reason, caught.value.metadata["field"]) == ("FIELD_NOT_FOUND", "no_such_field")


async def test_records_have_titles_relations_and_times(desk: Desk) -> None:
    names = desk.names
    [tag] = await desk.create(names.tag, {"name": uuid4().hex})
    before = time.time() - 3
    one, other = await desk.create(
        names.customer,
        {names.name: "Anna", names.tags: [tag], names.parts: {"create": [{**names.part, names.part_text: "Gent"}]}},
        {names.name: "Bert"},
    )
    schema = await desk.schema(names.customer)
    fields = [names.name, DISPLAY_NAME, "create_uid", names.tags, names.parts, "active"]
    rows = {row.id: row for row in await desk.driver.read(desk.ask, schema, [one, 10**8, other], fields)}
    assert rows.keys() == {one, other}
    anna, bert = rows[one], rows[other]
    assert (anna.values[names.name], anna.display_name, anna.values[DISPLAY_NAME]) == ("Anna", "Anna", "Anna")
    assert anna.values["create_uid"]["id"] == await desk.driver.log_in(desk.ask)
    assert anna.values["create_uid"][DISPLAY_NAME]
    assert anna.values[names.tags] == [{"id": tag}]
    assert [part.keys() for part in anna.values[names.parts]] == [{"id"}]
    assert (bert.values[names.tags], bert.values[names.parts]) == ([], [])
    assert anna.values["active"] is True
    for row in rows.values():
        assert row.create_time is not None
        assert row.update_time is not None
        assert before <= row.create_time <= row.update_time <= time.time() + 3


async def test_archived_records_are_read_and_not_found(desk: Desk) -> None:
    names, name = desk.names, uuid4().hex
    [record] = await desk.create(names.customer, {names.name: name})
    schema = await desk.schema(names.customer)
    await desk.driver.archive(desk.ask, schema, [record])
    assert (await desk.read(names.customer, [record], "active"))[record]["active"] is False
    assert await desk.find(names.customer, f'{names.name} = "{name}"') == []
    assert await desk.find(names.customer, f'{names.name} = "{name}"', archived=True) == [record]
    await desk.driver.archive(desk.ask, schema, [record], archived=False)
    assert await desk.find(names.customer, f'{names.name} = "{name}"') == [record]


async def test_order_pages_and_counts(desk: Desk) -> None:
    names, name = desk.names, uuid4().hex
    ids = await desk.create(names.customer, *({names.name: f"{name} {n}"} for n in (2, 3, 1, 4)))
    schema = await desk.schema(names.customer)
    selector = await desk.selector(names.customer, f'{names.name} = "{name}*"')

    async def page(order: Order, **more: int) -> list[int]:
        found = await desk.driver.search(desk.ask, schema, selector, order=(order, Order("id")), **more)
        return [row.id for row in found]

    assert await page(Order(names.name)) == [ids[2], ids[0], ids[1], ids[3]]
    assert await page(Order(names.name, descending=True), offset=1, limit=2) == [ids[1], ids[0]]
    assert await desk.driver.count(desk.ask, schema, selector) == 4
    assert await desk.driver.count(desk.ask, schema, selector, limit=3) == 3
    assert await desk.find(names.customer, f'{names.name} = "{name}*"', after_id=ids[1]) == ids[2:]
    assert await desk.find(names.customer, "", ids=tuple(ids[1:3])) == ids[1:3]


async def test_names_are_found_by_what_people_type(desk: Desk) -> None:
    names, word = desk.names, uuid4().hex[:12]
    ids = await desk.create(names.customer, *({names.name: f"{n} {word} 100%"} for n in "abc"))
    schema = await desk.schema(names.customer)
    rows = await desk.driver.names(desk.ask, schema, word.upper(), Selector(), 10)
    assert {row.id: row.display_name for row in rows} == dict(
        zip(ids, [f"{n} {word} 100%" for n in "abc"], strict=True)
    )
    assert len(await desk.driver.names(desk.ask, schema, word, Selector(), 2)) == 2
    only = await desk.selector(names.customer, f'{names.name} = "b*"')
    assert [row.id for row in await desk.driver.names(desk.ask, schema, word, only, 10)] == [ids[1]]


async def test_windows_of_time_have_what_changed_in_them(desk: Desk) -> None:
    names = desk.names
    ids = await desk.create(names.customer, {names.name: "first"}, {names.name: "second"})
    schema = await desk.schema(names.customer)
    changed = {row.id: row.update_time for row in await desk.driver.read(desk.ask, schema, ids, ["id"])}

    async def window(since: float, until: float | None = None) -> list[int]:
        return await desk.find(names.customer, "", ids=tuple(ids), since=since, until=until, archived=True)

    latest = max(one for one in changed.values() if one is not None)
    assert await window(latest - 10) == ids
    assert await window(latest - 10, latest + 10) == ids
    assert await window(latest - 20, latest - 10) == []
    assert await window(latest + 10) == []


async def test_what_a_driver_cannot_is_refused_with_the_reason(desk: Desk) -> None:
    if Capability.EXTERNAL_IDS in desk.driver.info.capabilities:
        assert await desk.driver.find_external(desk.ask, desk.names.customer, "no.such") is None
        return
    with pytest.raises(SutlerError) as caught:
        await desk.driver.find_external(desk.ask, desk.names.customer, "no.such")
    assert caught.value.reason == "NOT_IMPLEMENTED"
