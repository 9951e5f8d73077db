"""The work behind the RPCs about caches themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from sutler.auth import authorize
from sutler.context import Principal
from sutler.errors import SutlerError, not_found
from sutler.etags import check_etag
from sutler.filtering import parse
from sutler.idempotency import Once

from services.cache.backends import Backends
from services.cache.caches import COLLECTION, Cache, Rules, check_rules
from services.cache.evicting import Evictor
from services.cache.faults import CacheMovedError, has_children
from services.cache.listing import ENTRIES, ENTRY_ORDER, Query
from services.cache.ports import Catalogue
from services.cache.publishing import Publishing
from services.cache.results import Deletion
from services.cache.signing import Signer

CREATE = "cache.caches.create"
FIRST = Query(parse("", ENTRIES), ENTRY_ORDER, None, limit=1000)


class Caches:
    """Creates, changes and deletes caches.

    Args:
        catalogue: Where they are.
        backends: Where their entries can be.
        evictor: Makes room where a limit became lower.
        signer: Signs entries.
        publishing: Tells of caches that are deleted.
    """

    def __init__(
        self, catalogue: Catalogue, backends: Backends, evictor: Evictor, signer: Signer, publishing: Publishing
    ) -> None:
        self._catalogue = catalogue
        self._backends = backends
        self._evictor = evictor
        self._signer = signer
        self._publishing = publishing

    async def get(self, tenant: str, cache_id: str) -> Cache:
        """Returns a cache.

        Raises:
            NotFound: If there is none.
        """
        found = await self._catalogue.get(tenant, cache_id)
        if found is None:
            raise not_found(f"{COLLECTION}/{cache_id}")
        return found

    async def page(self, tenant: str, query: Query) -> list[Cache]:
        """Returns caches of a tenant, one more than the limit if there are more."""
        return await self._catalogue.page(tenant, query)

    async def create(
        self, tenant: str, cache_id: str, rules: Rules, once: Once | None, *, validate_only: bool
    ) -> Cache:
        """Creates a cache.

        Raises:
            AlreadyExists: If there is one.
            Invalid: If the rules contradict each other, or a backend is not configured (BACKEND_UNKNOWN).
            FailedPrecondition: If they want entries signed, and there is no key (SIGNING_KEY_MISSING).
            Unavailable: If its metadata backend does not answer.
        """
        cache = Cache(tenant=tenant, id=cache_id, rules=self._checked(rules))
        await self._check_answers(cache)
        return await self._catalogue.create(cache, once, validate_only=validate_only)

    async def update(
        self,
        tenant: str,
        principal: Principal,
        cache_id: str,
        etag: str,
        change: Callable[[Cache], Rules],
        once: Once | None,
        *,
        allow_missing: bool,
        validate_only: bool,
    ) -> Cache:
        """Changes a cache, or creates it.

        Args:
            tenant: Whose it is.
            principal: Who changes it.
            cache_id: Which.
            etag: The etag that it must have; any if empty.
            change: Returns the new rules of a cache; it may be called again. Gets an empty one to create it.
            once: What remembers the answer.
            allow_missing: Whether to create it if there is none.
            validate_only: Whether to change nothing.

        Raises:
            NotFound: If there is none.
            PermissionDenied: If there is none, and the principal may not create it.
            Conflict: If it has another etag.
            Invalid, FailedPrecondition, Unavailable: As :meth:`create`.
        """

        def decide(found: Cache | None) -> Cache:
            if found is None:
                if not allow_missing:
                    raise not_found(f"{COLLECTION}/{cache_id}")
                authorize(principal, CREATE, [f"{COLLECTION}/{cache_id}"])
                found = Cache(tenant=tenant, id=cache_id)
            else:
                check_etag(etag, found.etag, found.name)
            return replace(found, rules=self._checked(change(found)))

        if allow_missing and await self._catalogue.get(tenant, cache_id) is None:
            await self._check_answers(decide(None))
        updated = await self._catalogue.change(tenant, cache_id, decide, once, validate_only=validate_only)
        if not validate_only:
            self._evictor.wake(updated)
            await self._tell_waiters(updated)
        return updated

    async def delete(self, deletion: Deletion, once: Once | None, *, validate_only: bool) -> None:
        """Deletes a cache. Raises as :meth:`services.cache.ports.Catalogue.delete`."""
        found = await self._catalogue.get(deletion.tenant, deletion.cache_id)
        if found is not None and not deletion.force:
            await self._check_empty(deletion, found)
        event = self._publishing.of_deleted(await self._entries(found) if found is not None else 0)
        await self._catalogue.delete(deletion, once, validate_only=validate_only, event=event)
        if found is not None and not validate_only:
            await self._tell_waiters(found)

    async def _check_answers(self, cache: Cache) -> None:
        """Checks that a new cache can be used: one whose metadata backend does not answer is not made."""
        await self._backends.metadata(cache).health()

    async def _entries(self, cache: Cache) -> int:
        """Returns how many entries a cache has, if that is to be published; 0 where its backend does not answer, so
        that a cache can be deleted whose backend is gone."""
        if cache.rules.publish_invalidations:
            with suppress(SutlerError):
                return (await self._backends.metadata(cache).usage(cache)).entries
        return 0

    async def _tell_waiters(self, cache: Cache) -> None:
        """Has those who wait in a cache look anew; if its backend does not answer, they do so in a few seconds."""
        with suppress(SutlerError):
            await self._backends.metadata(cache).moved(cache)

    async def _check_empty(self, deletion: Deletion, found: Cache) -> None:
        """Checks that a cache whose entries are not beside the catalogue has none."""
        check_etag(deletion.etag, found.etag, found.name)
        with suppress(CacheMovedError):  # then the catalogue decides by what the cache is now
            listed = await self._backends.metadata(found).page(found, FIRST)
            if listed.entries:
                raise has_children(found.name, len(listed.entries), more=listed.more)

    def _checked(self, rules: Rules) -> Rules:
        check_rules(rules)
        if rules.signing:
            self._signer.check_key()
        return self._backends.chosen(rules)
