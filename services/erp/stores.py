"""What the domain needs of the store. Every method raises Unavailable if the store does not answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sutler.events import Event
from sutler.filtering import Filter
from sutler.idempotency import Once
from sutler.paging import Order
from sutler.tails import Signal

from services.erp.connections import Condition, Connection, State
from services.erp.feed.model import Change, Cursor, Feed, Observation, Touch
from services.erp.journal import Entry
from services.erp.records import FieldSet
from services.erp.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class Query:
    """One page of a list.

    Attributes:
        filter: What to list.
        orders: In which order; the last tells all apart.
        after: Where the page begins: the values of the order fields in the item before; None at the start.
        limit: How many to return, one more than a page to see whether there is another.
    """

    filter: Filter
    orders: Sequence[Order]
    after: Sequence[Any] | None
    limit: int


class ConnectionStore(Protocol):
    """Connections."""

    async def get(self, tenant: str, connection_id: str) -> Connection:
        """Returns a connection. Raises NotFound if the tenant has none of that name."""
        ...

    async def current(self, tenant: str, connection_id: str) -> Connection:
        """Returns a connection as :meth:`get`, for little; its condition may be an older one."""
        ...

    async def page(self, tenant: str, query: Query) -> list[Connection]:
        """Returns a page of a tenant's connections."""
        ...

    async def in_state(self, states: Sequence[State], limit: int) -> list[Connection]:
        """Returns connections of all tenants that are in one of the states and not switched off."""
        ...

    async def save(
        self,
        tenant: str,
        connection_id: str,
        edit: Callable[[Connection | None, float], Connection],
        once: Once | None,
    ) -> Connection:
        """Stores what ``edit`` makes of a connection, or of None if there is none, and of the time.

        If its epoch changes, its feeds begin anew with a silent baseline.

        Raises:
            AlreadyExists: If there is one whose id differs in case only.
            SutlerError: Whatever ``edit`` raises; it may run more than once.
        """
        ...

    async def delete(
        self,
        tenant: str,
        connection_id: str,
        check: Callable[[Connection | None], bool],
        once: Once | None,
        *,
        force: bool,
    ) -> str | None:
        """Deletes a connection with its feeds, with ``force`` also with its subscriptions, and returns its uid.

        Args:
            tenant: Whose it is.
            connection_id: Which.
            check: Looks at it before and returns whether to go on; what it raises stands.
            once: The request.
            force: Whether subscriptions go too.

        Raises:
            FailedPrecondition: If it has subscriptions and ``force`` is not set (HAS_CHILDREN).
            Conflict: If a write is under way (OPERATION_IN_PROGRESS).
        """
        ...

    async def secrets(self, after_uid: str, limit: int) -> list[tuple[str, Mapping[str, bytes]]]:
        """Returns the encrypted secrets of connections of all tenants, with their uids, in the order of those."""
        ...

    async def reseal(self, uid: str, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> None:
        """Stores the same secrets encrypted anew, unless they have changed; the connection stays as it is."""
        ...

    async def keep_condition(self, connection: Connection, condition: Condition) -> None:
        """Stores how well a connection's ERP answers, unless its settings have changed since."""
        ...


class FigureStore(Protocol):
    """What each process has counted."""

    async def put(self, process: str, figures: Mapping[str, Any]) -> None:
        """Stores what a process has counted, by uids of connections, in place of what it stored before."""
        ...

    async def others(self, process: str, uid: str, seconds: float) -> list[Mapping[str, Any]]:
        """Returns what other processes have counted of a connection, of those that stored anything of late."""
        ...

    async def drop(self, process: str) -> None:
        """Removes what a process stored."""
        ...


class FieldSets(Protocol):
    """What etags cover."""

    async def keep(self, fields: FieldSet) -> None:
        """Remembers a set of fields, for as long as the retention of etags says."""
        ...

    async def find(self, digest: str) -> FieldSet | None:
        """Returns the set of fields that an etag names; None if it is unknown."""
        ...


class JournalStore(Protocol):
    """The journal of writes."""

    async def begin(self, entry: Entry) -> Entry | None:
        """Stores an entry, unless one of the same request is there: then returns that and stores nothing."""
        ...

    async def take(self, entry: Entry, lease_time: float, owner: str) -> None:
        """Makes this process the owner of an entry, until ``lease_time``."""
        ...

    async def done(self, entry: Entry, record_ids: Sequence[int], touched: Sequence[Touch]) -> None:
        """Notes that the ERP did it, before its values are read back."""
        ...

    async def finish(self, entry: Entry, once: Once | None, result: Any, touched: Sequence[Touch]) -> None:
        """Removes an entry, tells the feeds what was written, and remembers the answer."""
        ...

    async def drop(self, entry: Entry) -> None:
        """Removes an entry whose write the ERP refused, or was never asked for."""
        ...

    async def unknown(self, entry: Entry, error: bytes) -> None:
        """Notes that nobody can know the outcome; ``error`` is the serialised status."""
        ...

    async def abandoned(self, limit: int) -> list[Entry]:
        """Returns entries that are not repeatable and whose owner is overdue."""
        ...

    async def get(self, tenant: str, connection_id: str, uid: str) -> Entry:
        """Returns an entry that is not repeatable. Raises NotFound if there is none."""
        ...

    async def page(self, tenant: str, connection_id: str, query: Query) -> list[Entry]:
        """Returns a page of the entries of a connection that are not repeatable."""
        ...


class SubscriptionStore(Protocol):
    """Subscriptions."""

    async def get(self, tenant: str, connection_id: str, subscription_id: str) -> Subscription:
        """Returns a subscription. Raises NotFound if there is none of that name."""
        ...

    async def page(self, tenant: str, connection_id: str, query: Query) -> list[Subscription]:
        """Returns a page of a connection's subscriptions."""
        ...

    async def save(
        self,
        connection: Connection,
        subscription_id: str,
        edit: Callable[[Subscription | None, float], tuple[Subscription, Feed | None]],
        observations: Sequence[Observation],
        once: Once | None,
    ) -> Subscription:
        """Stores what ``edit`` makes of a subscription, and the feed that goes with it if that is new or changed.

        ``observations`` are what the feed knows from the start. Raises as :meth:`ConnectionStore.save`.
        """
        ...

    async def delete(
        self,
        tenant: str,
        connection_id: str,
        subscription_id: str,
        check: Callable[[Subscription | None], bool],
        once: Once | None,
    ) -> None:
        """Deletes a subscription and its feed; ``check`` as in :meth:`ConnectionStore.delete`."""
        ...

    async def of_feed(self, feed: Feed) -> Subscription | None:
        """Returns the subscription that a feed belongs to; None if it was deleted or the feed is a watch's."""
        ...

    async def pending(self, subscription: Subscription) -> int:
        """Returns how many events of a subscription wait to be delivered."""
        ...


class FeedStore(Protocol):
    """Feeds: what they know, and how far they have read."""

    async def all(self) -> list[Feed]:
        """Returns all feeds of all tenants."""
        ...

    async def version(self) -> int:
        """Returns a number that changes whenever a feed begins, changes or goes: so that nobody reads all in vain."""
        ...

    async def get(self, uid: str) -> Feed | None:
        """Returns a feed; None if it is gone."""
        ...

    async def ensure(self, feed: Feed, observations: Sequence[Observation]) -> Feed:
        """Stores a watch's feed unless one of its uid is there, keeps it alive, and returns the one that is there."""
        ...

    async def keep_alive(self, uid: str, until: float) -> None:
        """Keeps a watch's feed until a time in epoch seconds."""
        ...

    async def observations(self, uid: str, ids: Sequence[int]) -> dict[int, Observation]:
        """Returns what a feed knows of records."""
        ...

    async def known_times(self, uid: str, after_id: int, limit: int) -> dict[int, float]:
        """Returns when records that a feed knows last changed, by id and in the order of ids."""
        ...

    async def left_over(self, uid: str, generation: int, limit: int) -> list[int]:
        """Returns ids of records that the last baseline has not seen."""
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

    async def latest_touch(self) -> int:
        """Returns the number of the last write through the gateway."""
        ...

    async def count(self, uid: str) -> int:
        """Returns how many records a feed knows."""
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
        gone: Records that are no longer known.
        changes: What a watch shows.
        events: What a subscription tells.
        read: Whether the ERP was read with success.
    """

    cursor: Cursor
    observed: Sequence[Observation] = ()
    gone: Sequence[int] = ()
    changes: Sequence[Change] = ()
    events: Sequence[Event] = ()
    read: bool = True
