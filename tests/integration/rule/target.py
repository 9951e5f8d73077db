"""A small real gRPC server that rules call: it answers as a test says, and remembers every call."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from google.longrunning.operations_pb2 import Operation
from sutler.context import current
from sutler.resource.v1 import resource_pb2
from sutler.resource.v1.resource_pb2_grpc import add_ResourceServiceServicer_to_server
from sutler.server import Runtime, Service, running
from sutler.settings import ServerSettings


@dataclass(frozen=True)
class Seen:
    """One call that came."""

    method: str
    request: Any
    key: str
    actor: str
    caller: str
    correlation_id: str


@dataclass
class Script:
    """How one tenant is answered: errors in turn, then success. All calls wait for the gate, the held ones for ever."""

    calls: list[Seen] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    always: Callable[[], Exception] | None = None
    broken: dict[str, Callable[[], Exception]] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    held: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def ids(self) -> list[str]:
        """The ids of the resources that were asked for, in order."""
        return [seen.request.resource_id for seen in self.calls if seen.method == "CreateResource"]


class Target:
    """The servicer. Only what the tests call is there; the server refuses the rest."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = defaultdict(Script)

    async def CreateResource(self, request: Any, context: Any) -> Operation:
        await self._answer("CreateResource", request)
        done = Operation(name=f"resourceOperations/{request.resource_id}", done=True)
        done.response.Pack(resource_pb2.Resource(name=f"{request.parent}/{request.resource_id}"))
        return done

    async def GetResource(self, request: Any, context: Any) -> resource_pb2.Resource:
        await self._answer("GetResource", request)
        return resource_pb2.Resource(name=request.name, type="Custom.Org/things", generation=7)

    async def _answer(self, method: str, request: Any) -> None:
        call = current()
        script = self.scripts[call.tenant]
        script.calls.append(
            Seen(
                method,
                request,
                call.header("x-idempotency-key"),
                call.principal.actor,
                call.principal.subject,
                call.correlation_id,
            )
        )
        await script.gate.wait()
        if getattr(request, "resource_id", "") in script.held:
            await asyncio.Event().wait()
        fails = script.broken.get(method, script.always)
        if fails is not None:
            raise fails()
        if script.errors:
            raise script.errors.pop(0)


@asynccontextmanager
async def serving(target: Target, secret: str) -> AsyncIterator[str]:
    """Serves the target and yields its address."""

    @asynccontextmanager
    async def app(settings: ServerSettings, runtime: Runtime) -> AsyncIterator[Service]:
        yield Service(
            area="resource",
            servicers={
                "sutler.resource.v1.ResourceService": (add_ResourceServiceServicer_to_server, target),
            },
        )

    settings = ServerSettings(
        port=0,
        auth_secret=secret,
        drain_pause_seconds=0,
        drain_seconds=0,
        log_level="error",
    )
    async with running(app, settings, "resource") as up:
        yield up.address
