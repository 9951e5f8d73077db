"""The records beside each entry that say where to find it: by tag, in the order of eviction, by its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sutler.backends import OrderedStore

from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.records import Held, load_entry
from services.cache.caches import Cache

Wrong = set[tuple[bytes, str]]
"""Keys of records, each with the key of its entry."""


def of(tenant: str, number: int, held: Held) -> Mapping[bytes, bytes]:
    """Returns the records that belong to an entry."""
    key = held.entry.key
    wanted = {keys.tag(number, tag, key): b"" for tag in held.entry.tags}
    wanted[keys.rank(number, held.worth, key)] = b""
    if held.purge_time is not None:
        wanted[keys.due(held.purge_time, keys.entry(number, key))] = tenant.encode()
    return wanted


def name(found: bytes) -> str:
    """Returns what the index is of that a record is in."""
    return {"tag": "tags", "rank": "uses", "due": "ends"}[keys.text(found.partition(b"/")[0])]


async def missing(store: OrderedStore, cache: Cache, group: Sequence[Held]) -> Wrong:
    """Returns records that belong to entries and are not there."""
    wanted = [(found, held.entry.key) for held in group for found in of(cache.tenant, cache.space, held)]
    there = await store.get([found for found, _ in wanted]) if wanted else ()
    return {pair for pair, value in zip(wanted, there, strict=True) if value is None}


async def stale(store: OrderedStore, cache: Cache, group: Sequence[bytes]) -> Wrong:
    """Returns those of some records that belong to no entry."""
    wanted = [(found, _entry_key(cache.space, found)) for found in group]
    stored = await store.get([keys.entry(cache.space, key) for _, key in wanted]) if wanted else ()
    wrong: Wrong = set()
    for (found, key), record in zip(wanted, stored, strict=True):
        held = None if record is None else load_entry(key, record)
        if not isinstance(held, Held) or found not in of(cache.tenant, cache.space, held):
            wrong.add((found, key))
    return wrong


def _entry_key(number: int, found: bytes) -> str:
    if found.startswith(keys.ranks(number)):
        return keys.ranked(number, found)
    return keys.tagged(number, found)[1]
