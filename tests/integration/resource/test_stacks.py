"""Stacks: members are made, changed and removed together, in the order in which they need another."""

import asyncio
import time

import pytest
from google.longrunning.operations_pb2 import Operation
from sutler.errors import FailedPrecondition, NotFound
from sutler.resource.v1 import resource_pb2 as pb
from sutler.status import from_status
from sutler.wire import from_struct

from tests.integration.resource.conftest import Tenant, everywhere, until
from tests.integration.resource.stacking import (
    MACHINES,
    NAME,
    SERVERS,
    ST,
    applied,
    became,
    begin,
    ended,
    get,
    member,
    preview,
    stack,
    states,
)

GROUPS = "Sutler.Resource/resourceGroups"
RECORDS = 100


@pytest.fixture(autouse=True)
def _held(server) -> None:  # type: ignore[no-untyped-def]
    server.machines.release.clear()


async def base(tenant: Tenant) -> str:
    """Makes a resource group and both types."""
    group = await tenant.group()
    await tenant.type()
    await tenant.machine_type()
    return group


def name(group: str, id: str, type: str = SERVERS) -> str:
    return f"{group}/providers/{type}/{id}"


async def exists(tenant: Tenant, resource: str) -> bool:
    try:
        await tenant.get(resource)
    except NotFound:
        return False
    return True


async def delete(tenant: Tenant, **fields: object) -> Operation:
    return await tenant.s.resources.DeleteStack(pb.DeleteStackRequest(name=NAME, **fields))  # type: ignore[arg-type]


@everywhere
async def test_the_whole_way(tenant: Tenant) -> None:
    group = await base(tenant)
    wished = stack(
        member("site", properties={"of": "${members.net.name}", "machines": "${members.net.outputs.machines}"}),
        member("net", MACHINES, {"count": "${parameters.count}"}, tags={"team": "t-${parameters.team}"}),
        scope=group,
        parameters={"count": 2, "team": 7},
        output_values={"first": "${members.net.outputs.machines.0}", "text": "$${x} of ${members.site.name}"},
    )
    made = await applied(tenant, wished)
    names = {"net": name(group, "net", MACHINES), "site": name(group, "site")}
    assert (made.state, made.operation, made.HasField("error")) == (ST.STATE_SUCCEEDED, "", False)
    assert states(made) == {"site": "SUCCEEDED", "net": "SUCCEEDED"}
    assert {s.member: s.resource for s in made.member_states} == names
    assert from_struct(made.outputs) == {"first": "m0", "text": f"${{x}} of {names['site']}"}
    assert made == await get(tenant)
    site, net = await tenant.get(names["site"]), await tenant.get(names["net"])
    assert from_struct(site.properties) == {"of": names["net"], "machines": ["m0", "m1"]}
    assert (from_struct(net.properties), dict(net.tags)) == ({"count": 2}, {"team": "t-7"})
    assert (site.stack, net.stack) == (NAME, NAME)
    assert (site.creator, made.creator, made.updater) == ("user:anna", "user:anna", "user:anna")
    log = await tenant.revisions(names["net"])
    created = [(entry.cause, entry.origin, entry.method) for entry in log if entry.kind == entry.KIND_CREATED]
    assert created == [(pb.ResourceRevision.CAUSE_STACK, NAME, "ApplyStack")]
    found = await tenant.s.resources.ListResources(pb.ListResourcesRequest(recursive=True, filter=f'stack = "{NAME}"'))
    assert sorted(r.name for r in found.resources) == sorted(names.values())
    await tenant.s.wait(await delete(tenant))
    with pytest.raises(NotFound):
        await get(tenant)
    assert [await exists(tenant, each) for each in names.values()] == [False, False]
    (last, *_) = await tenant.revisions(names["net"])
    assert (last.kind, last.cause, last.origin) == (
        pb.ResourceRevision.KIND_DELETED,
        pb.ResourceRevision.CAUSE_STACK,
        NAME,
    )


