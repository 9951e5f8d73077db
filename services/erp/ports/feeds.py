"""What the domain needs of the store for feeds. Every method raises Unavailable if the store does not answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sutler.events import Event
from sutler.tails import Signal

from services.erp.feed.model import Change, Cursor, Feed, Observation, Touch


class FeedStore(Protocol):
    """Feeds: what they know, and how far they have read."""

    async def to_follow(self) -> list[Feed]:
        """Returns the feeds of all tenants that are for somebody now: of subscriptions, and watches with a reader."""
        ...

    async def version(self) -> int:
        """Returns a number that changes whenever a feed begins, changes or goes: so that nobody reads all in vain."""
        ...

    async def get(self, uid: str) -> Feed | None:
        """Returns a feed; None if it is gone."""
        ...

    async def ensure(self, feed: Feed, observations: Sequence[Observation], check: Callable[[int], None]) -> Feed:
        """Stores a watch's feed unless one of its uid is there, keeps it alive, and returns the one that is there.

        ``check`` is given :meth:`watched`, and may refuse another one.
        """
        ...

    async def watched(self, connection_uid: str, creator: str) -> int:
        """Returns how many feeds of a connection watches of one principal have begun that did not end yet."""
        ...

    async def keep_alive(self, feed: Feed) -> None:
        """Keeps a watch's feed until its ``rest_time`` and ``expire_time``."""
        ...

    async def rest(self, uid: str) -> None:
        """Lets a watch's feed rest until somebody keeps it alive."""
        ...

    async def adopt(self, feed: Feed, principal: str) -> None:
        """Lets a watch's feed be read on behalf of another principal from now on, unless another one did so before."""
        ...

    async def observations(self, feed: Feed, ids: Sequence[int]) -> dict[int, Observation]:
        """Returns what a feed knows of records, also of those that are out of view."""
        ...

    async def known_times(self, feed: Feed, after_id: int, limit: int) -> dict[int, float]:
        """Returns when records that a feed has in view last changed, by id and in the order of ids."""
        ...

    async def left_over(self, feed: Feed, limit: int) -> list[int]:
        """Returns ids of records in view that the last baseline has not seen."""
        ...

    async def commit(self, feed: Feed, step: Step, fence: int) -> None:
        """Stores what a step of reading has found: observations, changes, events, and the cursor.

        Raises:
            Conflict: If another process polls now (LEASE_LOST), or the feed has changed or gone (FEED_CHANGED).
        """
        ...

    async def failed(self, feed: Feed, error: bytes, fence: int) -> None:
        """Notes why the ERP cannot be read; empty for that it can."""
        ...

    async def touched(self, feed: Feed, limit: int) -> list[Touch]:
        """Returns writes through the gateway that a feed has not looked at yet, in order."""
        ...

    async def clear(self) -> None:
        """Deletes, a piece at a time, what feeds knew and told that are gone or have begun anew."""
        ...

    async def latest_touch(self) -> int:
        """Returns the number of the last write through the gateway."""
        ...

    async def log_bounds(self, uid: str) -> tuple[int, int]:
        """Returns the position before the oldest kept change of a watch's feed, and that of the newest."""
        ...

    async def log_after(self, uid: str, position: int, limit: int) -> list[tuple[int, Change]]:
        """Returns changes of a watch's feed after a position, in order: at most 3 MiB as stored, but at least one."""
        ...

    @property
    def signal(self) -> Signal:
        """Wakes those who wait for commits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step of reading has found, to be stored together.

    Attributes:
        cursor: How far the feed has read now.
        observed: What is known of records now.
        gone: Records that are out of view now; what is known of them stays.
        growth: How many more records are known now.
        changes: What a watch shows.
        events: What a subscription tells.
        read: Whether the ERP was read with success.
    """

    cursor: Cursor
    observed: Sequence[Observation] = ()
    gone: Sequence[int] = ()
    growth: int = 0
    changes: Sequence[Change] = ()
    events: Sequence[Event] = ()
    read: bool = True
