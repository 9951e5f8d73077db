"""Entries on their way out: alive, signed right, with a value that is whole, and counted as accessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sutler.errors import NotFound

from services.cache.accesses import Access, Accesses, must_store, renewed
from services.cache.backends import Backends
from services.cache.caches import Cache, Compression
from services.cache.counting import Count, Counts
from services.cache.entries import MAX_INLINE_BYTES, Entry, Unreadable, living
from services.cache.faults import DamagedError
from services.cache.forms import Form
from services.cache.ports import MetadataBackend
from services.cache.recent import Answer
from services.cache.signing import Signer
from services.cache.values import refusal, value_of


class Giving:
    """What every way to an entry asks before it is given out.

    Args:
        backends: Where blobs are.
        accesses: Remembers what was read.
        signer: Checks signatures.
        counts: Counts what reads find, but not those without a value.
    """

    def __init__(self, backends: Backends, accesses: Accesses, signer: Signer, counts: Counts) -> None:
        self._backends = backends
        self._accesses = accesses
        self._signer = signer
        self._counts = counts

    async def given(
        self, cache: Cache, backend: MetadataBackend, key: str, found: Entry | Unreadable | None, now: float, form: Form
    ) -> Entry:
        """Returns a found entry as it is given out, and counts the access."""
        if not form.counts:
            return self._signer.checked(cache, living(cache, key, found, now))
        try:
            entry = living(cache, key, found, now)
            if form.wants_value(entry):
                entry = await self.whole(cache, backend, entry)
            else:
                entry = replace(self._signer.checked(cache, entry), value=None)
        except NotFound as missing:
            self._counts.missed(cache.space, missing)
            raise
        self._counts.add(cache.space, Count.HIT)
        return await self.accessed(cache, backend, entry, now)

    def again(self, cache: Cache, answers: Sequence[Answer], now: float) -> None:
        """Counts accesses to entries that are answered as they were a moment ago."""
        self._counts.add(cache.space, Count.HIT, len(answers))
        self._accesses.add_all(cache, [answer.place for answer in answers], now)

    async def whole(self, cache: Cache, backend: MetadataBackend, entry: Entry) -> Entry:
        """Returns an entry that was read with its value as it is given out: checked, and with a value from a blob.

        Raises:
            NotFound: If it cannot be given out (ENTRY_CORRUPT, SIGNATURE_INVALID), or has gone meanwhile.
        """
        entry = self._signer.checked(cache, entry)
        if entry.blob is None or entry.size <= MAX_INLINE_BYTES:
            return await self.with_value(cache, backend, entry)
        return entry

    async def accessed(self, cache: Cache, backend: MetadataBackend, entry: Entry, now: float) -> Entry:
        """Counts an access to a living entry, and returns it with the life that it has now."""
        if must_store(cache, entry, now):
            await backend.record([Access(cache.space, entry.key, entry.put_time, True, 1, now, cache.by_frequency)])
        else:
            self._accesses.add(cache, entry, now)
        return renewed(cache, entry, now)

    async def with_value(self, cache: Cache, backend: MetadataBackend, entry: Entry) -> Entry:
        """Returns an entry with its value as it was put.

        A blob that is missing may have been removed since the entry was read, because the entry was put anew.
        """
        blobs = self._backends.blobs(cache)
        try:
            return _with(entry, await value_of(entry, blobs))
        except DamagedError as error:
            if entry.blob is None:
                raise refusal(cache, entry.key, error) from error
            again = await backend.get(cache, entry.key, value=True)
            newer = self._signer.checked(cache, living(cache, entry.key, again.entry, again.now))
            if newer.blob == entry.blob:
                raise refusal(cache, entry.key, error) from error
        if newer.size > MAX_INLINE_BYTES:
            return newer
        try:
            return _with(newer, await value_of(newer, blobs))
        except DamagedError as error:
            raise refusal(cache, entry.key, error) from error


def _with(entry: Entry, value: bytes) -> Entry:
    return entry if value is entry.value else replace(entry, value=value, packing=Compression.NONE)
