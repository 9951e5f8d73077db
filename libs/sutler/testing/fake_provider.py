"""A type of provider for tests: machines in memory, there at once, with faults that tests set.

::

    async with serve_provider() as (fake, address):
        async with sutler.testing.serve(app, Settings, plugin_addresses={"fake": address}, …) as (client, _):
            fake.fail("Provision", Unavailable("the cloud is down"), times=2)

Nothing installs it: a service has the type only where its settings name the address.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from sutler.errors import SutlerError, Unavailable
from sutler.ids import derive
from sutler.provider.v1 import plugin_pb2 as pb
from sutler.provider.v1 import provider_pb2
from sutler.providers import Call, ProviderType
from sutler.providers.base import MachineState
from sutler.providers.serving import PluginSettings, service
from sutler.server import Runtime, Service, running
from sutler.testing.server import QUICK
from sutler.wire import timestamp

M = provider_pb2.Machine
V = pb.ProvisionVerdict
GONE = (M.STATE_TERMINATED, M.STATE_FAILED)


class FakeConfig(BaseModel):
    """The config of a provider of type ``fake``."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(default=True, description="Whether it has machines to give")
    capacity: int = Field(default=1000, ge=0, description="How many machines may live at once")


@dataclass
class _Fault:
    error: SutlerError
    times: int


