"""What goes on behind the calls, a small piece at a time: accesses, eviction, expiry, deleted caches."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from sutler.errors import DataLoss

from services.cache.accesses import Access
from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.records import Held, load_answer, load_lease, load_news
from services.cache.adapters.ordered.spaces import KEPT_SECONDS, Room, room_by_number, room_of
from services.cache.adapters.ordered.steps import PAGE, Step
from services.cache.adapters.ordered.writing import end_lease, find, find_or_remove, is_over, remove, save
from services.cache.caches import EVICT_TO, Cache, passes_limit
from services.cache.ranks import frequent
from services.cache.results import Swept


def record(step: Step, accesses: Sequence[Access]) -> None:
    """Adds accesses to their entries, and renews the lives of those that slide."""
    step.want(keys.entry(access.space, access.key) for access in accesses)
    for access in accesses:
        room = room_by_number(step, access.space)
        held = None if room is None else _readable(room, access.key)
        if room is None or held is None or held.entry.put_time != access.put_time:
            continue
        last = access.last_time
        entry = replace(
            held.entry,
            hit_count=held.entry.hit_count + access.hits,
            access_time=max(held.entry.access_time or 0.0, last),
        )
        purge_time = held.purge_time
        # An access does not bring back what a later touch or invalidation has ended: that was decided after it.
        if access.sliding and entry.ttl and entry.expire_time is not None and entry.life_time <= last:
            expire_time = max(entry.expire_time, last + entry.ttl)
            purge_time = None if purge_time is None else purge_time - entry.expire_time + expire_time
            entry = replace(entry, expire_time=expire_time)
        worth = frequent(held.worth, access.hits, last) if access.by_frequency else last
        save(room, held, replace(held, entry=entry, purge_time=purge_time, worth=max(held.worth, worth)))


def evict(step: Step, cache: Cache) -> Swept:
    """Removes entries of a cache that is over a limit, those that are worth least first."""
    room, count = room_of(step, cache), 0
    start = keys.ranks(cache.space)
    for found, _ in step.scan(start, keys.below(start)):
        if count == PAGE or not passes_limit(cache, room.known.usage, EVICT_TO):
            break
        held = find_or_remove(room, keys.ranked(cache.space, found))
        if held is None:
            step.delete(found)
        else:
            remove(room, held)
            count += 1
    room.save()
    return Swept({cache.space: count}, count == PAGE and passes_limit(cache, room.known.usage, EVICT_TO))


def expire(step: Step, due: Sequence[bytes]) -> dict[int, int]:
    """Removes what is over; returns how many entries of each cache.

    Args:
        step: The step.
        due: What one tenant has that may be over, as the keys say that tell of it.
    """
    step.want([*due, *map(keys.due_record, due)])
    counts: dict[int, int] = {}
    for found in due:
        if step.get(found) is None:
            continue
        what = keys.due_record(found)
        kind, _, rest = keys.text(what).partition("/")
        if kind == "request":
            _expire_answer(step, found, what)
            continue
        number, _, key = rest.partition("/")
        room = room_by_number(step, int(number))
        if room is None:
            step.delete(found)
        elif kind == "news":
            _expire_news(room, found)
        elif kind == "lease":
            _expire_lease(room, found, key)
        elif _expire_entry(room, found, key):
            counts[room.number] = counts.get(room.number, 0) + 1
        if room is not None:
            room.save()
    return counts


def drop(step: Step, number: int) -> bool:
    """Removes entries of a deleted cache; returns whether there is more."""
    room = room_by_number(step, number)
    if room is None:
        return False
    count = 0
    for start in (keys.entries(number), keys.leases(number), keys.news(number)):
        for found, _ in step.scan(start, keys.below(start)):
            if count == PAGE:
                room.save()
                return True
            key = keys.text(found[len(start) :])
            held = find_or_remove(room, key) if start == keys.entries(number) else None
            if held is not None:
                remove(room, held)
            elif start == keys.leases(number):
                end_lease(room, key)
            else:
                step.delete(found)
            count += 1
    room.save()
    return False


def _readable(room: Room, key: str) -> Held | None:
    with suppress(DataLoss):
        return find(room, key)
    return None


def _expire_entry(room: Room, found: bytes, key: str) -> bool:
    held = find_or_remove(room, key)
    if held is None:
        room.step.delete(found)
        return False
    if not is_over(held, room.step.now):
        return False
    remove(room, held)
    return True


def _expire_lease(room: Room, found: bytes, key: str) -> None:
    what = room.step.get(keys.lease(room.number, key))
    if what is None:
        room.step.delete(found)
    elif not load_lease(key, what).alive(room.step.now):
        end_lease(room, key)


def _expire_answer(step: Step, found: bytes, what: bytes) -> None:
    record = step.get(what)
    if record is None or load_answer(record).expire_time <= step.now:
        step.delete(what)
        step.delete(found)


def _expire_news(room: Room, found: bytes) -> None:
    """Removes what followers were told long ago, and looks again while there is more."""
    step, start, last = room.step, keys.news(room.number), 0
    for key, record in step.scan(start, keys.below(start)):
        if load_news(record).time > step.now - KEPT_SECONDS:
            break
        step.delete(key)
        last = keys.position(room.number, key)
    if last:
        room.known = replace(room.known, followed_from=max(room.known.followed_from, last))
    step.delete(found)
    if room.known.followed_until > step.now or room.known.told > room.known.followed_from:
        room.look_at_news()
