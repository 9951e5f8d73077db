"""Reckons what machines cost, from the record of when they ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from services.provider.cost.bills import Bill
from services.provider.cost.charging import cost_so_far
from services.provider.cost.money import Money, money
from services.provider.cost.spans import micros, wanted_of
from services.provider.machines import Machine
from services.provider.ports import Book, Listed, Pages, Store


def bills(book: Book, machines: Sequence[Machine]) -> Mapping[str, Bill]:
    """Returns what machines of one tenant cost, by their names."""
    tariff = cache(book.tariff)
    hourly: dict[str, Money] = {}
    for machine in machines:
        at = book.now if machine.end_time is None else machine.end_time
        found = tariff(machine.tenant, machine.provider).price(wanted_of(machine), at)
        if found is not None:
            hourly[machine.name] = found.hourly
    ran = book.spans.of_machines(machines[0].tenant, machines) if machines else {}
    bills: dict[str, Bill] = {}
    for machine in machines:
        price, spans = hourly.get(machine.name), ran[machine.name]
        if spans and spans[0].number == 1:
            cost = cost_so_far(spans, tariff(machine.tenant, machine.provider), micros(book.now))
        else:
            cost = None if spans or price is None else money(price.currency, 0)
        bills[machine.name] = Bill(price, cost)
    return bills


def bill_of(book: Book, machine: Machine) -> Bill:
    """Returns what one machine costs."""
    return bills(book, [machine])[machine.name]


@dataclass(frozen=True, slots=True)
class Billed:
    """Machines with what they cost, as a list; see :class:`services.provider.ports.Pages`.

    Attributes:
        machines: The machines.
        store: What is stored.
    """

    machines: Pages[Machine]
    store: Store

    async def find(
        self, tenant: str, filter: str, order_by: str, after: Sequence[Any] | None, limit: int
    ) -> Sequence[Listed[tuple[Machine, Bill]]]:
        """Returns machines that pass a filter, in order, after a position."""
        found = await self.machines.find(tenant, filter, order_by, after, limit)
        costs = await self.store.scan(lambda book: bills(book, [listed.item for listed in found]))
        return [Listed((listed.item, costs[listed.item.name]), listed.position) for listed in found]
