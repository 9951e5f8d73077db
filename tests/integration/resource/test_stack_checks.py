"""What is refused before anything is done, what a preview shows, and what every change promises."""

import asyncio
import uuid
from typing import Any

import pytest
from sutler.client import connect
from sutler.errors import Conflict, FailedPrecondition, Invalid, NotFound, PermissionDenied, SutlerError, Unavailable
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import from_value, to_struct

from tests.integration.resource.conftest import Tenant, everywhere, token
from tests.integration.resource.stacking import (
    MACHINES,
    NAME,
    SERVERS,
    ST,
    action,
    applied,
    became,
    begin,
    get,
    member,
    metadata,
    plan,
    preview,
    stack,
    states,
)

SIZED = {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}


@pytest.fixture(autouse=True)
def _held(server) -> None:  # type: ignore[no-untyped-def]
    server.machines.release.clear()


async def base(tenant: Tenant) -> str:
    group = await tenant.group()
    await tenant.type()
    await tenant.machine_type()
    return group


async def refused(tenant: Tenant, wished: pb.Stack, kind: type[SutlerError]) -> Any:
    """Returns the error of an apply, which is that of a preview too, and leaves no stack."""
    with pytest.raises(kind) as caught:
        await begin(tenant, wished)
    with pytest.raises(kind) as seen:
        await preview(tenant, wished)
    assert (seen.value.reason, seen.value.metadata) == (caught.value.reason, caught.value.metadata)
    return caught.value


@pytest.mark.parametrize(
    ("members", "cycle"),
    [
        ([("a", "${members.a.name}", [])], "a, a"),
        ([("a", "${members.b.name}", []), ("b", "", ["a"])], "a, b, a"),
        ([("a", "", ["b"]), ("b", "x-${members.c.outputs.y}", []), ("c", "", ["a"])], "a, b, c, a"),
    ],
)
async def test_cycles(tenant: Tenant, members: list[tuple[str, str, list[str]]], cycle: str) -> None:
    group = await base(tenant)
    declared = [member(id, properties={"of": of}, dependencies=needs) for id, of, needs in members]
    error = await refused(tenant, stack(*declared, scope=group), Invalid)
    assert (error.reason, error.metadata["cycle"]) == ("REFERENCE_CYCLE", cycle)
    with pytest.raises(NotFound):
        await get(tenant)


async def test_a_cycle_by_place(tenant: Tenant) -> None:
    await base(tenant)
    group = member("g", "Sutler.Resource/resourceGroups", {"of": "${members.s.name}"})
    below = member("s", parent="subscriptions/shop/resourceGroups/g")
    error = await refused(tenant, stack(group, below, scope="subscriptions/shop"), Invalid)
    assert (error.reason, error.metadata["cycle"]) == ("REFERENCE_CYCLE", "g, s, g")


@pytest.mark.parametrize(
    ("wished", "field", "target"),
    [
        (member("a", properties={"x": ["${members.b.name}"]}), "stack.members[0].properties.x[0]", "members.b.name"),
        (member("a", tags={"t": "${parameters.size}"}), "stack.members[0].tags.t", "parameters.size"),
        (member("a", display_name="${members.a.uid}"), "stack.members[0].display_name", "members.a.uid"),
        (member("a", dependencies=["b"]), "stack.members[0].dependencies[0]", "b"),
        (member("a", location="${HOME}"), "stack.members[0].location", "HOME"),
    ],
)
async def test_references_that_lead_nowhere(tenant: Tenant, wished: pb.StackMember, field: str, target: str) -> None:
    group = await base(tenant)
    error = await refused(tenant, stack(wished, scope=group, parameters={"other": 1}), Invalid)
    told = {"field": field, "target": target, "member": "a"}
    assert (error.reason, error.metadata) == ("REFERENCE_UNRESOLVED", told)
    assert [violation.field for violation in error.violations] == [field]


async def test_output_values_are_checked_too(tenant: Tenant) -> None:
    error = await refused(tenant, stack(output_values={"x": "${members.b.name}"}), Invalid)
    assert (error.reason, error.metadata["field"]) == ("REFERENCE_UNRESOLVED", "stack.output_values.x")


