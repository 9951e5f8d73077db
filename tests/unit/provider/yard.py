"""A type of provider in memory, and a store of its own: the domain without processes."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

from sutler.errors import Violation
from sutler.ids import new_id
from sutler.operations import records
from sutler.store import open_database

from services.provider.adapters.stored import COMPONENT, MIGRATIONS, DatabaseStore
from services.provider.diagnostics import Diagnostic
from services.provider.limits import Limits
from services.provider.machines import Machine, Observation, Sight
from services.provider.output import Chunk, Stream
from services.provider.ports import Book, Kinds
from services.provider.providers import ApiFacts, Capability, Checkup, Provider, ProviderState, TypeFacts
from services.provider.reconcile.findings import Found
from services.provider.templates import ProcessSpec, Template
from services.provider.wire.shapes import ContractShapes

T = TypeVar("T")

TENANT = "acme"
LAB = "providers/lab"
SMALL = "templates/small"


class Yard:
    """A provider that does nothing by itself: tests say what is seen."""

    def __init__(self, name: str = "yard", attempts: int = 3) -> None:
        api = ApiFacts(api="park", display_name="Park", description="", capabilities=(Capability.START_STOP,))
        defaults = Template(api="park", process=ProcessSpec(command=("wait",), stop_grace=7.0))
        self.facts = TypeFacts(
            type=name,
            display_name=name,
            description="",
            version="1",
            config_schema={},
            apis=(api,),
            capabilities=(),
            regions=("here", "there"),
            template_defaults=defaults,
        )
        self.place = f"{name}-place"
        self.attempts = attempts

    def check_config(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return config

    def check_template(self, template: Template) -> Sequence[Violation]:
        bad = template.process is not None and template.process.command == ("forbidden",)
        return [Violation("process.command", "is forbidden", "FORBIDDEN")] if bad else []

    def max_attempts(self, config: Mapping[str, Any]) -> int:
        return self.attempts

    def grace(self, template: Template) -> float:
        return (template.process.stop_grace if template.process else None) or 10.0

    async def check(self, provider: Provider) -> Checkup:
        return Checkup(state=ProviderState.HEALTHY)

    async def check_there(self, template: Template, config: Mapping[str, Any]) -> Sequence[Violation]:
        return []

    @asynccontextmanager
    async def owned(self) -> AsyncIterator[None]:
        yield

    async def launch(self, machine: Machine, template: Template, config: Mapping[str, Any]) -> Observation:
        raise NotImplementedError

    async def end(self, machine: Machine, template: Template, config: Mapping[str, Any], *, force: bool) -> Observation:
        raise NotImplementedError

    async def look(self, machine: Machine, config: Mapping[str, Any]) -> Observation:
        raise NotImplementedError

    def list(self, provider: Provider) -> AsyncIterator[Sequence[Found]]:
        raise NotImplementedError

    def endings(self) -> AsyncIterator[Observation]:
        raise NotImplementedError

    async def tend(self, machine: Machine, template: Template) -> None:
        raise NotImplementedError

    async def forget(self, machine: Machine) -> None:
        raise NotImplementedError

    def read_output(self, machine: Machine, stream: Stream, offset: int | None, limit: int) -> AsyncIterator[Chunk]:
        raise NotImplementedError


class World:
    """A store in memory with one provider and one template, and a clock that tests turn."""

    def __init__(self, store: DatabaseStore, kinds: Kinds, clock: list[float]) -> None:
        self.store = store
        self.kinds = kinds
        self.limits = Limits()
        self._clock = clock

    def later(self, seconds: float) -> None:
        self._clock[0] += seconds

    async def do(self, fn: Callable[[Book], T]) -> T:
        return await self.store.change(fn)

    async def add_provider(self, name: str = LAB, **changes: Any) -> None:
        provider = Provider(**{"tenant": TENANT, "name": name, "uid": new_id(), "type": "yard", **changes})
        await self.do(lambda book: book.providers.insert(provider))

    async def add_template(self, name: str = SMALL, **changes: Any) -> None:
        template = Template(**{"tenant": TENANT, "name": name, "uid": new_id(), "provider": LAB, **changes})
        await self.do(lambda book: book.templates.insert(template))


@asynccontextmanager
async def world(kind: Yard | None = None, **yard: Any) -> AsyncIterator[World]:
    clock = [1_000_000.0]
    migrations = {records.COMPONENT: records.MIGRATIONS, COMPONENT: MIGRATIONS}
    async with open_database(
        "sqlite:///:memory:", name="provider", migrations=migrations, clock=lambda: clock[0]
    ) as database:
        store = DatabaseStore(database, ContractShapes(), tell=True, keep=timedelta(days=7))
        found = World(store, {"yard": kind or Yard(**yard)}, clock)
        await found.add_provider()
        await found.add_template()
        yield found


def sighting(machine: Machine, sight: Sight, **more: Any) -> Observation:
    return Observation(tenant=machine.tenant, machine=machine.name, launch=machine.launch, sight=sight, **more)


def trouble(kind: Any, category: Any, code: str = "X") -> Diagnostic:
    return Diagnostic(category=category, kind=kind, code=code, summary=f"trouble {code}")
