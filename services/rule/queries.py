"""What callers ask of lists, and what they get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """One page of a list.

    Attributes:
        filter: Which to return (AIP-160).
        order_by: The order; the list's own if empty.
        size: The most to return.
        after: The position of the last item of the page before; None at the start.
    """

    filter: str
    order_by: str
    size: int
    after: Sequence[Any] | None


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What was found.

    Attributes:
        items: In order.
        positions: The position of each, for page tokens.
        more: Whether others follow.
    """

    items: Sequence[T]
    positions: Sequence[Sequence[Any]]
    more: bool
