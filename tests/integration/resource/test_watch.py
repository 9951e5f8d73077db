"""Watches: order, filters, resuming, checkpoints, compaction, shutdown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sutler.client import connect
from sutler.errors import Invalid, OutOfRange, Unavailable
from sutler.resource.v1 import resource_pb2 as pb
from sutler.server import running

from services.resource.app import app
from tests.integration.resource.conftest import Server, Tenant, everywhere, settings_for, token, until

K = pb.ResourceChange
SERVERS = "Custom.Org/servers"


class Watch:
    """One watch, and what it has said."""

    def __init__(self, stream: AsyncIterator[pb.WatchResourcesResponse]) -> None:
        self._stream = stream
        self.token = ""

    async def next(self, count: int = 1) -> list[tuple[int, str]]:
        """Returns the next changes: kind and last part of the name."""
        found: list[tuple[int, str]] = []
        async with asyncio.timeout(15):
            while len(found) < count:
                response = await anext(self._stream)
                self.token = response.resume_token
                found += [(change.kind, change.resource.name.rpartition("/")[2]) for change in response.changes]
        return found


@asynccontextmanager
async def watching(tenant: Tenant, **fields: object) -> AsyncIterator[Watch]:
    """Begins a watch; it has begun when the block does."""
    stream = tenant.s.resources.WatchResources(pb.WatchResourcesRequest(**fields))  # type: ignore[arg-type]
    watch = Watch(stream)
    if not fields.get("replay_existing"):
        await watch.next(0) if fields.get("resume_token") else await _begun(stream, watch)
    try:
        yield watch
    finally:
        await stream.aclose()


async def _begun(stream: AsyncIterator[pb.WatchResourcesResponse], watch: Watch) -> None:
    first = await anext(stream)
    assert list(first.changes) == []
    watch.token = first.resume_token


@everywhere
async def test_changes_come_in_order(tenant: Tenant) -> None:
    async with watching(tenant) as watch:
        group = await tenant.group()
        await tenant.update(group, tags={"a": "1"})
        await tenant.delete("subscriptions/shop", force=True)
        assert await watch.next(5) == [
            (K.KIND_CREATED, "shop"),
            (K.KIND_CREATED, "orders"),
            (K.KIND_UPDATED, "orders"),
            (K.KIND_DELETED, "orders"),
            (K.KIND_DELETED, "shop"),
        ]


async def test_part_of_the_tree_and_type(tenant: Tenant) -> None:
    await tenant.type()
    async with (
        watching(tenant, parent="Subscriptions/A/resourceGroups/orders") as below,
        watching(tenant, type="custom.org/servers") as typed,
    ):
        for subscription in ("a", "b"):
            group = await tenant.group(subscription)
            await tenant.create(group, f"s-{subscription}", SERVERS)
        assert await below.next(2) == [(K.KIND_CREATED, "orders"), (K.KIND_CREATED, "s-a")]
        assert await typed.next(2) == [(K.KIND_CREATED, "s-a"), (K.KIND_CREATED, "s-b")]


@everywhere
async def test_management_group(tenant: Tenant) -> None:
    await tenant.create("", "m", "Sutler.Resource/managementGroups")
    async with watching(tenant, parent="managementGroups/m") as watch:
        await tenant.group("other")
        await tenant.create("", "mine", "Sutler.Resource/subscriptions", {"management_group": "managementGroups/m"})
        await tenant.create("subscriptions/mine", "g", "Sutler.Resource/resourceGroups")
        assert await watch.next(2) == [(K.KIND_CREATED, "mine"), (K.KIND_CREATED, "g")]


@everywhere
async def test_management_group_as_of_each_change(tenant: Tenant) -> None:
    """What leaves a group, or goes with its subscription, is told though it belongs to the group no more."""
    for group in ("above", "m", "elsewhere"):
        above = {"management_group": "managementGroups/above"} if group == "m" else {}
        await tenant.create("", group, "Sutler.Resource/managementGroups", above)
    mine = {"management_group": "managementGroups/M"}
    async with (
        watching(tenant, parent="managementGroups/m") as watch,
        watching(tenant, parent="managementGroups/above") as from_above,
    ):
        await tenant.create("", "s", "Sutler.Resource/subscriptions", mine)
        await tenant.create("subscriptions/s", "in", "Sutler.Resource/resourceGroups")
        await tenant.update("subscriptions/s", {"management_group": "managementGroups/elsewhere"})
        await tenant.create("subscriptions/s", "out", "Sutler.Resource/resourceGroups")
        await tenant.update("subscriptions/s", mine)
        await tenant.delete("subscriptions/s/resourceGroups/out")
        await tenant.delete("subscriptions/s", force=True)
        told = [
            (K.KIND_CREATED, "s"),
            (K.KIND_CREATED, "in"),
            (K.KIND_UPDATED, "s"),
            (K.KIND_UPDATED, "s"),
            (K.KIND_DELETED, "out"),
            (K.KIND_DELETED, "in"),
            (K.KIND_DELETED, "s"),
        ]
        assert await watch.next(7) == told
        assert await from_above.next(7) == told


@everywhere
async def test_management_group_as_of_each_change_for_who_is_far_behind(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has happened after the changes of one page does not count for them."""
    for group in ("above", "m", "elsewhere"):
        above = {"management_group": "managementGroups/above"} if group == "m" else {}
        await tenant.create("", group, "Sutler.Resource/managementGroups", above)
    tokens = {}
    for group in ("m", "above", "elsewhere"):
        async with watching(tenant, parent=f"managementGroups/{group}") as watch:
            tokens[group] = watch.token
    await tenant.create("", "s", "Sutler.Resource/subscriptions", {"management_group": "managementGroups/m"})
    for id in ("a", "b", "c"):
        await tenant.create("subscriptions/s", id, "Sutler.Resource/resourceGroups")
    await tenant.update("managementGroups/m", {"management_group": None})
    await tenant.create("subscriptions/s", "d", "Sutler.Resource/resourceGroups")
    await tenant.update("subscriptions/s", {"management_group": "managementGroups/elsewhere"})
    await tenant.create("subscriptions/s", "e", "Sutler.Resource/resourceGroups")
    await tenant.delete("subscriptions/s", force=True)
    await tenant.create("", "end", "Sutler.Resource/subscriptions", {"management_group": "managementGroups/m"})
    await tenant.update("managementGroups/m", {"management_group": "managementGroups/above"})
    await tenant.update("subscriptions/end", {"management_group": "managementGroups/elsewhere"})
    monkeypatch.setattr("sutler.tails.MAX_BATCH", 2)
    created = [(K.KIND_CREATED, id) for id in "sabc"]
    moved, end = (K.KIND_UPDATED, "m"), (K.KIND_UPDATED, "end")
    told = {
        "m": [*created, moved, (K.KIND_CREATED, "d"), (K.KIND_UPDATED, "s"), (K.KIND_CREATED, "end"), moved, end],
        "above": [*created, moved, moved, end],
        "elsewhere": [(K.KIND_UPDATED, "s"), (K.KIND_CREATED, "e"), *((K.KIND_DELETED, id) for id in "abcdes"), end],
    }
    for group, expected in told.items():
        async with watching(tenant, parent=f"managementGroups/{group}", resume_token=tokens[group]) as watch:
            assert sorted(await watch.next(len(expected))) == sorted(expected)


