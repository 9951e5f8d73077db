"""What can be seen of a tenant through the service, and whether all ways of looking at it agree."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from google.longrunning.operations_pb2 import ListOperationsRequest
from sutler.resource.v1 import resource_pb2 as pb

from tests.integration.resource.chains import follow, history, steady
from tests.integration.resource.model import Model, driver
from tests.integration.resource.model.things import key

SECONDS = 10.0
KINDS = ("KIND_CREATED", "KIND_UPDATED", "KIND_DELETED")


class Sight:
    """Looks at one tenant, and watches it.

    Args:
        api: The service, as the tenant.
    """

    def __init__(self, api: Any) -> None:
        self._api = api
        self._told: list[pb.ResourceChange] = []

    async def begin(self) -> None:
        """Begins to watch."""
        watch = self._api.WatchResources(pb.WatchResourcesRequest())
        await anext(aiter(watch))
        self._watcher = asyncio.create_task(self._follow(watch))

    async def end(self) -> None:
        """Ends to watch."""
        self._watcher.cancel()
        await asyncio.gather(self._watcher, return_exceptions=True)

    async def _follow(self, watch: Any) -> None:
        async for response in watch:
            self._told += response.changes

    async def resources(self) -> dict[str, pb.Resource]:
        """All resources, by key."""
        return {key(resource.name): resource for resource in await self._list("", recursive=True)}

    async def stacks(self) -> dict[str, pb.Stack]:
        """All stacks, by key."""
        found = await self._api.ListStacks(pb.ListStacksRequest(page_size=1000))
        return {key(stack.name): stack for stack in found.stacks}

    async def _list(self, parent: str, *, recursive: bool) -> list[pb.Resource]:
        request = pb.ListResourcesRequest(parent=parent, recursive=recursive, page_size=1000)
        return list((await self._api.ListResources(request)).resources)

    async def compare(self, model: Model, seen: Mapping[str, pb.Resource], handler: str) -> None:
        """Compares lists at every level, single reads, open operations, and types."""
        for name, resource in seen.items():
            assert await self._api.GetResource(pb.GetResourceRequest(name=name)) == resource
            level = await self._list(name, recursive=False)
            assert {key(r.name) for r in level} == {key(t.name) for t in model.level(name)}
            deep = await self._list(name, recursive=True)
            assert {key(r.name) for r in deep} == {key(t.name) for t in model.within(name)}
        for name, stack in (await self.stacks()).items():
            assert await self._api.GetStack(pb.GetStackRequest(name=name)) == stack
        open_works = await self._api.ListOperations(ListOperationsRequest(filter="done = false", page_size=1000))
        assert {found.name for found in open_works.operations} == {w.name for w in model.works if not w.ended}
        types = await self._api.ListResourceTypes(pb.ListResourceTypesRequest(page_size=1000))
        found = {key(t.type): driver.kind_shown(t) for t in types.resource_types}
        own = {name: kind for name, kind in model.kinds.items() if not kind.builtin}
        for name, kind in own.items():
            assert found[name] == driver.kind_shown(driver.resource_type(kind, handler))
        assert {name for name in found if not name.startswith("sutler.")} == set(own)

    async def compare_history(self, seen: Mapping[str, pb.Resource]) -> None:
        """The watch has told every revision once and in order; together they make what is there now."""
        revisions = await history(self._api)
        async with asyncio.timeout(SECONDS):
            while len(self._told) < len(revisions):  # noqa: ASYNC110 - filled by another task
                await asyncio.sleep(0.005)
        assert _steady(follow(revisions)) == _steady(seen)
        assert [c.revision for c in self._told] == [r.revision for r in revisions]
        created, updated, deleted = map(pb.ResourceChange.Kind.Value, KINDS)
        for revision, change in zip(revisions, self._told, strict=True):
            gone, new = not revision.HasField("after"), not revision.HasField("before")
            assert change.resource == (revision.before if gone else revision.after)
            assert change.kind == (deleted if gone else created if new else updated)


def _steady(found: Mapping[str, pb.Resource]) -> dict[str, pb.Resource]:
    return {name: steady(resource) for name, resource in found.items()}