@everywhere
async def test_a_later_run_creates_changes_and_removes(tenant: Tenant) -> None:
    group = await base(tenant)
    first = stack(
        member("a", properties={"size": 1, "net": {"cidr": "x", "dns": "y"}}, tags={"t": "1", "u": "2"}),
        member("b", properties={"of": "${members.a.name}"}),
        member("c", properties={"of": "${members.b.name}"}),
        scope=group,
    )
    await applied(tenant, first)
    await tenant.update(name(group, "a"), {"by": "hand", "net": {"mtu": 9000}}, tags={"t": "1", "u": "2", "hand": "3"})
    second = stack(
        member("a", properties={"size": 2, "net": {"cidr": "x"}}, tags={"t": "1"}),
        member("d", properties={"of": "${members.a.name}"}),
        scope=group,
    )
    assert await preview(tenant, second) == [("UPDATE", "a"), ("CREATE", "d"), ("DELETE", "c"), ("DELETE", "b")]
    done = await applied(tenant, second)
    assert states(done) == {"a": "SUCCEEDED", "d": "SUCCEEDED"}
    a = await tenant.get(name(group, "a"))
    assert from_struct(a.properties) == {"size": 2, "net": {"cidr": "x", "mtu": 9000}, "by": "hand"}
    assert dict(a.tags) == {"t": "1", "hand": "3"}
    gone = [(await tenant.revisions(name(group, id)))[0] for id in ("c", "b")]
    assert gone[0].revision < gone[1].revision
    assert [await exists(tenant, name(group, id)) for id in "abcd"] == [True, False, False, True]


@everywhere
async def test_a_repeat_keeps_everything(tenant: Tenant) -> None:
    group = await base(tenant)
    wished = stack(
        member("m", MACHINES, {"count": 1}),
        member("r", properties={"of": "${members.m.outputs.machines}"}),
        scope=group,
        output_values={"m": "${members.m.outputs.machines}"},
    )
    first = await applied(tenant, wished)
    newest = [(await tenant.get(name(group, id, type))).revision for id, type in (("m", MACHINES), ("r", SERVERS))]
    assert await preview(tenant, wished) == [("KEEP", "m"), ("KEEP", "r")]
    second = await applied(tenant, wished)
    assert [state.action for state in second.member_states] == [4, 4]
    assert second.outputs == first.outputs and second.etag != first.etag
    now = [(await tenant.get(name(group, id, type))).revision for id, type in (("m", MACHINES), ("r", SERVERS))]
    assert now == newest
    assert len(tenant.calls("Apply")) == 1


async def test_a_member_that_somebody_deleted_is_made_again(tenant: Tenant) -> None:
    group = await base(tenant)
    wished = stack(member("a", properties={"x": 1}), scope=group)
    await applied(tenant, wished)
    before = await tenant.get(name(group, "a"))
    await tenant.delete(before.name)
    await applied(tenant, wished)
    after = await tenant.get(before.name)
    assert after.uid != before.uid and after.stack == NAME


async def test_another_name_is_another_resource(tenant: Tenant) -> None:
    group = await base(tenant)
    await applied(tenant, stack(member("a", resource_id="x"), scope=group))
    wished = stack(member("a", resource_id="y-${parameters.n}"), scope=group, parameters={"n": 1})
    assert await preview(tenant, wished) == [("CREATE", "y-1"), ("DELETE", "x")]
    done = await applied(tenant, wished)
    assert [state.resource for state in done.member_states] == [name(group, "y-1")]
    assert [await exists(tenant, name(group, id)) for id in ("x", "y-1")] == [False, True]


async def test_another_id_for_the_same_resource_keeps_it(tenant: Tenant) -> None:
    group = await base(tenant)
    await applied(tenant, stack(member("a", resource_id="x", properties={"k": 1}), scope=group))
    before = await tenant.get(name(group, "x"))
    done = await applied(tenant, stack(member("b", resource_id="X", properties={"l": 2}), scope=group))
    after = await tenant.get(name(group, "x"))
    assert states(done) == {"b": "SUCCEEDED"} and after.uid == before.uid
    assert from_struct(after.properties) == {"l": 2}


@everywhere
async def test_what_exists_already_joins_the_stack(tenant: Tenant) -> None:
    group = await base(tenant)
    there = await tenant.made(group, "a", SERVERS, {"x": 1})
    other = await tenant.made(group, "b", SERVERS, {"x": 1})
    done = await applied(tenant, stack(member("a", properties={"x": 1}), member("b", properties={"x": 2}), scope=group))
    assert [state.action for state in done.member_states] == [4, 2]
    a, b = await tenant.get(there.name), await tenant.get(other.name)
    assert (a.stack, b.stack) == (NAME, NAME)
    assert (a.generation, b.generation) == (1, 2)
    (joined, *_) = await tenant.revisions(a.name)
    assert (joined.kind, joined.cause, joined.before.stack) == (
        pb.ResourceRevision.KIND_PROGRESSED,
        pb.ResourceRevision.CAUSE_STACK,
        "",
    )


