"""Work behind the calls that concerns several tenants: each has a step of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from sutler.backends import OrderedStore
from sutler.errors import DataLoss

from services.cache.accesses import Access
from services.cache.adapters.ordered import keys, sweeping
from services.cache.adapters.ordered.line import Lines
from services.cache.adapters.ordered.records import load_space
from services.cache.adapters.ordered.steps import PAGE
from services.cache.results import Swept


async def record(store: OrderedStore, lines: Lines, accesses: Sequence[Access]) -> None:
    """Adds accesses to their entries."""
    spaces = sorted({access.space for access in accesses})
    found = await store.get([keys.space(space) for space in spaces])
    tenants: dict[int, str] = {}
    for space, record in zip(spaces, found, strict=True):
        with suppress(DataLoss):  # that of one cache must not stop the others
            tenants |= {} if record is None else {space: load_space(record).tenant}
    for tenant in sorted(set(tenants.values())):
        theirs = [access for access in accesses if tenants.get(access.space) == tenant]
        await lines.run(
            tenant,
            lambda step, theirs=theirs: sweeping.record(step, theirs),  # type: ignore[misc]
            [keys.entry(access.space, access.key) for access in theirs],
        )


async def expire(store: OrderedStore, lines: Lines, now: float) -> Swept:
    """Removes what is over, some of each tenant."""
    due = await store.scan(keys.DUE, keys.due_until(now), PAGE)
    counts, lost = dict[int, int](), dict[int, int]()
    for tenant in sorted({owner for _, owner in due}):
        theirs = [key for key, owner in due if owner == tenant]
        swept = await lines.run(
            tenant.decode(),
            lambda step, theirs=theirs: sweeping.expire(step, theirs),  # type: ignore[misc]
            [*theirs, *map(keys.due_record, theirs)],
        )
        counts.update(swept.counts)
        lost.update(swept.lost_leases)
    return Swept(counts, len(due) == PAGE, lost)
