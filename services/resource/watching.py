"""What a watch of resources sends: the changes of a part of the tree, as its filter sees them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

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
        parent: The key of the scope or resource that is followed with all below it; empty for all.
        type: The key of the only type; any if empty.
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
        return "\0".join((self.parent, self.type, self.filter))

    def covers(self, name: str, type: str, groups: Collection[str]) -> bool:
        """Returns whether a resource is in the part of the tree, and of the type.

        Args:
            name: The key of its name.
            type: The key of its type.
            groups: The keys of the management groups to which its topmost scope belongs.
        """
        if self.type and self.type != type:
            return False
        parent = self.parent
        return not parent or name == parent or name.startswith(f"{parent}/") or parent in groups

    def seen(self, before: Item | None, after: Item | None) -> Seen | None:
        """Returns what a watch sees of a change; None if it sees nothing. Something is always there before or after."""
        fits_before = before is not None and (self.passes is None or self.passes(before))
        fits_after = after is not None and (self.passes is None or self.passes(after))
        if after is None:
            return Seen.DELETED if fits_before else None
        if fits_after:
            return Seen.CREATED if before is None else Seen.UPDATED
        return Seen.LEFT if fits_before else None
