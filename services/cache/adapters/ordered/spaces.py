"""One cache while a step changes it: what it takes, and what its followers are told."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.records import Space, dump_news, dump_space, load_space
from services.cache.adapters.ordered.steps import Step
from services.cache.caches import Cache, Usage
from services.cache.telling import Cause, Invalidation, Scope

FOLLOWED_SECONDS = 60.0
"""How long changes are told after somebody asked for them."""

KEPT_SECONDS = 120.0
"""How long they are kept."""


@dataclass(slots=True)
class Room:
    """A cache in a step.

    Attributes:
        step: The step.
        number: The number of the cache.
        known: What is known of it.
        before: What was known when the step began.
        lost_leases: How many leases the step ended that nothing was put with.
    """

    step: Step
    number: int
    known: Space
    before: Space
    lost_leases: int = 0

    def add(self, *, entries: int = 0, blobs: int = 0, size: int = 0, stored: int = 0) -> None:
        """Adds to what the cache takes."""
        usage = self.known.usage
        grown = Usage(
            usage.entries + entries, usage.blobs + blobs, usage.size_bytes + size, usage.stored_bytes + stored
        )
        self.known = replace(self.known, usage=grown)

    def tell(self, scope: Scope, text: str, cause: Cause, etag: str = "") -> None:
        """Tells followers what to forget, if there are any."""
        if self.known.followed_until <= self.step.now:
            return
        self.known = replace(self.known, told=self.known.told + 1)
        told = Invalidation(scope, text, cause, self.step.now, etag)
        self.step.put(keys.new(self.number, self.known.told), dump_news(told))

    def follow(self) -> None:
        """Has changes told for the next minute. Where that had lapsed, a number is drawn that nobody is told, so that
        whoever knows an earlier one notices the gap."""
        now = self.step.now
        if self.known.followed_until <= now:
            self.known = replace(self.known, told=self.known.told + 1, followed_from=self.known.told + 1)
            self.look_at_news()
        self.known = replace(self.known, followed_until=now + FOLLOWED_SECONDS)

    def look_at_news(self) -> None:
        """Has old news removed later; looks of one minute are one."""
        minute = math.ceil((self.step.now + KEPT_SECONDS) / 60) * 60.0
        self.step.put(keys.due(minute, keys.news(self.number)), self.known.tenant.encode())

    def save(self) -> None:
        """Writes what changed."""
        if self.known != self.before:
            self.save_anyway()

    def save_anyway(self) -> None:
        """Writes what is known, for the sake of the commit."""
        self.step.put(keys.space(self.number), dump_space(self.known))


def room_of(step: Step, cache: Cache) -> Room:
    """Returns a cache, which may never have had an entry."""
    record = step.get(keys.space(cache.space))
    known = Space(cache.tenant, cache.rules.blob_backend) if record is None else load_space(record)
    return Room(step, cache.space, known, known)


def room_by_number(step: Step, number: int) -> Room | None:
    """Returns a cache by its number; None if nothing is known of it."""
    record = step.get(keys.space(number))
    if record is None:
        return None
    known = load_space(record)
    return Room(step, number, known, known)
