"""The caches themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sutler.events import Event
from sutler.idempotency import Once

from services.cache.caches import Cache
from services.cache.listing import Query
from services.cache.results import Deletion, Dropped


class Catalogue(Protocol):
    """The caches themselves. Every method raises Unavailable if the store does not answer."""

    def recall(self, tenant: str, cache_id: str) -> Cache | None:
        """Returns a cache as it was known last, without looking: maybe changed or deleted since; None if unknown."""
        ...

    async def get(self, tenant: str, cache_id: str) -> Cache | None:
        """Returns a cache as it is now."""
        ...

    async def page(self, tenant: str, query: Query) -> list[Cache]:
        """Returns caches of a tenant, one more than the limit if there are more."""
        ...

    async def after(self, space: int, limit: int) -> list[Cache]:
        """Returns caches of all tenants whose number is greater than ``space``, by number."""
        ...

    async def create(self, cache: Cache, once: Once | None, *, validate_only: bool) -> Cache:
        """Stores a new cache.

        Raises:
            AlreadyExists: If the tenant has one whose id differs in ASCII case at most.
        """
        ...

    async def change(
        self,
        tenant: str,
        cache_id: str,
        decide: Callable[[Cache | None], Cache],
        once: Once | None,
        *,
        validate_only: bool,
    ) -> Cache:
        """Stores what ``decide`` makes of a cache, or of None; it may be called again, and what it raises is raised."""
        ...

    async def delete(
        self,
        deletion: Deletion,
        once: Once | None,
        *,
        validate_only: bool,
        event: Callable[[Cache], Event] | None = None,
    ) -> None:
        """Deletes a cache; its entries are out of reach from now on, and are removed later.

        With ``event``, what it makes of the cache is told, in the same step.

        Raises:
            NotFound: If there is none, unless that is allowed.
            Conflict: If it has another etag.
            FailedPrecondition: If it has living entries in the service's own database and ``force`` is not set.
        """
        ...

    async def dropped(self, limit: int) -> list[Dropped]:
        """Returns caches that were deleted."""
        ...

    async def gone(self, tenant: str) -> Sequence[int]:
        """Returns the numbers of all caches of a tenant that were deleted, and are not forgotten yet."""
        ...

    async def forget(self, space: int) -> None:
        """Forgets a deleted cache for good."""
        ...