@everywhere
async def test_members_marked_keep_stay(tenant: Tenant) -> None:
    group = await base(tenant)
    kept, gone = member("kept", keep=True), member("gone")
    await applied(tenant, stack(kept, gone, member("other", keep=True), scope=group))
    wished = stack(member("other", keep=True), scope=group)
    assert sorted(await preview(tenant, wished)) == [("DELETE", "gone"), ("KEEP", "kept"), ("KEEP", "other")]
    done = await applied(tenant, wished)
    assert states(done) == {"other": "SUCCEEDED"}
    assert (await tenant.get(name(group, "kept"))).stack == ""
    assert not await exists(tenant, name(group, "gone"))
    await tenant.s.wait(await delete(tenant))
    assert (await tenant.get(name(group, "other"))).stack == ""
    await applied(tenant, stack(kept, name="stacks/new", scope=group))
    assert (await tenant.get(name(group, "kept"))).stack == "stacks/new"


async def test_members_below_members(tenant: Tenant) -> None:
    """Parents come first however they are named, and go last."""
    await base(tenant)
    wished = stack(
        member("by-name", parent="subscriptions/shop/resourceGroups/G"),
        member("by-reference", parent="${members.g.name}"),
        member("g", GROUPS),
        scope="subscriptions/shop",
    )
    done = await applied(tenant, wished)
    group = "subscriptions/shop/resourceGroups/g"
    assert [state.resource for state in done.member_states] == [
        name(group, "by-name"),
        name(group, "by-reference"),
        group,
    ]
    await tenant.s.wait(await delete(tenant))
    assert not await exists(tenant, group)


async def test_members_that_name_each_other_as_resources_do(tenant: Tenant) -> None:
    group = await base(tenant)
    done = await applied(
        tenant,
        stack(
            member("a", parent=group, references=[name(group, "b")], location="locations/here"),
            member("b", parent=group, dependencies=["l"]),
            member("l", "Sutler.Resource/locations", resource_id="here"),
        ),
    )
    assert set(states(done).values()) == {"SUCCEEDED"}
    a = await tenant.get(name(group, "a"))
    assert (list(a.references), a.location) == ([name(group, "b")], "locations/here")
    await tenant.s.wait(await delete(tenant))


@everywhere
async def test_independent_members_are_worked_on_at_once(tenant: Tenant) -> None:
    """All hang until they are let go, and all are called before that: so none waits for another."""
    group = await base(tenant)
    ids = [f"m{index}" for index in range(6)]
    wished = stack(
        *(member(id, MACHINES, {"behave": "hang"}) for id in ids),
        member("last", properties={f"p{id}": f"${{members.{id}.outputs.machines}}" for id in ids}),
        scope=group,
    )
    operation = await begin(tenant, wished)

    async def all_called() -> bool:
        return {r.desired.name.rpartition("/")[2] for r in tenant.calls("Apply")} == set(ids)

    await until(all_called)
    for id in ids:
        await became(tenant, id, "RUNNING")
    assert states(await get(tenant))["last"] == "WAITING"
    assert not await exists(tenant, name(group, "last"))
    tenant.machines.release.set()
    await tenant.s.wait(operation)
    assert await exists(tenant, name(group, "last"))


async def test_more_runs_than_places(tenant: Tenant) -> None:
    """Runs that wait for members take no places away from them: far more runs than places, and all come to an end."""
    group = await base(tenant)
    chain = [member("a", MACHINES, {"seconds": 0.2}), member("b", MACHINES, {"after": "${members.a.name}"})]
    operations = [
        await begin(
            tenant,
            stack(
                *(
                    pb.StackMember(id=m.id, type=m.type, properties=m.properties, resource_id=f"{m.id}{i}")
                    for m in chain
                ),
                name=f"stacks/s{i}",
                scope=group,
            ),
        )
        for i in range(80)
    ]
    done = await asyncio.gather(*(ended(tenant, operation) for operation in operations))
    assert [operation.HasField("response") for operation in done] == [True] * 80


async def test_a_hundred_records(tenant: Tenant) -> None:
    group = await base(tenant)
    chained = [
        member(f"r{i}", properties={"of": f"${{members.r{i - 1}.name}}"} if i % 10 else {"n": i})
        for i in range(RECORDS)
    ]
    begun = time.perf_counter()
    done = await applied(tenant, stack(*chained, scope=group))
    took = time.perf_counter() - begun
    assert len(done.member_states) == RECORDS and set(states(done).values()) == {"SUCCEEDED"}
    assert took < 5, f"{took:.2f} s"  # 1.5 s on a quiet machine
    found = await tenant.s.resources.ListResources(pb.ListResourcesRequest(parent=group, page_size=1000))
    assert len(found.resources) == RECORDS
    begun = time.perf_counter()
    await tenant.s.wait(await delete(tenant))
    assert time.perf_counter() - begun < 5


