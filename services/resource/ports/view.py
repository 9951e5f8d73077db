"""What a view of the store shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sutler.operations.model import Operation

from services.resource.names import Name
from services.resource.problems import Problem
from services.resource.quotas import Quota
from services.resource.resource import Lock, Resource
from services.resource.resource_type import ResourceType
from services.resource.stacks.ports import StackView
from services.resource.states import State


@dataclass(frozen=True, slots=True)
class Above:
    """What has to be known of a scope or resource above another.

    Attributes:
        name: Its name.
        uid: Tells it from an earlier one of the same name.
        type: Its type.
        state: Where it stands.
        lock: Its own lock.
        group: The management group that it belongs to; empty if it belongs to none.
        operation: The operation that works on it now; empty if none does.
        revision: Tells whether it has changed.
        digest: Of all that is stored of it, where it was asked for what stands somewhere; empty otherwise.
    """

    name: str
    uid: str
    type: str
    state: State
    lock: Lock
    group: str
    operation: str
    revision: int
    digest: bytes = b""


class View(StackView, Protocol):
    """What one tenant has at one moment. Names and types are compared ignoring case."""

    @property
    def tenant(self) -> str:
        """Whose view it is."""
        ...

    @property
    def now(self) -> float:
        """The time, in seconds since 1970."""
        ...

    def type(self, type: str) -> ResourceType | None:
        """Returns a type of the tenant's own, or a built-in one."""
        ...

    def resource(self, name: str) -> Resource | None:
        """Returns a resource; its secrets stay encrypted, as do those of the other methods."""
        ...

    def opened(self, resource: Resource) -> Resource:
        """Returns a resource with its secrets: for its handler, or to change what it declares.

        Raises:
            FailedPrecondition: If no configured key opens them (SECRET_UNREADABLE).
        """
        ...

    def above(self, name: Name) -> tuple[Above, ...]:
        """Returns what is above a name and exists: along its path, the nearest first, then management groups."""
        ...

    def groups(self, group: str) -> tuple[Above, ...]:
        """Returns a management group and those above it, at most 9; none if it does not exist."""
        ...

    def levels_below(self, group: str) -> int:
        """Returns how many levels of management groups belong to one; at most 9."""
        ...

    def children(self, name: str, limit: int) -> int:
        """Returns how many resources stand below a name, at any depth; at most ``limit``."""
        ...

    def below(self, name: str, limit: int, last: str = "", *, since: int = 0) -> list[Resource]:
        """Returns resources below a name, the deepest first.

        Args:
            name: The name.
            limit: How many at the most.
            last: The name that comes before them; empty for the first.
            since: The revision after which they have changed.
        """
        ...

    def names_below(self, name: str, limit: int, last: str = "", *, type: str = "") -> list[str]:
        """Returns names of resources below a name, in order; those after ``last``, and of a type, if they are given."""
        ...

    def worked_on(self, name: str, operation: str) -> list[Resource]:
        """Returns the resources at and below a name on which an operation works, the deepest first."""
        ...

    def locked_below(self, name: str) -> Above | None:
        """Returns a resource below a name that has a lock against deletion; None if there is none."""
        ...

    def busy_below(self, name: str) -> Above | None:
        """Returns a resource below a name on which an operation works; None if there is none."""
        ...

    def types_below(self, name: str) -> list[str]:
        """Returns the types of the resources below a name."""
        ...

    def user_of(self, name: str) -> str | None:
        """Returns a resource elsewhere that refers to this one or to one below it; None if there is none."""
        ...

    def referred(self, name: str) -> list[str]:
        """Returns the names that a resource refers to with ``references``."""
        ...

    def taken(self, name: str, unique: bytes) -> tuple[str | None, str | None]:
        """Returns the resource that has a name, and the one that holds a uniqueness key; None where it is free."""
        ...

    def holders(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """Returns which resources hold these uniqueness keys; those that are free are left out."""
        ...

    def of_type(self, type: str, after: str, since: int, limit: int) -> list[Resource]:
        """Returns resources of a type by name: those after ``after`` that have changed since revision ``since``."""
        ...

    def standing(self, type: str, scopes: Sequence[str]) -> Sequence[Above]:
        """Returns resources of a built-in type that stand directly in these scopes, in their order, then by name."""
        ...

    def has_quotas(self) -> bool:
        """Returns whether the tenant has any quota."""
        ...

    def total(self, quota: Quota, name: str) -> float:
        """Returns what all below a name adds to a quota; below a management group is what belongs to it."""
        ...

    def standing_below(self, type: str, name: str) -> list[Above]:
        """Returns the resources of a built-in type that stand anywhere below a name."""
        ...

    def child_type(self, type: str) -> str | None:
        """Returns a type that stands below this one; None if there is none."""
        ...

    def newest(self) -> int:
        """Returns the number of the newest revision; 0 if there is none."""
        ...

    def operation(self, name: str) -> Operation | None:
        """Returns an operation."""
        ...

    def error_of(self, operation: Operation) -> Problem | None:
        """Returns the error that an operation ended with; None if it did not."""
        ...
