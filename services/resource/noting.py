"""What a delete notes of its work, so that the next attempt knows it, in whichever process that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.resource.attempting import Attempt
from services.resource.attempts import Again, Over
from services.resource.history import Cause
from services.resource.names import key
from services.resource.resource import Resource
from services.resource.resource_type import Handler
from services.resource.unreachable import goes_without
from services.resource.work import Work

Left = Again | Over | None
"""What became of one resource: None if it is gone, or a cancel ended its call; else what follows for the operation."""


def unreachable_in(batch: list[tuple[Resource, Handler]], ends: Mapping[str, Left]) -> tuple[str, ...]:
    """Returns the uids of what is called for again because its handler did not answer."""
    found = [(resource.uid, ends.get(resource.name)) for resource, _ in batch]
    return tuple(uid for uid, end in found if isinstance(end, Again) and end.unreachable)


async def reached(attempt: Attempt, batch: list[Resource]) -> Attempt:
    """Returns the attempt with what it reaches first noted, for which its number is 1, and what goes without a handler.

    What the first attempt has taken in hand needs no number; the target does, which belongs to it from the beginning.
    Why a resource has failed before is known only until it is taken in hand.
    """
    operation, work = attempt.operation, attempt.work
    before = operation.attempt - 1
    at_last = bool(work.children) and key(batch[0].name) == key(operation.target)
    earlier = work.earlier
    if before or at_last:
        new = {found.uid: before if at_last or not found.operation else 0 for found in batch}
        earlier = {uid: work.earlier.get(uid, first) for uid, first in new.items()}
    kept = {work.uid, *(found.uid for found in batch)}.intersection(work.gives_up)
    if work.cause is not Cause.EXPIRY:
        kept.update(found.uid for found in batch if goes_without(found.name, found.error))
    return await noted(attempt, replace(work, earlier=earlier, gives_up=tuple(sorted(kept))))


async def noted(attempt: Attempt, work: Work) -> Attempt:
    """Returns the attempt with what is known of its work by now, which is stored if it is news."""
    if work == attempt.work:
        return attempt
    operation, stored = attempt.operation, work.stored()
    await attempt.store.write(operation.tenant, lambda unit: unit.set_work(operation.name, operation.fence, stored))
    return replace(attempt, operation=replace(operation, work=stored))
