"""Pages of a list: sizes, order, and tokens bound to the request's other arguments (AIP-158, AIP-132)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sutler.errors import Invalid, invalid
from sutler.tokens import TokenSealer

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
MAX_PAGE_BYTES = 3 * 1024 * 1024
"""A page ends early when its messages reach this size, so that it fits into one gRPC message."""

T = TypeVar("T")


class ListRequest(Protocol):
    """What every List request has."""

    @property
    def page_size(self) -> int:
        """The most to return."""
        ...

    @property
    def page_token(self) -> str:
        """Where to go on."""
        ...


@dataclass(frozen=True, slots=True)
class Order:
    """One part of ``order_by``.

    Attributes:
        field: A field path.
        descending: Whether large values come first.
    """

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page.

    Attributes:
        items: The items in order.
        next_token: Where to go on; empty at the end.
    """

    items: Sequence[T]
    next_token: str = ""


def page_size(request: ListRequest) -> int:
    """Returns how many items a request wants: 50 for 0, at most 1000. Negative sizes are refused by the contract."""
    if request.page_size < 0:
        raise invalid("page_size", "must not be negative")
    return min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def parse_order_by(text: str, allowed: Collection[str], default: Sequence[Order]) -> tuple[Order, ...]:
    """Parses ``order_by``, such as ``create_time desc, name``.

    Args:
        text: What the caller sent.
        allowed: The fields that can be ordered by.
        default: The order if ``text`` is empty; its last field is appended as a tie-break otherwise.

    Raises:
        Invalid: If a field is unknown or repeated, or a direction is not ``asc`` or ``desc``.
    """
    if not text.strip():
        return tuple(default)
    orders: list[Order] = []
    for part in text.split(","):
        field, *direction = part.split()[:3] or [""]
        if not field:
            raise _bad_order(field, "a field is missing before or after a comma")
        if field not in allowed:
            raise _bad_order(field, f"{field!r} is none of {', '.join(sorted(allowed))}")
        if any(o.field == field for o in orders):
            raise _bad_order(field, f"{field!r} is named twice")
        if direction not in ([], ["asc"], ["desc"]):
            raise _bad_order(field, f"{field!r}: a direction is asc or desc")
        orders.append(Order(field, direction == ["desc"]))
    last = default[-1]
    return (*orders, *([] if any(o.field == last.field for o in orders) else [last]))


def _bad_order(field: str, description: str) -> Invalid:
    return invalid("order_by", description, reason="ORDER_BY_INVALID", metadata={"field": field})


class Pager:
    """Opens and makes the page tokens of one service.

    Args:
        sealer: Authenticates them.
    """

    def __init__(self, sealer: TokenSealer) -> None:
        self._sealer = sealer

    def position(self, tenant: str, method: str, request: Any) -> list[Any] | None:
        """Returns where a request goes on: the values of its order fields in the last item; None at the start.

        Raises:
            Invalid: If the token was made for other arguments or by another server.
        """
        if not request.page_token:
            return None
        try:
            found = self._sealer.open(f"page:{method}", _binding(tenant, request), request.page_token)
        except ValueError as error:
            raise invalid(
                "page_token",
                "was not made by this server for these arguments; begin again without it",
                reason="PAGE_TOKEN_INVALID",
            ) from error
        assert isinstance(found, list)
        return found

    def token(self, tenant: str, method: str, request: Any, position: Sequence[Any]) -> str:
        """Returns the token of the next page, which begins after ``position``."""
        return self._sealer.seal(f"page:{method}", _binding(tenant, request), list(position))


def _binding(tenant: str, request: Any) -> str:
    """Returns a digest of everything in a request but its page fields: those may change from page to page."""
    copy = type(request)()
    copy.CopyFrom(request)
    for field in ("page_token", "page_size"):
        if field in copy.DESCRIPTOR.fields_by_name:  # a BatchGet has no page_size
            copy.ClearField(field)
    return hashlib.sha256(tenant.encode() + b"\0" + copy.SerializeToString(deterministic=True)).hexdigest()


def fitting(sizes: Iterable[int]) -> int:
    """Returns how many items of these sizes (bytes) fit into one page; at least one if there are any."""
    total = count = 0
    for size in sizes:
        total += size + 8
        if count and total > MAX_PAGE_BYTES:
            break
        count += 1
    return count