async def test_outputs_of_a_record_lead_nowhere(tenant: Tenant) -> None:
    """They never have any, so that is known beforehand."""
    group = await base(tenant)
    wished = stack(member("a"), member("b", properties={"x": "${members.a.outputs.y}"}), scope=group)
    assert (await refused(tenant, wished, Invalid)).reason == "REFERENCE_UNRESOLVED"
    shown = stack(member("a"), member("m", MACHINES), scope=group, output_values={"x": "${members.a.outputs.y}"})
    shown.output_values["later"] = "${members.m.outputs.machines}"
    error = await refused(tenant, shown, Invalid)
    assert (error.reason, error.metadata["field"]) == ("REFERENCE_UNRESOLVED", "stack.output_values.x")
    assert len(error.violations) == 1


@pytest.mark.parametrize(
    ("wished", "field"),
    [
        (member("a", properties={"x": "${members.b"}), "stack.members[0].properties.x"),
        (member("a", resource_id="${members.b.name}"), "stack.members[0].resource_id"),
        (member("a", resource_id="no spaces"), "stack.members[0].resource_id"),
        (member("a", parent="${members.b.outputs.x}"), "stack.members[0].parent"),
        (member("a", display_name="${parameters.list}"), "stack.members[0].display_name"),
        (member("a", location="subscriptions/shop"), "stack.members[0].location"),
        (member("a", references=["nothing"]), "stack.members[0].references[0]"),
        (member("a", resource_id="B"), "stack.members[1]"),
    ],
)
async def test_fields_that_are_wrong(tenant: Tenant, wished: pb.StackMember, field: str) -> None:
    group = await base(tenant)
    error = await refused(tenant, stack(wished, member("b"), scope=group, parameters={"list": [1]}), Invalid)
    assert (error.reason, error.metadata["field"]) == ("FIELD_INVALID", field)


@everywhere
async def test_members_are_checked_as_resources_are(tenant: Tenant) -> None:
    group = await base(tenant)
    await tenant.type("Custom.Org.sized", versions=[pb.TypeVersion(version="v1", schema=to_struct(SIZED))])
    sized = "Custom.Org/sized"
    wished = stack(
        member("ok", sized, {"size": 1}),
        member("b", sized, {"size": "${parameters.size}"}, parent="${members.g.name}"),
        member("c", sized),
        member("unknown", sized, {"size": "${members.m.outputs.machines}"}),
        member("m", MACHINES),
        member("g", "Sutler.Resource/resourceGroups", parent="subscriptions/shop"),
        scope=group,
        parameters={"size": "big"},
    )
    error = await refused(tenant, wished, Invalid)
    assert (error.reason, error.metadata["member"]) == ("RESOURCE_INVALID", "b")
    assert [violation.field for violation in error.violations] == [
        "stack.members[1].properties.size",
        "stack.members[2].properties.size",
    ]


async def test_what_members_need_must_exist(tenant: Tenant) -> None:
    group = await base(tenant)
    error = await refused(tenant, stack(member("a", location="locations/mars"), scope=group), FailedPrecondition)
    assert (error.reason, error.metadata["target"]) == ("REFERENCE_UNRESOLVED", "locations/mars")
    with pytest.raises(NotFound) as caught:
        await begin(tenant, stack(scope=f"{group}x"))
    assert caught.value.metadata["resource"] == f"{group}x"
    assert (await refused(tenant, stack(member("a", "Sutler.Resource/resourceGroups")), Invalid)).reason == (
        "PARENT_NOT_ALLOWED"
    )


SIZES = {"size": "${members.a.outputs.x}", "name": "${members.a.outputs.y}"}


