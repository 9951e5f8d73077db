"""What a change of one entry does: pure decisions, made where nobody else changes the entry meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from services.cache.caches import Cache, Usage
from services.cache.entries import Blob, Entry, Unreadable, living, touch_life
from services.cache.faults import cache_full, entry_changed
from services.cache.leases import Lease
from services.cache.signing import NO_KEYS, Signer


class View(Protocol):
    """What a decision may look at, as of the moment of the change."""

    @property
    def entry(self) -> Entry | Unreadable | None:
        """What stands under the key, alive, expired or unreadable."""
        ...

    @property
    def lease(self) -> Lease | None:
        """The lease of the key, if it lasts; for a row that looks at it."""
        ...

    @property
    def usage(self) -> Usage:
        """What the cache takes."""
        ...

    @property
    def now(self) -> float:
        """The time, in seconds since 1970."""
        ...

    def blob(self, sha256: str) -> Blob | None:
        """Returns a blob that an entry of the cache has."""
        ...


@dataclass(frozen=True, slots=True)
class Draft:
    """A blob that is on its way into a cache: its bytes are durable, but no entry refers to them yet.

    Attributes:
        blob: What it is; without a locator if an equal one of the tenant was found, which must still be there.
        written_time: When its file was written; after a while the sweep of orphans may take it.
    """

    blob: Blob
    written_time: float


@dataclass(frozen=True, slots=True)
class Store:
    """The entry takes the place of what is there, and a lease of the key ends."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Renew:
    """Only the life of the entry changes."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Remove:
    """What is there goes, and a lease of the key ends."""

    entry: Entry | Unreadable


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing changes."""

    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Grant:
    """The lease is given, or takes the place of the one that is there; the entry stays as it is."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Release:
    """The lease of the key ends; the entry stays as it is."""


Decision: TypeAlias = Store | Renew | Remove | Leave | Grant | Release
Decide: TypeAlias = Callable[[View], Decision]


@dataclass(frozen=True, slots=True)
class Row:
    """One change of one entry.

    Attributes:
        key: Which.
        decide: What to do; raises a SutlerError to refuse, and may be called again.
        with_value: Whether it looks at the value.
        with_lease: Whether it looks at the lease of the key; one that stores an entry does so for the lease's holder.
        draft: The blob that the entry would refer to.
    """

    key: str
    decide: Decide
    with_value: bool = False
    with_lease: bool = False
    draft: Draft | None = None


def delete(cache: Cache, key: str, etag: str, allow_missing: bool) -> Row:
    """Returns the change that deletes an entry.

    It refuses with NotFound (ENTRY_NOT_FOUND, ENTRY_EXPIRED) unless ``allow_missing``, and with Conflict. A lease of
    the key ends also if there is no entry: what is computed under it may be what is to be forgotten. What cannot be
    read goes, but has no etag that a caller could know.
    """

    def decide(view: View) -> Decision:
        found = view.entry
        if isinstance(found, Unreadable):
            if etag and etag != "*" and not allow_missing:
                raise entry_changed(cache.name, key)
            return Remove(found)
        if allow_missing and (found is None or not found.alive(view.now)):
            return Release() if found is None else Remove(found)
        entry = living(cache, key, found, view.now)
        _check_etag(cache, entry, etag)
        return Remove(entry)

    return Row(key, decide)


def touch(cache: Cache, key: str, ttl: float | None, etag: str, signer: Signer = NO_KEYS) -> Row:
    """Returns the change that gives an entry a new life.

    It refuses with NotFound (ENTRY_NOT_FOUND, ENTRY_EXPIRED, ENTRY_CORRUPT, SIGNATURE_INVALID), Conflict, and
    Invalid (EXPIRY_NOT_ALLOWED).
    """

    def decide(view: View) -> Decision:
        entry = signer.checked(cache, living(cache, key, view.entry, view.now))
        _check_etag(cache, entry, etag)
        life = touch_life(cache, entry, ttl, view.now)
        return Renew(replace(entry, ttl=life.ttl, expire_time=life.expire_time, life_time=view.now))

    return Row(key, decide)


def _check_etag(cache: Cache, entry: Entry, etag: str) -> None:
    if etag and etag != "*" and etag.strip('"') != entry.etag.strip('"'):
        raise entry_changed(cache.name, entry.key)


def check_room(cache: Cache, view: View, after: Entry) -> None:
    """Checks that a cache that does not evict has room for an entry.

    Raises:
        Exhausted: If the entry would grow the cache past a limit (CACHE_FULL).
    """
    if cache.evicts:
        return
    before, usage = view.entry, view.usage
    if before is None and 0 < cache.rules.max_entries <= usage.entries:
        raise cache_full(cache.name, "max_entries", cache.rules.max_entries)
    added = 0 if after.blob is not None and view.blob(after.blob.sha256) else after.stored_size
    grows = added - (before.stored_size if isinstance(before, Entry) and before.blob is None else 0)
    if cache.max_bytes and grows > 0 and usage.stored_bytes + grows > cache.max_bytes:
        raise cache_full(cache.name, "max_bytes", cache.max_bytes)