@everywhere
async def test_runs_pass_the_locks_that_they_set(tenant: Tenant) -> None:
    await base(tenant)
    read_only = pb.Resource.LOCK_READ_ONLY
    group = member("g", GROUPS, lock=read_only)
    server = member("s", parent="${members.g.name}", properties={"size": 1}, lock=read_only)
    await applied(tenant, stack(group, server, scope="subscriptions/shop"))
    made = await tenant.get("subscriptions/shop/resourceGroups/g")
    assert made.lock == read_only
    server.properties["size"] = 2
    await applied(tenant, stack(group, server, scope="subscriptions/shop"))
    assert from_struct((await tenant.get(name(made.name, "s"))).properties) == {"size": 2}
    await applied(tenant, stack(group, scope="subscriptions/shop"))
    assert not await exists(tenant, name(made.name, "s"))
    await applied(tenant, stack(member("g", GROUPS), scope="subscriptions/shop"))
    assert (await tenant.get(made.name)).lock == pb.Resource.LOCK_UNSPECIFIED
    await applied(tenant, stack(group, scope="subscriptions/shop"))
    await tenant.s.wait(await delete(tenant))
    assert not await exists(tenant, made.name)


@everywhere
@pytest.mark.parametrize("own", ["LOCK_NONE", "LOCK_CAN_NOT_DELETE"])
async def test_locks_that_others_set_on_members_count(tenant: Tenant, own: str) -> None:
    group = await base(tenant)
    locked = name(group, "a")

    async def is_refused(operation: Operation) -> None:
        found = await ended(tenant, operation)
        assert from_status(found.error).metadata["cause"] == "LOCKED"
        assert (await tenant.get(locked)).lock == pb.Resource.LOCK_READ_ONLY

    def wished(**fields: object) -> pb.Stack:
        return stack(member("a", **fields), scope=group)  # type: ignore[arg-type]

    await applied(tenant, wished(lock=own))
    await tenant.s.wait(await tenant.update(locked, lock=pb.Resource.LOCK_READ_ONLY))
    with pytest.raises(FailedPrecondition) as caught:
        await begin(tenant, wished(lock=own, tags={"x": "y"}))
    assert (caught.value.reason, caught.value.metadata["holder"]) == ("LOCKED", locked)
    assert await preview(tenant, wished(lock=own)) == [("KEEP", "a")]
    await applied(tenant, wished(lock=own))
    await applied(tenant, wished())
    await is_refused(await delete(tenant))
    await is_refused(await begin(tenant, stack(scope=group)))
    await tenant.s.wait(await tenant.update(locked, lock=pb.Resource.LOCK_NONE))
    await applied(tenant, wished(lock=own, tags={"x": "y"}))
    assert (await tenant.get(locked)).lock == pb.Resource.Lock.Value(own)
    await tenant.s.wait(await delete(tenant))
    assert not await exists(tenant, locked)


@everywhere
async def test_the_lock_of_another_resource_of_the_same_name_counts(tenant: Tenant) -> None:
    group = await base(tenant)
    read_only = pb.Resource.LOCK_READ_ONLY
    a = name(group, "a")
    below = member("b", "Custom.Org/servers/disks", parent=a)
    await tenant.type("Custom.Org.servers.disks")
    await applied(tenant, stack(member("a", lock=read_only), below, scope=group))
    await tenant.s.wait(await tenant.update(a, lock=pb.Resource.LOCK_NONE))
    await tenant.s.wait(await tenant.delete(a, force=True))
    await tenant.made(group, "a", SERVERS, lock=read_only)
    same = member("a", lock=read_only)
    for wished in ([member("a", tags={"x": "y"})], [member("a", lock=read_only, tags={"x": "y"})], [same, below]):
        with pytest.raises(FailedPrecondition) as caught:
            await begin(tenant, stack(*wished, scope=group))
        assert (caught.value.reason, caught.value.metadata["holder"]) == ("LOCKED", a)
    await applied(tenant, stack(same, scope=group))
    failed = await ended(tenant, await delete(tenant))
    assert from_status(failed.error).metadata["cause"] == "LOCKED"
    assert (await tenant.get(a)).lock == read_only


async def test_an_empty_stack(tenant: Tenant) -> None:
    assert (await begin(tenant, stack())).metadata.ByteSize()
    await until(lambda: _is(tenant, ST.STATE_SUCCEEDED))
    operation = await delete(tenant)
    assert operation.done and operation.HasField("response")
    assert (await delete(tenant, allow_missing=True)).done
    with pytest.raises(NotFound):
        await delete(tenant)


async def _is(tenant: Tenant, state: int) -> bool:
    return (await get(tenant)).state == state