@pytest.mark.parametrize(
    ("members", "kind", "reason", "fields"),
    [
        (
            [member("a", "Custom.Org/x"), member("b"), member("c", "Custom.Org/y")],
            FailedPrecondition,
            "TYPE_UNKNOWN",
            ["[0].type", "[2].type"],
        ),
        (
            [member("a", dependencies=["zz"]), member("b", tags={"x": "${y}"}), member("c", display_name="${")],
            Invalid,
            "REFERENCE_UNRESOLVED",
            ["[0].dependencies[0]", "[1].tags.x", "[2].display_name"],
        ),
        (
            [
                member("a", resource_id="no spaces"),
                member("b", parent="${members.a.name}"),
                member("c", resource_id="-"),
            ],
            Invalid,
            "FIELD_INVALID",
            ["[0].resource_id", "[2].resource_id"],
        ),
        (
            [member("a", parent="subscriptions/shop/resourceGroups/x"), member("b", parent="subscriptions/none")],
            NotFound,
            "NOT_FOUND",
            ["[0].parent", "[1].parent"],
        ),
        (
            [member("a"), member("b", properties=SIZES), member("c", tags={"t": "${members.a.outputs.z}"})],
            Invalid,
            "REFERENCE_UNRESOLVED",
            ["[1].properties.name", "[1].properties.size", "[2].tags.t"],
        ),
        (
            [member("a", location="locations/x"), member("b", references=["subscriptions/none"])],
            FailedPrecondition,
            "REFERENCE_UNRESOLVED",
            ["[0].location", "[1].references[0]"],
        ),
        (
            [member("a", type_version="v9"), member("b", "Custom.Org/machines", type_version="v8")],
            FailedPrecondition,
            "TYPE_VERSION_UNAVAILABLE",
            ["[0]", "[1]"],
        ),
    ],
)
async def test_all_that_is_wrong_is_told_with_its_member(
    tenant: Tenant, members: list[pb.StackMember], kind: type[SutlerError], reason: str, fields: list[str]
) -> None:
    error = await refused(tenant, stack(*members, scope=await base(tenant)), kind)
    assert error.reason == reason
    assert sorted(found.field for found in error.violations) == [f"stack.members{field}" for field in fields]
    first = members[int(fields[0][1])].id
    assert (error.metadata["member"], error.metadata["violations"]) == (first, str(len(fields)))
    assert error.metadata["field"] in {found.field for found in error.violations}


async def test_locks_of_others_count(tenant: Tenant) -> None:
    group = await base(tenant)
    await tenant.s.wait(await tenant.update(group, lock=pb.Resource.LOCK_READ_ONLY))
    error = await refused(tenant, stack(member("a"), scope=group), FailedPrecondition)
    assert (error.reason, error.metadata["holder"], error.metadata["member"]) == ("LOCKED", group, "a")


async def test_handlers_are_asked_beforehand(tenant: Tenant) -> None:
    group = await base(tenant)
    error = await refused(tenant, stack(member("m", MACHINES, {"validate": "refuse"}), scope=group), Invalid)
    assert error.reason == "HANDLER_REJECTED"
    assert error.violations[0].field == "stack.members[0].properties.count"
    await refused(tenant, stack(member("m", MACHINES, {"validate": "down"}), scope=group), Unavailable)


@everywhere
async def test_a_resource_belongs_to_one_stack(tenant: Tenant) -> None:
    group = await base(tenant)
    await applied(tenant, stack(member("a"), name="stacks/base", scope=group))
    error = await refused(tenant, stack(member("x", resource_id="A"), scope=group), FailedPrecondition)
    assert error.reason == "STACK_CONFLICT"
    assert (error.metadata["resource"], error.metadata["stack"]) == (f"{group}/providers/{SERVERS}/a", "stacks/base")
    assert (error.metadata["member"], error.metadata["field"]) == ("x", "stack.members[0]")


async def test_strangers_stay(tenant: Tenant) -> None:
    """Neither a run nor a delete takes what stands below a member and is none; only a delete with force does."""
    await base(tenant)
    group = member("g", "Sutler.Resource/resourceGroups")
    await applied(tenant, stack(group, scope="subscriptions/shop"))
    stranger = await tenant.made("subscriptions/shop/resourceGroups/g", "s", SERVERS)
    error = await refused(tenant, stack(scope="subscriptions/shop"), FailedPrecondition)
    assert (error.reason, error.metadata["child"]) == ("HAS_CHILDREN", stranger.name)
    delete = pb.DeleteStackRequest(name=NAME)
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.s.resources.DeleteStack(delete)
    assert caught.value.reason == "HAS_CHILDREN"
    await tenant.s.wait(await tenant.s.resources.DeleteStack(pb.DeleteStackRequest(name=NAME, force=True)))
    with pytest.raises(NotFound):
        await tenant.get(stranger.name)


async def test_what_is_kept_is_not_lost_with_what_it_stands_below(tenant: Tenant) -> None:
    await base(tenant)
    members = [
        member("g", "Sutler.Resource/resourceGroups"),
        member("s", parent="${members.g.name}", keep=True),
    ]
    await applied(tenant, stack(*members, scope="subscriptions/shop"))
    for force in (False, True):
        with pytest.raises(FailedPrecondition) as caught:
            await tenant.s.resources.DeleteStack(pb.DeleteStackRequest(name=NAME, force=force))
        assert caught.value.reason == "HAS_CHILDREN"


