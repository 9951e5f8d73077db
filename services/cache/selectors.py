"""Which entries an invalidation means."""

from __future__ import annotations

from dataclasses import dataclass

from sutler.filtering import Filter


@dataclass(frozen=True, slots=True)
class Selector:
    """Names entries in one of five ways; exactly one attribute is set.

    Attributes:
        keys: Entries with these keys.
        tags: Entries with at least one of these tags.
        prefix: Entries whose key begins so.
        filter: Entries that match.
        everything: All entries.
    """

    keys: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    prefix: str = ""
    filter: Filter | None = None
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """An entry as it was when it was selected.

    Attributes:
        key: Its key.
        put_time: When it was put; another time stands for another entry, which was not selected.
    """

    key: str
    put_time: float
