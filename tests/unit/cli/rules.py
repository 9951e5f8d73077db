"""RuleService's rules and events, and ResourceService's resources, in memory: what the command is tried on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from google.longrunning import operations_pb2 as lro
from google.protobuf.empty_pb2 import Empty
from pydantic_settings import SettingsConfigDict
from sutler.errors import FailedPrecondition, NotFound, Unavailable, Violation, invalid_fields, not_found
from sutler.etags import make_etag
from sutler.masks import merge
from sutler.resource.v1 import resource_pb2, resource_pb2_grpc
from sutler.rule.v1 import rule_pb2 as pb
from sutler.rule.v1 import rule_pb2_grpc
from sutler.server import Running, Runtime, Service
from sutler.settings import ServerSettings
from sutler.status import to_status
from sutler.testing import serve
from sutler.type.v1.operation_pb2 import OperationMetadata, WatchOperationResponse


class Settings(ServerSettings):
    """Rules in memory."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_RULE_")


class Rules:
    """Keeps rules.

    Attributes:
        kept: The rules by name.
        writes: What was done, in order.
        breaks: How often a watch is broken before it goes on.
    """

    def __init__(self) -> None:
        self.kept: dict[str, pb.Rule] = {}
        self.writes: list[str] = []
        self.breaks = 0
        self.ends: Exception | None = None

    async def GetRule(self, request: pb.GetRuleRequest, context: Any) -> pb.Rule:
        if request.name not in self.kept:
            raise not_found(request.name)
        return self.kept[request.name]

    async def ListRules(self, request: pb.ListRulesRequest, context: Any) -> pb.ListRulesResponse:
        """Answers one rule on a page, and empty pages in between, as a service may."""
        names = sorted(name for name in self.kept if request.filter.strip('"') in name)
        at = int(request.page_token or 0)
        if at % 2 == 0:
            return pb.ListRulesResponse(next_page_token=str(at + 1) if at // 2 < len(names) else "")
        more = str(at + 1) if at // 2 + 1 < len(names) else ""
        return pb.ListRulesResponse(rules=[self.kept[names[at // 2]]], next_page_token=more)

    async def UpdateRule(self, request: pb.UpdateRuleRequest, context: Any) -> pb.Rule:
        rule = request.rule
        if any(word == "bad" for word in rule.on):
            found = [Violation("rule.on[0]", "is bad"), Violation("rule.when", "is bad too")]
            raise invalid_fields(found)
        needed = rule.description.removeprefix("needs ")
        if needed != rule.description and needed not in self.kept:
            raise FailedPrecondition(f"{needed} does not exist")
        stored = self.kept.get(rule.name)
        if stored is None and not request.allow_missing:
            raise NotFound(rule.name)
        made = merge(stored or pb.Rule(name=rule.name), rule, None)
        made.etag = make_etag(made.SerializeToString(deterministic=True))
        if not request.validate_only:
            self.kept[rule.name] = made
            self.writes.append(f"put {rule.name}")
        return made

    async def DeleteRule(self, request: pb.DeleteRuleRequest, context: Any) -> Empty:
        if self.kept.pop(request.name, None) is None and not request.allow_missing:
            raise not_found(request.name)
        self.writes.append(f"delete {request.name}")
        return Empty()

    async def WatchEvents(self, request: pb.WatchEventsRequest, context: Any) -> AsyncIterator[pb.WatchEventsResponse]:
        first = int(request.resume_token or 0)
        yield pb.WatchEventsResponse(resume_token=str(first))
        for number in range(first, 4):
            change = pb.EventChange(
                kind="KIND_ACCEPTED", event={"name": f"events/e{number}", "type": "order.confirmed"}
            )
            change.change_time.FromJsonString("2026-01-02T03:04:05Z")
            yield pb.WatchEventsResponse(changes=[change], resume_token=str(number + 1))
            if self.breaks:
                self.breaks -= 1
                raise Unavailable("broken")
        raise self.ends or Unavailable("broken")

    @asynccontextmanager
    async def app(self, settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
        add_rules = rule_pb2_grpc.add_RuleServiceServicer_to_server
        add_resources = resource_pb2_grpc.add_ResourceServiceServicer_to_server
        yield Service(
            "rule",
            {
                "sutler.rule.v1.RuleService": (add_rules, self),
                "sutler.resource.v1.ResourceService": (add_resources, Resources(self)),
            },
        )


class Resources:
    """Keeps resources; every change is an operation that takes a while."""

    def __init__(self, rules: Rules) -> None:
        self._kept: dict[str, resource_pb2.Resource] = {}
        self._writes = rules.writes

    async def GetResource(self, request: Any, context: Any) -> resource_pb2.Resource:
        if request.name not in self._kept:
            raise not_found(request.name)
        return self._kept[request.name]

    async def UpdateResource(self, request: Any, context: Any) -> lro.Operation:
        if request.validate_only:
            operation = lro.Operation(done=True)
            operation.response.Pack(request.resource)
            return operation
        self._kept[request.resource.name] = request.resource
        self._writes.append(f"put {request.resource.name}")
        return lro.Operation(name=f"resourceOperations/{request.resource.name}")

    async def DeleteResource(self, request: Any, context: Any) -> lro.Operation:
        self._kept.pop(request.name, None)
        self._writes.append(f"delete {request.name}")
        return lro.Operation(name=f"resourceOperations/{request.name}")

    async def ListResourceRevisions(self, request: Any, context: Any) -> resource_pb2.ListResourceRevisionsResponse:
        """Answers one revision, which shows how it was asked for."""
        found = resource_pb2.ResourceRevision(
            revision=7, resource=request.parent, kind="KIND_UPDATED", actor="user:anna", cause="CAUSE_REQUEST"
        )
        found.method = "recursive" if request.recursive else "UpdateResource"
        return resource_pb2.ListResourceRevisionsResponse(resource_revisions=[found])

    async def InvokeAction(self, request: Any, context: Any) -> lro.Operation:
        operation = lro.Operation(done=True)
        operation.response.Pack(resource_pb2.InvokeActionResponse(result=request.parameters))
        self._writes.append(f"{request.action} {request.name}")
        return operation

    async def ListOperations(self, request: Any, context: Any) -> lro.ListOperationsResponse:
        operation = lro.Operation(name="resourceOperations/a")
        told = OperationMetadata(state="STATE_RUNNING", progress_percent=50, target="subscriptions/s", method="X")
        operation.metadata.Pack(told)
        return lro.ListOperationsResponse(operations=[operation])

    async def GetOperation(self, request: Any, context: Any) -> lro.Operation:
        return lro.Operation(name=request.name)

    async def CancelOperation(self, request: Any, context: Any) -> Empty:
        self._writes.append(f"cancel {request.name}")
        return Empty()

    async def WatchOperation(self, request: Any, context: Any) -> AsyncIterator[WatchOperationResponse]:
        name = request.name.removeprefix("resourceOperations/")
        operation = lro.Operation(name=request.name)
        operation.metadata.Pack(OperationMetadata(progress_percent=50, step="[half] done"))
        yield WatchOperationResponse(operation=operation)
        operation.done = True
        if name.endswith("bad"):
            operation.error.CopyFrom(to_status(FailedPrecondition("it is bad"), "resource.sutler.dev"))
        else:
            operation.response.Pack(self._kept.get(name, Empty()))
        yield WatchOperationResponse(operation=operation)


@contextmanager
def served(rules: Rules, **settings: Any) -> Iterator[Running]:
    """Serves from a thread, so that commands, which run an event loop of their own, can call it."""
    loop = asyncio.new_event_loop()
    up: list[Running] = []
    ready, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        async with serve(rules.app, Settings, **settings) as (_, running):
            up.append(running)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        assert ready.wait(20)
        yield up[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
