"""Finds what would cost less in the record and the prices, each time anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from services.provider.cost.advice import Advice, Group, Market, Recommendation
from services.provider.cost.prices import Price, PriceType, Wanted
from services.provider.cost.spans import wanted_of
from services.provider.machines import Machine, MachineState

STALE_SECONDS = 90 * 86_400.0
"""A price whose date is longer ago is told to be old."""


def recommend(machines: Sequence[Machine], market: Market, stopped_seconds: float) -> Iterator[Recommendation]:
    """Yields what would cost less.

    Args:
        machines: The machines of one tenant that have not ended.
        market: The providers of that tenant and their prices.
        stopped_seconds: After how long a stopped machine is told.
    """
    for group in _groups(machines, market):
        price = market.price(group.provider.name, group.wanted)
        if price is None or market.now - price.date > STALE_SECONDS:
            yield _stale(group, price)
        if price is None:
            continue
        for found in (_spot(group, price, market), _type(group, price, market), _place(group, price, market)):
            if found is not None:
                yield found
    for machine in machines:
        if machine.state is MachineState.STOPPED and market.now - machine.update_time >= stopped_seconds:
            yield _stopped(machine)


def _groups(machines: Sequence[Machine], market: Market) -> Iterator[Group]:
    found: dict[tuple[str, str, Wanted], list[str]] = {}
    for machine in machines:
        if machine.state is not MachineState.STOPPED and machine.provider in market.providers:
            found.setdefault((machine.provider, machine.template, wanted_of(machine)), []).append(machine.name)
    for (provider, template, wanted), names in found.items():
        yield Group(market.providers[provider], template, wanted, tuple(sorted(names)))


def _better(group: Group, price: Price, other: Price | None) -> bool:
    return (
        other is not None and other.hourly.currency == price.hourly.currency and other.hourly.total < price.hourly.total
    )


def _advice(kind: Advice, group: Group, summary: str, price: Price | None, proposed: Price | None) -> Recommendation:
    return Recommendation(
        kind=kind,
        summary=summary,
        provider=group.provider.name,
        template=group.template,
        machines=group.machines,
        wanted=group.wanted,
        price=price,
        proposed=proposed,
    )


def _spot(group: Group, price: Price, market: Market) -> Recommendation | None:
    if group.wanted.price_type is not PriceType.ON_DEMAND:
        return None
    spot = market.price(group.provider.name, replace(group.wanted, price_type=PriceType.SPOT))
    if spot is None or not _better(group, price, spot):
        return None
    text = f"{group.wanted.machine_type} costs {spot.hourly} an hour as SPOT, {price.hourly} ON_DEMAND"
    return _advice(Advice.SPOT_PRICE, group, text, price, spot)


def _type(group: Group, price: Price, market: Market) -> Recommendation | None:
    """Recommends the cheapest machine type with at least as many CPUs and as much memory, where both are known."""
    sizes: dict[str, tuple[int, int]] = {}
    for row in market.tariffs[group.provider.name].rows(market.now):
        cpus, memory = sizes.get(row.machine_type, (0, 0))
        sizes[row.machine_type] = max(cpus, row.vcpus), max(memory, row.memory_bytes)
    own = sizes.get(group.wanted.machine_type, (0, 0))
    best: tuple[int, str, Price] | None = None
    for name, size in sizes.items():
        if name == group.wanted.machine_type or not all(own) or size[0] < own[0] or size[1] < own[1]:
            continue
        found = market.price(group.provider.name, replace(group.wanted, machine_type=name))
        if found is not None and _better(group, price, found):
            this = (found.hourly.total, name, found)
            best = min(best or this, this, key=lambda b: b[:2])
    if best is None:
        return None
    text = (
        f"{best[1]} has {sizes[best[1]][0]} CPUs and {sizes[best[1]][1]} bytes of memory, no less than"
        f" {group.wanted.machine_type}, and costs {best[2].hourly} instead of {price.hourly} an hour"
    )
    return replace(_advice(Advice.CHEAPER_TYPE, group, text, price, best[2]), proposed_type=best[1])


def _place(group: Group, price: Price, market: Market) -> Recommendation | None:
    """Recommends the cheapest region of this provider, or provider of the same type."""
    best: tuple[int, str, str, Price] | None = None
    for provider in market.providers.values():
        if not provider.usable or provider.type != group.provider.type:
            continue
        named = {row.region for row in market.tariffs[provider.name].rows(market.now)}
        for region in {*provider.regions} or named:
            if (provider.name, region) == (group.provider.name, group.wanted.region):
                continue
            found = market.price(provider.name, replace(group.wanted, region=region, zone=""))
            if found is not None and _better(group, price, found):
                this = (found.hourly.total, provider.name, region, found)
                best = min(best or this, this, key=lambda b: b[:3])
    if best is None:
        return None
    _, name, region, found = best
    where = f"{name}, region {region}" if region else name
    text = f"{group.wanted.machine_type} costs {found.hourly} an hour at {where}, {price.hourly} where it is"
    advice = _advice(Advice.CHEAPER_PLACE, group, text, price, found)
    return replace(advice, proposed_provider=name, proposed_region=region)


def _stale(group: Group, price: Price | None) -> Recommendation:
    what = f"{group.wanted.machine_type} at {group.provider.name}"
    if price is None:
        text = f"no price is known for {what}; add it to a price table"
    else:
        text = f"the price of {what} is more than 90 days old; bring its price table up to date"
    return _advice(Advice.STALE_PRICES, group, text, price, None)


def _stopped(machine: Machine) -> Recommendation:
    return Recommendation(
        kind=Advice.STOPPED_MACHINE,
        summary="it is stopped: it keeps its place in limits and whatever its provider charges for; return it",
        provider=machine.provider,
        template=machine.template,
        machines=(machine.name,),
        wanted=wanted_of(machine),
        observe_time=machine.update_time,
    )
