"""What a cache must do, as a dict and a clock: the model that ``test_model.py`` compares the service with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

DEFAULT_TTL = 100.0
RETENTION = 50.0


@dataclass(frozen=True)
class Item:
    """What stands under a key."""

    value: bytes
    etag: str
    ttl: float | None
    expires: float | None
    tags: tuple[str, ...] = ()
    metadata: str = ""
    counter: bool = False


@dataclass(frozen=True)
class Held:
    """A lease."""

    token: str
    ends: float
    tags: tuple[str, ...]


class Refused(Exception):
    """What the service must answer with.

    Args:
        reason: Its reason.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Model:
    """A cache."""

    now: float
    items: dict[str, Item] = field(default_factory=dict)
    leases: dict[str, Held] = field(default_factory=dict)
    tokens: list[tuple[str, str]] = field(default_factory=list)
    etags: Iterable[int] = field(default_factory=itertools.count)

    def living(self, key: str) -> Item | None:
        item = self.items.get(key)
        return item if item and (item.expires is None or item.expires > self.now) else None

    def lease(self, key: str) -> Held | None:
        held = self.leases.get(key)
        return held if held and held.ends > self.now else None

    def get(self, key: str) -> Item:
        """Returns a living entry, or raises why there is none; what its time is over for may have been removed."""
        item = self.living(key)
        if item is None:
            raise Refused("ENTRY_EXPIRED|ENTRY_NOT_FOUND" if key in self.items else "ENTRY_NOT_FOUND")
        return item

    def put(self, key: str, item: Item, condition: tuple[str, str], keep: bool = False) -> Item:
        kind, argument = condition
        found = self.living(key)
        if kind == "absent" and found:
            raise Refused("ALREADY_EXISTS")
        if kind == "etag" and (not found or found.etag != argument):
            raise Refused("ETAG_MISMATCH")
        if kind == "lease" and ((held := self.lease(key)) is None or held.token != argument):
            raise Refused("LEASE_LOST")
        if keep:
            kept = self.get(key)
            item = replace(item, value=kept.value, counter=kept.counter)
        self.store(key, item)
        return item

    def store(self, key: str, item: Item) -> None:
        self.items[key] = item
        self.leases.pop(key, None)

    def delete(self, key: str, etag: str, missing: bool) -> None:
        found = self.living(key)
        if found is None:
            if not missing:
                self.get(key)
        elif etag and etag != found.etag:
            raise Refused("ETAG_MISMATCH")
        self.items.pop(key, None)
        self.leases.pop(key, None)

    def touch(self, key: str, ttl: float | None) -> Item:
        found = self.get(key)
        if ttl is None and found.ttl is None:
            touched = found
        else:
            wanted = found.ttl if ttl is None else ttl
            assert wanted is not None
            touched = replace(found, ttl=wanted, expires=self.now + wanted if wanted else None)
        self.items[key] = touched
        return touched

    def count(self, key: str, delta: int) -> int:
        found = self.living(key)
        if found and not found.counter:
            raise Refused("NOT_COUNTER")
        value = (int(found.value) if found else 0) + delta
        life = found or Item(b"", "", DEFAULT_TTL, self.now + DEFAULT_TTL, counter=True)
        self.store(key, replace(life, value=str(value).encode(), etag=""))
        return value

    def invalidate(self, meant: Callable[[str, Item], bool], leases: Callable[[str, Held], bool]) -> int:
        """Removes what is meant, and returns how many of it were alive."""
        keys = [key for key, item in self.items.items() if meant(key, item)]
        count = sum(self.living(key) is not None for key in keys)
        for key in keys:
            del self.items[key]
            self.leases.pop(key, None)
        self.leases = {key: held for key, held in self.leases.items() if not leases(key, held)}
        return count
