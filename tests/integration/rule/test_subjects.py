"""Subjects: atomic writes that tell what really changed."""

import asyncio
import uuid
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.client import connect
from sutler.errors import Conflict, FailedPrecondition, Invalid, NotFound
from sutler.rule.v1 import rule_pb2 as pb

from tests.integration.rule.conftest import Tenant, emit, eventually, on_all, on_both, token

pytestmark = pytest.mark.asyncio(loop_scope="session")


def subject(id: str, properties: dict[str, Any] | None = None, ext: dict[str, Any] | None = None) -> pb.Subject:
    found = pb.Subject(name=f"subjects/{id}")
    if properties is not None:
        found.properties.update(properties)
    if ext is not None:
        found.ext_properties.update(ext)
    return found


def write(property: str, **fields: Any) -> pb.PropertyWrite:
    return json_format.ParseDict({"property": property, **fields}, pb.PropertyWrite())


async def update(t: Tenant, id: str, *writes: pb.PropertyWrite, **fields: Any) -> pb.Subject:
    values = {"subject": subject(id), "writes": writes, "allow_missing": True, **fields}
    return await t.s.rules.UpdateSubject(pb.UpdateSubjectRequest(**values))


async def changes(t: Tenant) -> list[tuple[str, dict[str, Any]]]:
    found = await t.events('type = "subject.*"')
    return [(e.type.removeprefix("subject."), json_format.MessageToDict(e.data)) for e in found]


@on_both
async def test_writes_are_made_in_order_and_told(t: Tenant) -> None:
    made = await update(
        t,
        "order/S1",
        write("n", value=1),
        write("n", increment=2.5),
        write("n", expression="old * 2.0 + double(subject.properties.n)"),
        write("gone", value="x"),
        write("gone", deleted=True),
        write("none", value=None),
        write("quiet", value=1, muted=True),
        write("e", value=1, ext=True),
    )
    assert json_format.MessageToDict(made.properties) == {"n": 10.5, "none": None, "quiet": 1.0}
    assert json_format.MessageToDict(made.ext_properties) == {"e": 1.0}
    assert (made.name, made.revision) == ("subjects/order/S1", 1)
    assert [(c.property, c.ext, bool(c.event)) for c in made.changes] == [
        *[("n", False, True)] * 3,
        *[("gone", False, True)] * 2,
        ("none", False, True),
        ("quiet", False, False),
        ("e", True, False),
    ]
    told = await changes(t)
    assert len(told) == 6
    assert ("property.deleted", {"property": "gone", "old_value": "x", "revision": 1.0}) in told


async def test_only_real_changes_count(t: Tenant) -> None:
    first = await update(t, "s", write("a", value={"x": 1, "y": True}))
    same = await update(t, "s", write("a", value={"y": True, "x": 1.0}))
    assert (same.revision, same.etag, len(same.changes)) == (first.revision, first.etag, 0)
    other = await update(t, "s", write("a", value={"y": 1, "x": 1}))
    assert other.revision == 2
    assert len(await changes(t)) == 2


async def test_the_subject_merges_and_a_mask_replaces(t: Tenant) -> None:
    await update(t, "s", subject=subject("s", {"a": {"x": 1, "y": 2}, "b": 1}, {"e": 1}))
    merged = await update(t, "s", subject=subject("s", {"a": {"y": None, "z": 3}, "b": None}))
    assert json_format.MessageToDict(merged.properties) == {"a": {"x": 1.0, "z": 3.0}}
    named = await update(t, "s", subject=subject("s", {"c": 1}), update_mask=FieldMask(paths=["properties"]))
    assert json_format.MessageToDict(named.properties) == {"a": {"x": 1.0, "z": 3.0}, "c": 1.0}
    whole = await update(t, "s", subject=subject("s", {"c": 1}), update_mask=FieldMask(paths=["*"]))
    assert json_format.MessageToDict(whole.properties) == {"c": 1.0}
    assert not whole.ext_properties.fields
    with pytest.raises(Invalid) as caught:
        await update(t, "s", subject=subject("s"), update_mask=FieldMask(paths=["colour"]))
    assert caught.value.reason == "UPDATE_MASK_INVALID"


async def test_all_or_nothing(t: Tenant) -> None:
    await update(t, "s", write("text", value="x"))
    with pytest.raises(FailedPrecondition) as caught:
        await update(t, "s", write("other", value=1), write("text", increment=1))
    assert (caught.value.reason, caught.value.metadata["property"]) == ("PROPERTY_TYPE_MISMATCH", "text")
    with pytest.raises(FailedPrecondition) as caught:
        await update(t, "s", write("other", value=1), write("text", expression="old + 1"))
    assert caught.value.reason == "EXPRESSION_FAILED"
    with pytest.raises(Invalid) as caught_:
        await update(t, "s", write("a", expression="1 +"), write("b", expression="nope"))
    assert (caught_.value.reason, len(caught_.value.violations)) == ("EXPRESSION_INVALID", 2)
    with pytest.raises(Invalid) as caught_:
        await update(t, "s", *(write(f"p{i}", value="x" * 600_000) for i in range(2)))
    assert caught_.value.reason == "TOO_LARGE"
    assert await t.subject("s") == {"text": "x"}
    assert len(await changes(t)) == 1


