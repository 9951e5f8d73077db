"""What the domain needs of the store. Every method raises Unavailable if the store does not answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sutler.filtering import Filter
from sutler.idempotency import Once
from sutler.paging import Order

from services.erp.connections import Condition, Connection, State
from services.erp.feed.model import Feed, Observation, Touch
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
            Conflict: If its epoch would change while a write is under way (OPERATION_IN_PROGRESS), unless it is
                switched off.
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

    async def take(self, entry: Entry, lease_time: float, owner: str) -> bool:
        """Makes this process the owner of an entry, until ``lease_time``; returns whether it has not ended yet."""
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