async def test_the_scope_cannot_change(tenant: Tenant) -> None:
    group = await base(tenant)
    await applied(tenant, stack(member("a"), scope=group))
    with pytest.raises(Invalid) as caught:
        await begin(tenant, stack(member("a"), scope="subscriptions/shop"))
    assert (caught.value.reason, caught.value.metadata["field"]) == ("FIELD_IMMUTABLE", "stack.scope")
    assert (await applied(tenant, stack(member("a")))).scope == group


async def test_sizes(tenant: Tenant) -> None:
    big = {"x": "y" * 1_000_000}
    members = [member(f"m{i}", properties=big) for i in range(3)]
    with pytest.raises(Invalid) as caught:
        await begin(tenant, stack(*members))
    assert (caught.value.reason, caught.value.metadata["field"]) == ("TOO_LARGE", "stack.members")
    with pytest.raises(Invalid) as caught:
        await begin(tenant, stack(output_values={"x": "y" * 70_000}))
    assert (caught.value.reason, caught.value.metadata["field"]) == ("TOO_LARGE", "stack.output_values")
    values = {f"o{i}": "${parameters.x}" for i in range(4)}
    with pytest.raises(Invalid) as caught:
        await begin(tenant, stack(parameters={"x": "y" * 200_000}, output_values=values))
    assert (caught.value.reason, caught.value.metadata["field"]) == ("TOO_LARGE", "stack.output_values")
    with pytest.raises(Invalid):
        await begin(tenant, pb.Stack())


@everywhere
async def test_one_run_at_a_time_and_etags(tenant: Tenant) -> None:
    group = await base(tenant)
    first = await applied(tenant, stack(member("a"), scope=group))
    with pytest.raises(Conflict) as caught:
        await begin(tenant, stack(scope=group, etag='"other"'))
    assert caught.value.reason == "ETAG_MISMATCH"
    gone = await refused(tenant, stack(name="stacks/none", etag='"other"'), Conflict)
    assert (gone.reason, gone.metadata["resource"]) == ("ETAG_MISMATCH", "stacks/none")
    with pytest.raises(Conflict):
        await tenant.s.resources.DeleteStack(pb.DeleteStackRequest(name=NAME, etag='"other"'))
    operation = await begin(tenant, stack(member("m", MACHINES, {"behave": "hang"}), scope=group, etag=first.etag))
    await became(tenant, "m", "RUNNING")
    for call in (
        begin(tenant, stack(scope=group)),
        tenant.s.resources.DeleteStack(pb.DeleteStackRequest(name=NAME)),
        preview(tenant, stack(scope=group)),
    ):
        with pytest.raises(Conflict) as caught:
            await call
        assert (caught.value.reason, caught.value.metadata["operation"]) == ("OPERATION_IN_PROGRESS", operation.name)
    tenant.machines.release.set()
    await tenant.s.wait(operation)


@everywhere
async def test_applies_at_once_make_one_run(tenant: Tenant) -> None:
    group = await base(tenant)
    wished = stack(member("m", MACHINES), scope=group)
    request = pb.ApplyStackRequest(stack=wished, request_id=str(uuid.uuid4()))
    answers = await asyncio.gather(*(tenant.s.resources.ApplyStack(request) for _ in range(5)))
    assert len({answer.name for answer in answers}) == 1
    await tenant.s.wait(answers[0])
    assert (await tenant.s.resources.ApplyStack(request)).name == answers[0].name
    assert len(tenant.calls("Apply")) == 1
    request.stack.display_name = "other"
    with pytest.raises(Invalid) as caught:
        await tenant.s.resources.ApplyStack(request)
    assert caught.value.reason == "REQUEST_ID_REUSED"


async def test_a_repeated_delete_gets_the_first_answer(tenant: Tenant) -> None:
    group = await base(tenant)
    await applied(tenant, stack(member("a"), scope=group))
    request = pb.DeleteStackRequest(name=NAME, request_id=str(uuid.uuid4()))
    first = await tenant.s.resources.DeleteStack(request)
    await tenant.s.wait(first)
    assert (await tenant.s.resources.DeleteStack(request)).name == first.name