class FakeProvider(ProviderType[FakeConfig]):
    """Machines in memory, for each provider its own.

    Attributes:
        calls: The calls that came, each with its method and key.
        pending: How many lists show a new machine as on its way before it runs.
        gate: While it is not set, Provision waits after it has started machines and before it tells of them.
        lose_answers: How many times Provision starts machines and then breaks without telling of them.
    """

    type = "fake"
    display_name = "Fake"
    description = "Machines in memory, for tests."
    apis = (
        provider_pb2.ProviderApi(
            api="make",
            display_name="Make",
            capabilities=[
                provider_pb2.CAPABILITY_START_STOP,
                provider_pb2.CAPABILITY_CLIENT_TOKEN,
                provider_pb2.CAPABILITY_SELECTIVE_RETURN,
                provider_pb2.CAPABILITY_TAGS,
            ],
            price_types=[provider_pb2.PRICE_TYPE_ON_DEMAND],
        ),
    )
    regions = ("here", "there")
    template_defaults = provider_pb2.Template(api="make", image="empty")
    example_configs = (FakeConfig(), FakeConfig(capacity=3))
    example_templates = (provider_pb2.Template(provider_type="fake", api="make", image="empty"),)

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.pending = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.lose_answers = 0
        self._faults: dict[str, _Fault] = {}
        self._machines: dict[tuple[str, str], dict[str, pb.PluginMachine]] = {}
        self._lists_left: dict[str, int] = {}

    def fail(self, method: str, error: SutlerError, times: int = 1) -> None:
        """Lets the next calls of a method fail, such as ``Provision``, ``List`` or ``Check``."""
        self._faults[method] = _Fault(error, times)

    def machines(self) -> list[pb.PluginMachine]:
        """Returns all machines that there have ever been."""
        return [machine for each in self._machines.values() for machine in each.values()]

    def lose(self, native_id: str, exit_code: int = 1) -> None:
        """Lets a machine fail by itself."""
        for machine in self.machines():
            if machine.native_id == native_id:
                machine.state, machine.exit_code = M.STATE_FAILED, exit_code

    async def provision(self, call: Call[FakeConfig], wish: pb.ProvisionRequest) -> AsyncIterator[pb.ProvisionResponse]:
        """Makes machines that are named after the call's key, so that a repeat finds them."""
        self._noted("Provision", call)
        mine = self._of(call)
        ids = [f"fake-{derive(call.key, str(number))}" for number in range(wish.count)]
        alive = sum(machine.state not in GONE for machine in mine.values())
        room = call.config.capacity - alive if call.config.enabled else 0
        for native_id in [native_id for native_id in ids if native_id not in mine][: max(room, 0)]:
            mine[native_id] = _machine(native_id, wish, call.region, coming=bool(self.pending))
            self._lists_left[native_id] = self.pending
        await self.gate.wait()
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unavailable("the answer is lost", metadata={"dependency": "fake"})
        made = [mine[native_id] for native_id in ids if native_id in mine]
        yield pb.ProvisionResponse(machines=made, progress_percent=100 * len(made) // wish.count)
        yield pb.ProvisionResponse(verdict=_verdict(made, wish.count))

    async def terminate(
        self, call: Call[FakeConfig], machine: pb.PluginMachineKey, *, force: bool, grace: float
    ) -> MachineState:
        """Ends a machine at once."""
        self._noted("Terminate", call)
        return self._moved(call, machine, M.STATE_TERMINATED)

    async def list(self, call: Call[FakeConfig]) -> Sequence[pb.PluginMachine]:
        """Returns the machines, also those that have ended; one on its way comes closer with each list."""
        self._noted("List", call)
        found = list(self._of(call).values())
        for machine in found:
            left = self._lists_left.get(machine.native_id, 0)
            if machine.state == M.STATE_LAUNCHING:
                machine.state = M.STATE_LAUNCHING if left > 0 else M.STATE_RUNNING
                self._lists_left[machine.native_id] = left - 1
        return [machine for machine in found if not call.region or machine.region == call.region]

    async def start(self, call: Call[FakeConfig], machine: pb.PluginMachineKey) -> MachineState:
        """Starts a machine at once."""
        self._noted("Start", call)
        return self._moved(call, machine, M.STATE_RUNNING)

    async def stop(self, call: Call[FakeConfig], machine: pb.PluginMachineKey, *, force: bool) -> MachineState:
        """Stops a machine at once."""
        self._noted("Stop", call)
        return self._moved(call, machine, M.STATE_STOPPED)

    async def check(self, call: Call[FakeConfig]) -> pb.CheckResponse:
        """Says that it is well, unless it is not enabled."""
        self._noted("Check", call)
        state = provider_pb2.Provider.STATE_HEALTHY if call.config.enabled else provider_pb2.Provider.STATE_DEGRADED
        return pb.CheckResponse(state=state, identity="nobody", version=self.version)

    def _noted(self, method: str, call: Call[FakeConfig]) -> None:
        self.calls.append((method, call.key))
        fault = self._faults.get(method)
        if fault is not None and fault.times:
            fault.times -= 1
            raise fault.error

    def _of(self, call: Call[FakeConfig]) -> dict[str, pb.PluginMachine]:
        return self._machines.setdefault((call.tenant, call.provider), {})

    def _moved(self, call: Call[FakeConfig], key: pb.PluginMachineKey, state: MachineState) -> MachineState:
        found = self._of(call).get(key.native_id)
        if found is None or found.state in GONE:
            return found.state if found is not None else M.STATE_TERMINATED
        found.state = state
        return state


def _machine(native_id: str, wish: pb.ProvisionRequest, region: str, *, coming: bool) -> pb.PluginMachine:
    return pb.PluginMachine(
        native_id=native_id,
        state=M.STATE_LAUNCHING if coming else M.STATE_RUNNING,
        region=region,
        image=wish.template.image,
        price_type=provider_pb2.PRICE_TYPE_ON_DEMAND,
        launch_time=timestamp(0),
        tags=wish.tags,
    )


def _verdict(made: Sequence[pb.PluginMachine], count: int) -> pb.ProvisionVerdict:
    running = sum(machine.state == M.STATE_RUNNING for machine in made)
    missing = provider_pb2.Diagnostic(
        category=provider_pb2.Diagnostic.CATEGORY_CAPACITY,
        kind=provider_pb2.Diagnostic.KIND_CAPACITY,
        code="FULL",
        summary="the fake provider has no more machines",
    )
    full = V.STATE_FULFILLED if running == len(made) else V.STATE_IN_PROGRESS
    return V(
        state=full if len(made) == count else V.STATE_PARTIAL if made else V.STATE_FAILED,
        target_units=count,
        fulfilled_units=running,
        running_count=running,
        pending_count=len(made) - running,
        diagnostics=[] if len(made) == count else [missing],
    )


@asynccontextmanager
async def serve_provider(
    one: FakeProvider | None = None, **settings: object
) -> AsyncIterator[tuple[FakeProvider, str]]:
    """Serves a fake provider as a plug-in on a free port until the block ends; yields it and its address.

    Args:
        one: The fake; a new one if None.
        **settings: Settings of the server by name, such as ``port`` or ``auth_secret``.
    """
    fake = one if one is not None else FakeProvider()

    @asynccontextmanager
    async def app(settings: PluginSettings, runtime: Runtime) -> AsyncIterator[Service]:
        async with fake:
            yield service(fake)

    target = f"{__name__}:{FakeProvider.__name__}"
    made = PluginSettings(**{**QUICK, "target": target, **settings})
    async with running(app, made, "plugin") as server:
        yield fake, server.address