@everywhere
async def test_filters_see_what_enters_and_leaves(tenant: Tenant) -> None:
    async with watching(tenant, filter='tags.env = "prod"') as watch:
        await tenant.create("", "a", "Sutler.Resource/subscriptions")
        await tenant.update("subscriptions/a", tags={"env": "prod"})
        await tenant.update("subscriptions/a", tags={"env": "prod", "more": "1"})
        await tenant.update("subscriptions/a", tags={"env": "test"})
        await tenant.delete("subscriptions/a")
        await tenant.create("", "b", "Sutler.Resource/subscriptions", tags={"env": "prod"})
        await tenant.delete("subscriptions/b")
        assert await watch.next(5) == [
            (K.KIND_UPDATED, "a"),
            (K.KIND_UPDATED, "a"),
            (K.KIND_LEFT, "a"),
            (K.KIND_CREATED, "b"),
            (K.KIND_DELETED, "b"),
        ]


@everywhere
async def test_resuming_misses_nothing(tenant: Tenant) -> None:
    async with watching(tenant) as watch:
        await tenant.create("", "a", "Sutler.Resource/subscriptions")
        assert await watch.next() == [(K.KIND_CREATED, "a")]
    for id in ("b", "c", "d"):
        await tenant.create("", id, "Sutler.Resource/subscriptions")
    async with watching(tenant, resume_token=watch.token) as again:
        assert await again.next(3) == [(K.KIND_CREATED, id) for id in ("b", "c", "d")]


