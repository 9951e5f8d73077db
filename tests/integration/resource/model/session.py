"""One run of the model beside the service: makes the same change in both, and compares what can be seen."""

from __future__ import annotations

import asyncio
import copy
import time
import uuid
from collections import Counter
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
from google.protobuf.timestamp_pb2 import Timestamp
from sutler.client import connect
from sutler.errors import SutlerError
from sutler.resource.v1 import resource_pb2 as pb

from tests.integration.resource.chains import steady
from tests.integration.resource.conftest import Server, Tenant, token
from tests.integration.resource.model import Model, Refusal, Unclear, Work, driver, lives
from tests.integration.resource.model.sight import SECONDS, Sight
from tests.integration.resource.model.things import POLICIES, Wish, key

UNCLEAR = "UNCLEAR"
CALLS = {"apply": "Apply", "delete": "Delete", "invoke": "InvokeAction"}


def _shown(found: Mapping[str, pb.Resource]) -> dict[str, Any]:
    return {name: driver.shown(resource) for name, resource in found.items()}


class Session:
    """A tenant of the service, and the model of it.

    Attributes:
        model: What must be.
        seen: What was seen last, by key.
        stacks: The stacks that were seen last, by key.
        sent: Changes that were answered, with their answers.
        ends: How often an operation of each kind ended with each reason; empty for success.
    """

    def __init__(self, server: Server) -> None:
        self.model = Model()
        self.seen: dict[str, pb.Resource] = {}
        self.stacks: dict[str, pb.Stack] = {}
        self.sent: list[tuple[str, Any, Any]] = []
        self.ends: Counter[tuple[str, str]] = Counter()
        self.sound = True
        self._server = server
        self._stack = AsyncExitStack()
        self._requests = 0

    async def open(self) -> None:
        """Begins, as a new tenant that watches itself."""
        name = f"m{uuid.uuid4().hex}"
        s = await self._stack.enter_async_context(connect(self._server.address, token=token(name), attempts=1))
        self._tenant = Tenant(name, s, self._server)
        self._api = s.resources
        self._sight = Sight(self._api)
        await self._sight.begin()

    @property
    def open_works(self) -> list[Work]:
        """The operations that are under way."""
        return [work for work in self.model.works if not work.ended]

    @property
    def handler(self) -> str:
        """The address of the handler."""
        return self._server.handler

    def request_id(self) -> str:
        """A new request id."""
        self._requests += 1
        return str(uuid.UUID(int=self._requests, version=4))

    def soon(self, name: str) -> Timestamp:
        """The time at which a resource is to be gone: the one that it has, or one that will have come in a moment."""
        seen, soon = self.seen.get(key(name)), Timestamp()
        if seen is not None and seen.HasField("expire_time") and seen.expire_time.seconds != driver.FUTURE:
            return seen.expire_time
        soon.FromMilliseconds(int(time.time() * 1000) + 300)
        return soon

    async def change(self, method: str, request: Any, predict: Callable[[Model], Work | None]) -> str:
        """Makes a change in the model and in the service, and compares answers and all that can be seen.

        Returns:
            The reason of the refusal; empty if the change was made; ``UNCLEAR`` if the model cannot tell.
        """
        trial = copy.deepcopy(self.model)
        work, expected = None, ""
        try:
            work = predict(trial)
            trial.expire()
        except Refusal as refusal:
            expected, trial = refusal.reason, self.model
        except Unclear:
            return UNCLEAR
        self.sound = False
        answer, reason = await self._call(method, request)
        assert reason == expected, f"{method} is {reason or 'accepted'}, not {expected or 'accepted'}: {request}"
        self.model = trial
        if not reason:
            self._answered(method, request, answer, work)
        await self.settle()
        await self._follow_works()
        self.sound = True
        return reason

    def _answered(self, method: str, request: Any, answer: Any, work: Work | None) -> None:
        if getattr(request, "validate_only", False):
            assert not isinstance(answer, Operation) or (answer.done and not answer.name)
            return
        if getattr(request, "request_id", ""):
            self.sent.append((method, request, answer))
        if work is not None and isinstance(answer, Operation):
            work.name = answer.name
            self.model.works.append(work)

    async def _call(self, method: str, request: Any) -> tuple[Any, str]:
        try:
            return await getattr(self._api, method)(request), ""
        except SutlerError as error:
            return None, error.reason

    async def _follow_works(self) -> None:
        """Compares how operations have ended, and waits until the handler is at work on those that hang."""
        for work in self.model.works:
            if work.told or not work.name:
                continue
            if work.ended:
                wait = WaitOperationRequest(name=work.name, timeout=Duration(seconds=int(SECONDS)))
                operation = await self._api.WaitOperation(wait)
                assert (operation.done, driver.ended_with(operation)) == (True, work.error)
                work.told = True
                self.ends[work.verb, work.error] += 1
            elif work.verb in CALLS:
                await self._hangs(work)

    async def _hangs(self, work: Work) -> None:
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
        model = self.model
        expected = {name: lives.shown(model, thing) for name, thing in model.things.items()}
        stacks = {name: stack.shown(model) for name, stack in model.stacks.items()}
        now, stacked = await self._sight.resources(), await self._stacks()
        ends = time.monotonic() + SECONDS
        while (_shown(now), stacked) != (expected, stacks) and time.monotonic() < ends:
            await asyncio.sleep(0.005)
            now, stacked = await self._sight.resources(), await self._stacks()
        assert _shown(now) == expected
        assert stacked == stacks
        for name, resource in now.items():
            before, thing = self.seen.get(name), model.things[name]
            assert resource.name == thing.name
            if thing.work is not None:
                thing.work.name = thing.work.name or resource.operation
            assert resource.operation == (thing.work.name if thing.work else "")
            if before is not None and before.uid == resource.uid:
                same = steady(resource) == steady(before)
                assert resource.revision > before.revision or same
                assert (resource.etag == before.etag) == same
        self.seen = now

    async def _stacks(self) -> dict[str, Any]:
        if not (self.model.stacks or self.stacks):
            return {}
        self.stacks = await self._sight.stacks()
        return {name: driver.stack_shown(stack) for name, stack in self.stacks.items()}

    async def end(self, work: Work, method: str) -> str:
        """Cancels or abandons an operation in both."""
        number = self.model.works.index(work)
        request = (
            pb.AbandonOperationRequest(name=work.name, request_id=self.request_id())
            if method == "abandon"
            else CancelOperationRequest(name=work.name)
        )
        reason = await self.change(f"{method.title()}Operation", request, lambda model: getattr(model, method)(number))
        now = self.model.works[number]
        operation = await self._api.GetOperation(GetOperationRequest(name=now.name))
        assert (operation.done, driver.ended_with(operation)) == (now.ended, now.error)
        return reason

    async def repeat(self, method: str, request: Any, answer: Any) -> None:
        """The same request gets the first answer, and another one with its id is refused."""
        self.sound = False
        assert await self._call(method, request) == (answer, "")
        assert (await self._call(method, driver.altered(request)))[1] == "REQUEST_ID_REUSED"
        await self.settle()
        self.sound = True

    async def close(self) -> None:
        """Ends what hangs, compares all once more if nothing was wrong before, and leaves."""
        try:
            if self.sound:
                await self._sight.compare(self.model, self.seen, self.handler)
                while works := sorted(self.open_works, key=lambda work: work.verb in CALLS):
                    await self.end(works[0], "abandon")  # runs first, so that they do not go on
                await self._sight.compare_history(self.seen)
        finally:
            await self._tidy()
            self._tenant.machines.let_go()
            await self._sight.end()
            await self._stack.aclose()

    async def _tidy(self) -> None:
        """Takes back locks, policies and times to expire, so that nothing keeps the service busy after the run."""
        for _ in range(2):
            for name, resource in sorted(self.seen.items()):
                await self._call("UpdateResource", driver.update(name, Wish(lock="NONE"), ("lock",)))
                if resource.type == POLICIES:
                    await self._call("DeleteResource", pb.DeleteResourceRequest(name=name))
        for name in self.seen:
            await self._call("UpdateResource", driver.update(name, Wish(), ("expires",)))
