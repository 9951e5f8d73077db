"""What a watch of resources sends: the changes of a part of the tree, as its filter sees them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from services.resource.names import is_below, key

Item = Mapping[str, Any]


class Seen(IntEnum):
    """What happened as a watch sees it, by the numbers of ``sutler.resource.v1.ResourceChange.Kind``."""

    EXISTING = 1
    CREATED = 2
    UPDATED = 3
    DELETED = 4
    LEFT = 5


@dataclass(frozen=True, slots=True)
class Scope:
    """What a watch follows.

    Attributes:
        parent: The scope or resource with all below it; empty for all.
        type: Only this type; any if empty.
        filter: The filter as it was written.
        passes: Whether a resource, with the field names of the contract, fits the filter; None if all do.
    """

    parent: str
    type: str
    filter: str
    passes: Callable[[Item], bool] | None

    @property
    def identity(self) -> str:
        """What makes two watches the same, for their tokens."""
        return "\\0".join((key(self.parent), key(self.type), self.filter))

    def covers(self, name: str, type: str, root: str, members: Collection[str]) -> bool:
        """Returns whether a resource is in the part of the tree, and of the type.

        Args:
            name: Its name.
            type: Its type.
            root: The key of the topmost scope in its name.
            members: The keys of the groups and subscriptions that belong to ``parent``, if that is a management group.
        """
        if self.type and key(self.type) != key(type):
            return False
        return is_below(name, self.parent) or key(name) == key(self.parent) or root in members

    def seen(self, before: Item | None, after: Item | None) -> Seen | None:
        """Returns what a watch sees of a change; None if it sees nothing. Something is always there before or after."""
        fits_before = before is not None and (self.passes is None or self.passes(before))
        fits_after = after is not None and (self.passes is None or self.passes(after))
        if after is None:
            return Seen.DELETED if fits_before else None
        if fits_after:
            return Seen.CREATED if before is None else Seen.UPDATED
        return Seen.LEFT if fits_before else None


@dataclass(frozen=True, slots=True)
class SeenChange:
    """One change, as a watch sends it.

    Attributes:
        kind: What happened.
        resource: The resource after it, as a message of the contract; the last that was, if it is gone.
        revision: The number of the change; 0 for what existed when the watch began.
        time: When it happened, in seconds since 1970.
    """

    kind: Seen
    resource: bytes
    revision: int
    time: float
