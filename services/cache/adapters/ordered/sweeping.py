"""What goes on behind the calls, a small piece at a time: accesses, eviction, expiry, deleted caches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sutler.errors import DataLoss

from services.cache.accesses import Access
from services.cache.adapters.ordered import answers, keys, leases
from services.cache.adapters.ordered.held import find, remove_if_over, remove_whatever, save
from services.cache.adapters.ordered.records import Held, load_news
from services.cache.adapters.ordered.spaces import KEPT_SECONDS, Room, room_by_number, room_of
from services.cache.adapters.ordered.steps import PAGE, Step
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
        count += remove_whatever(room, keys.ranked(cache.space, found))
        step.delete(found)
    room.save()
    return Swept({cache.space: count}, count == PAGE and passes_limit(cache, room.known.usage, EVICT_TO))


def expire(step: Step, due: Sequence[bytes]) -> Swept:
    """Removes what is over.

    Args:
        step: The step.
        due: What one tenant has that may be over, as the keys say that tell of it.
    """
    step.want([*due, *map(keys.due_record, due)])
    counts, lost = dict[int, int](), dict[int, int]()
    for found in due:
        if step.get(found) is None:
            continue
        what = keys.due_record(found)
        kind, _, rest = keys.text(what).partition("/")
        if kind == "request":
            answers.expire(step, found, what)
            continue
        number, _, key = rest.partition("/")
        try:
            room = room_by_number(step, int(number))
        except DataLoss:  # it must not stop the others; a recount brings back what tells of the ends of its entries
            room = None
        if room is None:
            step.delete(found)
        elif kind == "news":
            _expire_news(room, found)
        elif kind == "lease":
            leases.expire(room, found, key)
        elif remove_if_over(room, found, key):
            counts[room.number] = counts.get(room.number, 0) + 1
        if room is not None:
            lost[room.number] = lost.get(room.number, 0) + room.lost_leases
            room.save()
    return Swept(counts, False, lost)


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
            if start == keys.entries(number):
                remove_whatever(room, key)
            elif start == keys.leases(number):
                leases.end(room, key)
                step.delete(found)
            else:
                step.delete(found)
            count += 1
    room.save()
    return False


def _readable(room: Room, key: str) -> Held | None:
    held = find(room, key)
    return held if isinstance(held, Held) else None


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
