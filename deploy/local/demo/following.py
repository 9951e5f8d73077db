"""Watches what becomes of orders: event, resource, machines, report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sutler.client import Sutler
from sutler.errors import Conflict, DeadlineExceeded, NotFound, Unavailable
from sutler.provider.v1 import provider_pb2
from sutler.resource.v1 import resource_pb2
from sutler.rule.v1 import rule_pb2
from sutler.wire import from_struct, to_struct

from deploy.local.demo.orders import Order, Salesperson

GROUP = "subscriptions/shop/resourceGroups/orders"
LOOK_SECONDS = 0.1

PASSING = (Unavailable, DeadlineExceeded, Conflict)
"""What a look may end with while parts are down; the next look tells more."""


@dataclass(slots=True)
class Progress:
    """How far an order is.

    Attributes:
        order: The order.
        confirmed: When it was confirmed, on the monotonic clock.
        event: The name of its event in RuleService.
        state: The state of its resource.
        machines: Name to pid of its machines.
        note: What stands in its note.
        reported: Seconds from the confirmation to the note; None before.
    """

    order: Order
    confirmed: float
    event: str = ""
    state: str = ""
    machines: dict[str, int] = field(default_factory=dict)
    note: str = ""
    reported: float | None = None

    @property
    def resource(self) -> str:
        """The name of its resource."""
        return f"{GROUP}/providers/Sutler.Compute/machineSets/{self.order.name}"

    def has(self, count: int) -> bool:
        """Returns whether it has this many machines, and its note names them all."""
        named = all(name in self.note for name in self.machines)
        return self.state == "SUCCEEDED" and len(self.machines) == count and named

    @property
    def complete(self) -> bool:
        """Whether the ERP shows exactly its machines, and these are known as they ended up."""
        ended = self.state == "SUCCEEDED" and self.reported is not None
        return ended and len(self.machines) == self.order.machines


class Follower:
    """Looks at orders through the gateway and in the ERP.

    Args:
        client: The gateway.
        erp: The ERP.
    """

    def __init__(self, client: Sutler, erp: Salesperson) -> None:
        self._client = client
        self._erp = erp

    async def until(
        self, done: Callable[[], bool], orders: Sequence[Progress], shown: Callable[[], None], seconds: float
    ) -> bool:
        """Looks again and again until ``done``; returns False if that takes longer than ``seconds``."""
        ends = time.monotonic() + seconds
        while True:
            await self._look(orders)
            shown()
            if done():
                return True
            if time.monotonic() > ends:
                return False
            await asyncio.sleep(LOOK_SECONDS)

    async def scale(self, progress: Progress, count: int) -> None:
        """Has the resource of an order hold this many machines."""
        wished = resource_pb2.Resource(name=progress.resource, properties=to_struct({"count": count}))
        update = resource_pb2.UpdateResourceRequest(resource=wished)
        await self._client.wait(await self._client.resources.UpdateResource(update))

    async def _look(self, orders: Sequence[Progress]) -> None:
        open_ = [progress for progress in orders if not progress.complete]
        for progress in open_ or orders:
            try:
                await self._look_at(progress)
            except PASSING:
                continue
        notes = await self._erp.notes([progress.order for progress in orders])
        for progress in orders:
            progress.note = notes.get(progress.order.id, "")
            if progress.note and progress.reported is None:
                progress.reported = time.monotonic() - progress.confirmed

    async def _look_at(self, progress: Progress) -> None:
        if not progress.event:
            progress.event = await self._event(progress.order)
        try:
            resource = await self._client.resources.GetResource(resource_pb2.GetResourceRequest(name=progress.resource))
        except NotFound:
            progress.state, progress.machines = "", {}
            return
        state = resource_pb2.Resource.State.Name(resource.provisioning_state)
        progress.state = state.removeprefix("STATE_")
        machines = from_struct(resource.outputs).get("machines", [])
        progress.machines = {m["name"]: int(m["pid"] or 0) for m in machines}

    async def _event(self, order: Order) -> str:
        text = f'subject = "connections/main/sale.order/{order.id}" AND type = "order.confirmed"'
        found = await self._client.rules.ListEvents(rule_pb2.ListEventsRequest(filter=text, page_size=1))
        return found.events[0].name if found.events else ""

    async def cascade(self, event: str) -> Any:
        """Returns what an event led to."""
        return await self._client.rules.GetCascade(rule_pb2.GetCascadeRequest(name=f"{event}/cascade"))

    async def running(self, names: Sequence[str]) -> list[str]:
        """Returns those of these machines that run, as ProviderService knows them."""
        alive = []
        for name in names:
            try:
                machine = await self._client.providers.GetMachine(provider_pb2.GetMachineRequest(name=name))
            except NotFound:
                continue
            if machine.state == provider_pb2.Machine.STATE_RUNNING:
                alive.append(name)
        return alive