async def test_revisions_and_etags_guard_a_write(t: Tenant) -> None:
    with pytest.raises(NotFound):
        await update(t, "s", write("a", value=1), allow_missing=False)
    made = await update(t, "s", write("a", value=1), expected_revision=0)
    with pytest.raises(Conflict) as caught:
        await update(t, "s", write("a", value=2), expected_revision=0)
    assert caught.value.reason == "REVISION_MISMATCH"
    assert (caught.value.metadata["expected"], caught.value.metadata["current"]) == ("0", "1")
    await update(t, "s", write("a", value=2), expected_revision=1)
    stale = subject("s")
    stale.etag = made.etag
    with pytest.raises(Conflict) as caught:
        await update(t, "s", write("a", value=3), subject=stale)
    assert caught.value.reason == "ETAG_MISMATCH"
    for half in ({"task": "queues/q/tasks/t"}, {"lease_token": "x"}):
        with pytest.raises(Invalid):
            await update(t, "s", write("a", value=3), **half)
    with pytest.raises(NotFound):
        await update(t, "s", write("a", value=3), task="queues/q/tasks/t", lease_token="x")


@on_all
async def test_increments_at_the_same_time_lose_nothing(t: Tenant) -> None:
    await asyncio.gather(
        *(
            update(t, "s", write("n", increment=1), write("m", expression="old == null ? 1 : old + 1"))
            for _ in range(40)
        )
    )
    assert await t.subject("s") == {"n": 40.0, "m": 40.0}


async def test_a_repeat_answers_the_same_and_does_nothing(t: Tenant) -> None:
    request_id = str(uuid.uuid4())
    first = await update(t, "s", write("n", increment=1), request_id=request_id)
    assert await update(t, "s", write("n", increment=1), request_id=request_id) == first
    assert await t.subject("s") == {"n": 1.0}


async def test_validate_only_changes_nothing(t: Tenant) -> None:
    would = await update(t, "s", write("n", value=1), validate_only=True)
    assert (json_format.MessageToDict(would.properties), would.changes[0].event) == ({"n": 1.0}, "")
    with pytest.raises(NotFound):
        await t.subject("s")


async def test_muted_writes_and_extra_context(t: Tenant) -> None:
    await t.rule("r", on=["subject.**"], when=["extra.source == 'test'"], actions=[emit("saw.${payload.property}")])
    context: Any = {"source": "test"}
    await update(t, "s", write("loud", value=1), extra=context)
    await update(t, "s", write("quiet", value=1), extra=context, muted=True)
    await eventually(lambda: t.events('type = "saw*"'))
    assert [e.type for e in await t.events('type = "saw*"')] == ["saw.loud"]
    with pytest.raises(Invalid) as caught:
        await update(t, "s", extra={"x": "y" * 70_000})
    assert caught.value.reason == "TOO_LARGE"


async def test_a_deletion_tells_what_was_removed(t: Tenant) -> None:
    made = await update(t, "a/b", subject=subject("a/b", {"x": 1}, {"e": 2}))
    with pytest.raises(Conflict):
        await t.s.rules.DeleteSubject(pb.DeleteSubjectRequest(name="subjects/a/b", etag='"no"'))
    await t.s.rules.DeleteSubject(pb.DeleteSubjectRequest(name="subjects/a/b", etag=made.etag))
    told = [data for kind, data in await changes(t) if kind == "deleted"]
    assert told == [{"properties": {"x": 1.0}, "ext_properties": {"e": 2.0}, "revision": 1.0, "cause": "DELETED"}]
    with pytest.raises(NotFound):
        await t.s.rules.DeleteSubject(pb.DeleteSubjectRequest(name="subjects/a/b"))
    await t.s.rules.DeleteSubject(pb.DeleteSubjectRequest(name="subjects/a/b", allow_missing=True))
    again = await update(t, "a/b", write("x", value=1))
    assert (again.revision, again.uid != made.uid) == (1, True)


@on_both
async def test_a_subject_ends_with_its_ttl(t: Tenant) -> None:
    wanted = subject("s", {"x": 1})
    wanted.ttl.FromSeconds(1)
    made = await update(t, "s", subject=wanted)
    assert made.expire_time.ToNanoseconds() - made.update_time.ToNanoseconds() == 1_000_000_000
    await eventually(lambda: t.events('type = "subject.deleted"'))
    (told,) = [data for kind, data in await changes(t) if kind == "deleted"]
    assert told["cause"] == "EXPIRED"
    with pytest.raises(NotFound):
        await t.subject("s")


@on_both
async def test_lists_reach_into_properties(t: Tenant) -> None:
    for number in range(6):
        state = "open" if number % 2 else "closed"
        await update(t, f"order/{number}", write("total", value=number * 100), write("state", value=state))
    request = pb.ListSubjectsRequest(
        filter='properties.state = "open" AND properties.total > 100',
        order_by="properties.total desc, name",
        page_size=1,
        properties=["total"],
    )
    first = await t.s.rules.ListSubjects(request)
    request.page_token = first.next_page_token
    second = await t.s.rules.ListSubjects(request)
    assert [s.name for s in (*first.subjects, *second.subjects)] == ["subjects/order/5", "subjects/order/3"]
    assert json_format.MessageToDict(first.subjects[0].properties) == {"total": 500.0}
    assert not second.next_page_token
    one = await t.s.rules.GetSubject(pb.GetSubjectRequest(name="subjects/order/5", properties=["state"]))
    assert json_format.MessageToDict(one.properties) == {"state": "open"}


async def test_names_compare_byte_by_byte_and_tenants_are_apart(t: Tenant) -> None:
    await update(t, "Ä b/ß", write("x", value=1))
    await update(t, "ä b/ß", write("x", value=2))
    assert (await t.subject("Ä b/ß"), await t.subject("ä b/ß")) == ({"x": 1.0}, {"x": 2.0})
    async with connect(t.server.address, token=token(f"{t.name}-other")) as other:
        with pytest.raises(NotFound):
            await other.rules.GetSubject(pb.GetSubjectRequest(name="subjects/Ä b/ß"))
