"""Lists and watches of stored things."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Generic, Protocol, TypeVar

from sutler.tails import Log

T = TypeVar("T")


class ChangeKind(IntEnum):
    """What a change is to a watch; the numbers of the contract."""

    CREATED = 1
    UPDATED = 2
    DELETED = 3


@dataclass(frozen=True, slots=True)
class Noticed(Generic[T]):
    """A change, as a watch with a filter sees it.

    Attributes:
        kind: What it is; None if it does not concern the filter.
        item: The thing after the change, or as it was last.
        time: When, seconds since 1970.
    """

    kind: ChangeKind | None
    item: T | None
    time: float


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """A thing in a list.

    Attributes:
        item: The thing.
        position: Where it stands in the order; what JSON can carry.
    """

    item: T
    position: Sequence[Any]


class Pages(Protocol[T]):
    """Things of one kind that can be listed."""

    async def find(
        self, tenant: str, filter: str, order_by: str, after: Sequence[Any] | None, limit: int
    ) -> Sequence[Listed[T]]:
        """Returns things that pass a filter, in order, after a position.

        Raises:
            Invalid: If the filter or the order is wrong (FILTER_INVALID, ORDER_BY_INVALID).
        """
        ...


class Listing(Pages[T], Protocol):
    """The stored things of one kind, for lists and watches."""

    def matches(self, filter: str) -> Callable[[T], bool]:
        """Returns a function that tells whether a thing passes a filter.

        Raises:
            Invalid: If the filter is wrong (FILTER_INVALID).
        """
        ...

    def log(self, tenant: str, filter: str) -> Log[Noticed[T]]:
        """Returns the changes of a tenant's things, as a watch with a filter sees them.

        Raises:
            Invalid: If the filter is wrong (FILTER_INVALID).
        """
        ...
