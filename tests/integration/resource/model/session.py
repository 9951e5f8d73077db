"""One run of the model beside the service: makes the same change in both, and compares what can be seen."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from google.longrunning.operations_pb2 import (
    CancelOperationRequest,
    GetOperationRequest,
    Operation,
    WaitOperationRequest,
)
from google.protobuf.duration_pb2 import Duration
from sutler.client import connect
from sutler.errors import SutlerError
from sutler.resource.v1 import resource_pb2 as pb

from tests.integration.resource.chains import follow, history
from tests.integration.resource.conftest import Server, Tenant, token
from tests.integration.resource.model import Model, Refusal, Work, driver, lives
from tests.integration.resource.model.things import Wish, key

SECONDS = 10.0
KINDS = ("KIND_CREATED", "KIND_UPDATED", "KIND_DELETED")
CALLS = {"apply": "Apply", "delete": "Delete", "invoke": "InvokeAction"}


def _shown(found: Mapping[str, pb.Resource]) -> dict[str, Any]:
    return {name: driver.shown(resource) for name, resource in found.items()}


class Session:
    """A tenant of the service, and the model of it.

    Attributes:
        model: What must be.
        seen: What was seen last, by key.
        works: The operations so far.
        sent: Changes that were answered, with their answers.
    """

    def __init__(self, server: Server) -> None:
        self.model = Model()
        self.seen: dict[str, pb.Resource] = {}
        self.works: list[Work] = []
        self.sent: list[tuple[str, Any, Any]] = []
        self.sound = True
        self._server = server
        self._stack = AsyncExitStack()
        self._told: list[pb.ResourceChange] = []
        self._requests = 0

    async def open(self) -> None:
        """Begins, as a new tenant that watches itself."""
        name = f"m{uuid.uuid4().hex}"
        s = await self._stack.enter_async_context(connect(self._server.address, token=token(name), attempts=1))
        self._tenant = Tenant(name, s, self._server)
        self._api = s.resources
        watch = self._api.WatchResources(pb.WatchResourcesRequest())
        await anext(aiter(watch))
        self._watcher = asyncio.create_task(self._follow(watch))

    async def _follow(self, watch: Any) -> None:
        async for response in watch:
            self._told += response.changes

    @property
    def handler(self) -> str:
        """The address of the handler."""
        return self._server.handler

    def request_id(self) -> str:
        """A new request id."""
        self._requests += 1
        return str(uuid.UUID(int=self._requests, version=4))

    async def change(self, method: str, request: Any, predict: Callable[[], Work | None]) -> None:
        """Makes a change in the model and in the service, and compares answers and all that can be seen."""
        self.sound = False
        work, expected = None, ""
        try:
            work = predict()
        except Refusal as refusal:
            expected = refusal.reason
        answer, reason = await self._call(method, request)
        assert reason == expected, f"{method} is {reason or 'accepted'}, not {expected or 'accepted'}: {request}"
        if not reason:
            await self._answered(method, request, answer, work)
        await self.settle()
        self.sound = True

    async def _answered(self, method: str, request: Any, answer: Any, work: Work | None) -> None:
        if getattr(request, "validate_only", False):
            assert not isinstance(answer, Operation) or (answer.done and not answer.name)
            return
        if getattr(request, "request_id", ""):
            self.sent.append((method, request, answer))
        if work is None or not isinstance(answer, Operation):
            return
        work.name = answer.name
        self.works.append(work)
        if work.ended:
            await self._ends(work)
        else:
            await self._hangs(work)

    async def _call(self, method: str, request: Any) -> tuple[Any, str]:
        try:
            return await getattr(self._api, method)(request), ""
        except SutlerError as error:
            return None, error.reason

    async def _ends(self, work: Work) -> None:
        """Waits until an operation has ended, and compares how."""
        wait = WaitOperationRequest(name=work.name, timeout=Duration(seconds=int(SECONDS)))
        operation = await self._api.WaitOperation(wait)
        assert operation.done
        assert driver.ended_with(operation) == work.error

    async def _hangs(self, work: Work) -> None:
        """Waits until the handler is at work on all that hangs."""
        names = work.hands or [key(work.target)]

        def called() -> bool:
            found = {
                key((r.desired if work.verb == "apply" else r.resource).name)
                for r in self._tenant.calls(CALLS[work.verb])
                if r.context.operation == work.name
            }
            return found >= set(names)

        async with asyncio.timeout(SECONDS):
            while not called():  # noqa: ASYNC110 - the handler is asked, which tells nobody
                await asyncio.sleep(0.005)

    async def settle(self) -> None:
        """Waits until what can be seen is what the model says, and checks what changed on the way."""
        self.model.expire()
        expected = {name: lives.shown(thing) for name, thing in self.model.things.items()}
        now = await self._all()
        ends = time.monotonic() + SECONDS
        while _shown(now) != expected and time.monotonic() < ends:
            await asyncio.sleep(0.005)
            now = await self._all()
        assert _shown(now) == expected
        for name, resource in now.items():
            before, thing = self.seen.get(name), self.model.things[name]
            assert resource.name == thing.name
            assert resource.operation == (thing.work.name if thing.work else "")
            if before is not None and before.uid == resource.uid:
                assert resource.revision > before.revision or resource == before
                assert (resource.etag == before.etag) == (resource == before)
        self.seen = now

    async def _all(self) -> dict[str, pb.Resource]:
        found = await self._list("", recursive=True)
        return {key(resource.name): resource for resource in found}

    async def _list(self, parent: str, *, recursive: bool) -> list[pb.Resource]:
        request = pb.ListResourcesRequest(parent=parent, recursive=recursive, page_size=1000)
        return list((await self._api.ListResources(request)).resources)

    async def end(self, work: Work, method: str) -> None:
        """Cancels or abandons an operation in both."""
        was_open, predict = not work.ended, getattr(self.model, method)
        request = (
            pb.AbandonOperationRequest(name=work.name, request_id=self.request_id())
            if method == "abandon"
            else CancelOperationRequest(name=work.name)
        )
        await self.change(f"{method.title()}Operation", request, lambda: predict(work))
        if was_open:
            await self._ends(work)
        operation = await self._api.GetOperation(GetOperationRequest(name=work.name))
        assert (operation.done, driver.ended_with(operation)) == (work.ended, work.error)

    async def repeat(self, method: str, request: Any, answer: Any) -> None:
        """The same request gets the first answer, and another one with its id is refused."""
        self.sound = False
        assert await self._call(method, request) == (answer, "")
        assert (await self._call(method, driver.altered(request)))[1] == "REQUEST_ID_REUSED"
        await self.settle()
        self.sound = True

    async def inspect(self) -> None:
        """Compares lists at every level, single reads, and types."""
        for name, resource in self.seen.items():
            assert await self._api.GetResource(pb.GetResourceRequest(name=name)) == resource
            level = await self._list(name, recursive=False)
            assert {key(r.name) for r in level} == {key(t.name) for t in self.model.level(name)}
            deep = await self._list(name, recursive=True)
            assert {key(r.name) for r in deep} == {key(t.name) for t in self.model.within(name)}
        types = await self._api.ListResourceTypes(pb.ListResourceTypesRequest(page_size=1000))
        found = {key(t.type): driver.kind_shown(t) for t in types.resource_types}
        for name, kind in self.model.kinds.items():
            assert kind.builtin or found[name] == driver.kind_shown(driver.resource_type(kind, self.handler))
        assert {name for name in found if not name.startswith("sutler.")} == {
            name for name, kind in self.model.kinds.items() if not kind.builtin
        }

    async def _history(self) -> None:
        """The watch has told every revision once and in order; together they make what is there now."""
        revisions = await history(self._api)
        async with asyncio.timeout(SECONDS):
            while len(self._told) < len(revisions):  # noqa: ASYNC110 - filled by another task
                await asyncio.sleep(0.005)
        assert follow(revisions) == self.seen
        assert [c.revision for c in self._told] == [r.revision for r in revisions]
        created, updated, deleted = map(pb.ResourceChange.Kind.Value, KINDS)
        for revision, change in zip(revisions, self._told, strict=True):
            gone, new = not revision.HasField("after"), not revision.HasField("before")
            assert change.resource == (revision.before if gone else revision.after)
            assert change.kind == (deleted if gone else created if new else updated)

    async def close(self) -> None:
        """Ends what hangs, compares all once more if nothing was wrong before, and leaves."""
        try:
            if self.sound:
                await self.inspect()
                for work in [work for work in self.works if not work.ended]:
                    await self.end(work, "abandon")
                await self._history()
        finally:
            await self._tidy()
            self._tenant.machines.let_go()
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            await self._stack.aclose()

    async def _tidy(self) -> None:
        """Lifts all locks and takes back all times to expire, so that nothing keeps the service busy after the run."""
        for _ in range(2):
            for name in sorted(self.seen):
                await self._call("UpdateResource", driver.update(name, Wish(lock="NONE"), ("lock",)))
        for name in self.seen:
            await self._call("UpdateResource", driver.update(name, Wish(), ("expires",)))