async def test_validate_only(tenant: Tenant) -> None:
    group = await base(tenant)
    wished = stack(member("m", MACHINES), member("a"), scope=group)
    answer = await begin(tenant, wished, validate_only=True)
    would_be = pb.Stack()
    assert answer.done and not answer.name and answer.response.Unpack(would_be)
    assert would_be.members == wished.members and would_be.etag == ""
    assert [action(step) for step in metadata(answer).plan] == ["CREATE", "CREATE"]
    with pytest.raises(NotFound):
        await get(tenant)
    await applied(tenant, wished)
    gone = await tenant.s.resources.DeleteStack(pb.DeleteStackRequest(name=NAME, validate_only=True))
    assert gone.done and [action(step) for step in metadata(gone).plan] == ["DELETE", "DELETE"]
    assert (await get(tenant)).state == ST.STATE_SUCCEEDED


@everywhere
async def test_a_preview_shows_what_is_known(tenant: Tenant) -> None:
    group = await base(tenant)
    await applied(tenant, stack(member("m", MACHINES, {"count": 1}), member("a", properties={"n": 1}), scope=group))
    wished = stack(
        member("a", properties={"n": 2, "of": "${members.m.outputs.machines}", "new": "${members.x.outputs.machines}"}),
        member("m", MACHINES, {"count": 1}),
        member("x", MACHINES, {"of": "${members.m.name}"}),
        scope=group,
    )
    steps = await plan(tenant, wished)
    assert [(action(step), step.target.rpartition("/")[2], step.count) for step in steps] == [
        ("KEEP", "m", 1),
        ("CREATE", "x", 1),
        ("UPDATE", "a", 1),
    ]
    changes = {change.field: (from_value(change.before), from_value(change.after)) for change in steps[2].changes}
    assert changes == {
        "properties.n": (1, 2),
        "properties.of": (None, ["m0"]),
        "properties.new": (None, "${members.x.outputs.machines}"),
    }
    assert len(tenant.calls("Apply")) == 1


async def test_a_large_plan_leaves_changes_out(tenant: Tenant) -> None:
    group = await base(tenant)
    wished = stack(*(member(f"m{i}", properties={"x": "y" * 300_000}) for i in range(6)), scope=group)
    steps = await plan(tenant, wished)
    assert [len(step.changes) > 0 for step in steps] == [True, False, False, False, False, False]
    done = await applied(tenant, wished)
    assert set(states(done).values()) == {"SUCCEEDED"}


async def test_permissions_for_members(tenant: Tenant) -> None:
    group = await base(tenant)
    below = f"{group}/providers/{SERVERS}"
    stacks = "resource.stacks.*"
    members = [f"resource.resources.{verb}:{below}/*" for verb in ("create", "update", "delete")]
    wished = stack(member("a"), scope=group)

    async def attempt(*permissions: str) -> None:
        async with connect(tenant.server.address, token=token(tenant.name, *permissions), attempts=1) as s:
            await s.resources.PreviewStack(pb.PreviewStackRequest(stack=wished))

    await attempt(stacks, *members)
    for missing in range(3):
        with pytest.raises(PermissionDenied) as caught:
            await attempt(stacks, *(permission for at, permission in enumerate(members) if at != missing))
        assert caught.value.metadata["permission"] == f"resource.resources.{('create', 'update', 'delete')[missing]}"
    wished.members[0].parent = "subscriptions/other/resourceGroups/hidden"
    with pytest.raises(PermissionDenied):
        await attempt(stacks, *members)
    with pytest.raises(PermissionDenied):
        await attempt(*members)
    wished.members[0].parent = ""
    await applied(tenant, wished)
    poor = token(tenant.name, "resource.stacks.delete")
    async with connect(tenant.server.address, token=poor, attempts=1) as s:
        with pytest.raises(PermissionDenied):
            await s.resources.DeleteStack(pb.DeleteStackRequest(name=NAME))


async def test_members_are_made_with_the_rights_of_who_applied(tenant: Tenant) -> None:
    group = await base(tenant)
    await applied(tenant, stack(member("a", properties={"n": 1}), scope=group))
    async with connect(tenant.server.address, token=token(tenant.name, subject="user:ben"), attempts=1) as s:
        other = Tenant(tenant.name, s, tenant.server)
        done = await applied(other, stack(member("a", properties={"n": 2}), member("b"), scope=group))
    a = await tenant.get(f"{group}/providers/{SERVERS}/a")
    b = await tenant.get(f"{group}/providers/{SERVERS}/b")
    assert (done.creator, done.updater) == ("user:anna", "user:ben")
    assert (a.creator, a.updater, b.creator) == ("user:anna", "user:ben", "user:ben")