async def test_tokens_are_bound_to_their_watch(tenant: Tenant) -> None:
    async with watching(tenant) as watch:
        pass
    for fields in ({"filter": "revision > 0"}, {"parent": "subscriptions/a"}, {"type": SERVERS}):
        with pytest.raises(Invalid) as caught:
            async with watching(tenant, resume_token=watch.token, **fields) as other:
                await other.next()
        assert caught.value.reason == "RESUME_TOKEN_INVALID"
    with pytest.raises(Invalid):
        async with watching(tenant, resume_token="nonsense") as other:
            await other.next()


@everywhere
async def test_what_exists_comes_first_if_asked_for(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    for id in ("a", "b"):
        await tenant.create(group, id, SERVERS, {"n": id})
    async with watching(tenant, replay_existing=True, parent="subscriptions/shop") as watch:
        assert await watch.next(4) == [(K.KIND_EXISTING, name) for name in ("shop", "orders", "a", "b")]
        early = watch.token
        await tenant.update(group, tags={"x": "1"})
        assert await watch.next() == [(K.KIND_UPDATED, "orders")]
    async with watching(tenant, resume_token=watch.token, parent="subscriptions/shop") as again:
        await tenant.delete(f"{group}/providers/Custom.Org/servers/a")
        assert await again.next() == [(K.KIND_DELETED, "a")]
    async with watching(tenant, replay_existing=True, filter='properties.n = "b"') as some:
        assert await some.next() == [(K.KIND_EXISTING, "b")]
    stream = tenant.s.resources.WatchResources(
        pb.WatchResourcesRequest(resume_token=early, parent="subscriptions/shop")
    )
    later = Watch(stream)
    assert await later.next(2) == [(K.KIND_UPDATED, "orders"), (K.KIND_DELETED, "a")]
    await stream.aclose()
    with pytest.raises(Invalid):
        await Watch(
            tenant.s.resources.WatchResources(pb.WatchResourcesRequest(replay_existing=True, resume_token=early))
        ).next()


@everywhere
async def test_many_changes_arrive_once_and_soon(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    async with watching(tenant) as one, watching(tenant) as two:
        await asyncio.gather(*(tenant.create(group, f"s{i}", SERVERS) for i in range(60)))
        expected = {(K.KIND_CREATED, f"s{i}") for i in range(60)}
        first, second = await asyncio.gather(one.next(60), two.next(60))
        assert first == second and set(first) == expected and len(first) == 60


@asynccontextmanager
async def own_server(server: Server, folder: Path, **changes: object) -> AsyncIterator[str]:
    url = f"sqlite:///{folder}/own.db"
    async with running(app, settings_for(url, server.handler, **changes), "resource") as up:
        yield up.address


async def test_compaction_is_told_with_the_oldest_token(server: Server, tmp_path: Path) -> None:
    kept = {"revision_retention_days": 1e-9, "sweep_seconds": 0.05}
    async with (
        own_server(server, tmp_path, **kept) as address,
        connect(address, token=token("default"), attempts=1) as s,
    ):
        tenant = Tenant("default", s, server)
        async with watching(tenant) as watch:
            pass
        await tenant.create("", "a", "Sutler.Resource/subscriptions")
        for index in range(3):
            await tenant.update("subscriptions/a", tags={"n": str(index)})

        async def compacted() -> bool:
            return len(await tenant.revisions("subscriptions/a")) == 1

        await until(compacted)
        with pytest.raises(OutOfRange) as caught:
            async with watching(tenant, resume_token=watch.token) as late:
                await late.next()
        assert caught.value.reason == "RESUME_TOKEN_EXPIRED"
        async with watching(tenant, resume_token=caught.value.metadata["oldest"]) as again:
            assert await again.next() == [(K.KIND_UPDATED, "a")]
        (kept_revision,) = await tenant.revisions("subscriptions/a")
        assert dict(kept_revision.after.tags) == {"n": "2"}


async def test_shutdown_ends_watches_at_once_with_a_status(server: Server, tmp_path: Path) -> None:
    responses: list[pb.WatchResourcesResponse] = []

    async def follow(address: str) -> None:
        async with connect(address, token=token("default"), attempts=1) as s:
            async for response in s.resources.WatchResources(pb.WatchResourcesRequest()):
                responses.append(response)

    async with own_server(server, tmp_path, drain_seconds=60) as address:
        following = asyncio.create_task(follow(address))

        async def begun() -> bool:
            return bool(responses)

        await until(begun)
    with pytest.raises(Unavailable) as caught:
        await following
    assert caught.value.reason == "SHUTTING_DOWN"
    assert responses[-1].status.code == 14
