"""A small ResourceHandler: a real gRPC server whose things are numbers, and that does as the properties say.

``behave`` is what Apply does, ``end`` what Delete does (both ``ok`` if they are not set), ``presence`` what Read says.
An action does what its parameter ``behave`` says.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.rpc.status_pb2 import Status
from sutler.errors import FailedPrecondition, SutlerError, Unavailable
from sutler.resource.v1 import handler_pb2 as pb
from sutler.resource.v1 import handler_pb2_grpc
from sutler.status import to_status
from sutler.wire import duration, from_struct, to_struct


class Machines(handler_pb2_grpc.ResourceHandlerServicer):
    """Remembers every call, and makes one thing for each idempotency key."""

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()
        self.things: dict[tuple[str, str], set[str]] = {}
        self.calls: list[tuple[str, Any, dict[str, str]]] = []
        self.release = asyncio.Event()
        self.ended: list[str] = []
        self.refused: set[tuple[str, str]] = set()
        self.away: set[tuple[str, str]] = set()

    def made(self, tenant: str, name: str) -> int:
        """How many effects there were for a resource."""
        return sum(self.effects[key] for key in self.things.get((tenant, name), ()))

    def let_go(self) -> None:
        """Lets all calls go on that hang now."""
        self.release.set()
        self.release = asyncio.Event()

    async def Validate(self, request: pb.ValidateRequest, context: Any) -> pb.ValidateResponse:
        self._note("Validate", request, context)
        properties = from_struct(request.desired.properties)
        answer = pb.ValidateResponse()
        if properties.get("validate") == "down" or (request.context.tenant, request.desired.name) in self.away:
            await context.abort(grpc.StatusCode.INTERNAL, "no idea")
        if properties.get("validate") == "none":
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "nothing to check")
        if properties.get("validate") == "refuse":
            answer.violations.add(field="properties.count", description="too many", reason="CAPACITY")
            answer.violations.add(field="properties.kind", description="unknown", reason="KIND")
        if request.action and (request.context.tenant, request.desired.name) in self.refused:
            answer.violations.add(field="parameters.mode", description="not now", reason="BUSY")
        answer.plan.add(action=1, target="machines", count=int(properties.get("count", 1)))
        return answer

    async def Apply(self, request: pb.ApplyRequest, context: Any) -> AsyncIterator[pb.ApplyResponse]:
        self._note("Apply", request, context)
        properties = from_struct(request.desired.properties)
        behave, count = properties.get("behave", "ok"), int(properties.get("count", 1))
        yield pb.ApplyResponse(
            progress=pb.HandlerProgress(progress_percent=10, step="looking", outputs=to_struct({"seen": True}))
        )
        if behave == "hang":
            try:
                await self.release.wait()
            finally:
                self.ended.append(request.desired.name)
        if behave == "silent":
            await asyncio.Event().wait()
        failure = self._failure(behave, request.context.attempt)
        if failure is not None:
            yield pb.ApplyResponse(failure=failure)
            return
        if behave == "no result":
            return
        if behave == "crash":
            raise RuntimeError("a bug")
        if request.idempotency_key not in self.effects:
            self.effects[request.idempotency_key] += 1
            thing = (request.context.tenant, request.desired.name)
            self.things.setdefault(thing, set()).add(request.idempotency_key)
        yield pb.ApplyResponse(progress=pb.HandlerProgress(progress_percent=60, step=f"starting {count}"))
        await asyncio.sleep(float(properties.get("seconds", 0)))
        outputs: dict[str, Any] = {"machines": [f"m{i}" for i in range(count)]}
        if behave == "echo":
            outputs["blob"] = properties["blob"]
        if behave == "deep outputs":
            outputs["deep"] = [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]
        if behave == "bad outputs":
            outputs = {"machines": "three"}
        result = pb.ApplyResult(warnings=["a notice was not sent"] if behave == "warn" else [])
        if behave != "no outputs":
            result.outputs.CopyFrom(to_struct(outputs))
        yield pb.ApplyResponse(result=result)

    async def Delete(self, request: pb.DeleteRequest, context: Any) -> AsyncIterator[pb.DeleteResponse]:
        self._note("Delete", request, context)
        properties = from_struct(request.resource.properties)
        behave = properties.get("end", "ok")
        yield pb.DeleteResponse(progress=pb.HandlerProgress(progress_percent=30, step="stopping"))
        if behave == "hang":
            await self.release.wait()
        failure = self._failure(behave, request.context.attempt)
        if failure is not None:
            yield pb.DeleteResponse(failure=failure)
            return
        self.things.pop((request.context.tenant, request.resource.name), None)
        yield pb.DeleteResponse(result=pb.DeleteResult())

    async def InvokeAction(
        self, request: pb.ResourceHandlerInvokeActionRequest, context: Any
    ) -> AsyncIterator[pb.ResourceHandlerInvokeActionResponse]:
        """Does as the parameters say; an action counts as one effect for each idempotency key."""
        self._note("InvokeAction", request, context)
        given = from_struct(request.parameters)
        behave = given.get("behave", "ok")
        progress = pb.HandlerProgress(progress_percent=40, step=f"{request.action}ing")
        yield pb.ResourceHandlerInvokeActionResponse(progress=progress)
        if behave == "hang":
            await self.release.wait()
        await asyncio.sleep(float(given.get("seconds", 0)))
        failure = self._failure(behave, request.context.attempt)
        if failure is not None:
            yield pb.ResourceHandlerInvokeActionResponse(failure=failure)
            return
        if request.idempotency_key not in self.effects:
            self.effects[request.idempotency_key] += 1
            self.things.setdefault((request.context.tenant, request.resource.name), set()).add(request.idempotency_key)
        result = pb.ActionResult(result=to_struct({"mode": given.get("mode", "")} if behave != "bad result" else {}))
        if behave == "outputs":
            result.outputs.CopyFrom(to_struct({"machines": ["restarted"]}))
            result.warnings.append("it took long")
        yield pb.ResourceHandlerInvokeActionResponse(result=result)

    async def Read(self, request: pb.ReadRequest, context: Any) -> pb.ReadResponse:
        self._note("Read", request, context)
        properties = from_struct(request.desired.properties)
        presence = properties.get("presence", "ABSENT")
        answer = pb.ReadResponse(
            presence=pb.ReadResponse.Presence.Value(f"PRESENCE_{presence}"), description="2 of 5 machines"
        )
        if presence == "WHOLE":
            answer.outputs.CopyFrom(to_struct({"machines": ["found"]}))
        return answer

    def _note(self, method: str, request: Any, context: Any) -> None:
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        self.calls.append((method, request, metadata))

    def _failure(self, behave: str, attempt: int) -> pb.HandlerFailure | None:
        kind, _, times = behave.partition(":")
        if kind == "transient" and attempt <= int(times or 10**6):
            return pb.HandlerFailure(error=_status(Unavailable("not now", reason="BUSY", domain="machines")))
        if kind == "later" and attempt <= int(times):
            return pb.HandlerFailure(error=_status(_no_capacity()), retry_after=duration(0.05))
        if kind == "final":
            return pb.HandlerFailure(error=_status(_no_capacity()), outputs=to_struct({"machines": ["half"]}))
        if kind == "passed on":
            return pb.HandlerFailure(error=to_status(Unavailable("no store"), "resource.sutler.dev"))
        return None


def _no_capacity() -> SutlerError:
    return FailedPrecondition("no room", reason="NO_CAPACITY", metadata={"zone": "a"}, domain="machines")


def _status(error: SutlerError) -> Status:
    return to_status(error, "machines")


@asynccontextmanager
async def babbling() -> AsyncIterator[str]:
    """Serves a handler whose answers nobody can read, and gives its address."""

    async def one(request: bytes, context: Any) -> bytes:
        return b"\xff"

    async def many(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"\xff"

    handlers = {
        **dict.fromkeys(("Validate", "Read"), grpc.unary_unary_rpc_method_handler(one)),
        **dict.fromkeys(("Apply", "Delete"), grpc.unary_stream_rpc_method_handler(many)),
    }
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    generic = grpc.method_handlers_generic_handler("sutler.resource.v1.ResourceHandler", handlers)
    server.add_generic_rpc_handlers((generic,))
    bound = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def serving(machines: Machines, port: int = 0) -> AsyncIterator[str]:
    """Serves a handler and gives its address."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler_pb2_grpc.add_ResourceHandlerServicer_to_server(machines, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(0)
