"""Forms of answers: how much of an entry is wanted, and as which bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from services.cache.entries import Entry


class View(Enum):
    """How much of an entry is wanted."""

    BASIC = auto()
    FULL = auto()
    VALUE = auto()


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """One way to answer with an entry. Two forms are the same only if they are one object.

    Attributes:
        view: How much is wanted. BASIC does not count as an access.
        encode: Makes the answer of the cache's name and the entry.
        known_etag: The caller has the value with this etag already.
    """

    view: View
    encode: Callable[[str, Entry], bytes]
    known_etag: str = ""

    @property
    def counts(self) -> bool:
        """Whether such an answer is an access to the entry."""
        return self.view is not View.BASIC

    @property
    def lasting(self) -> bool:
        """Whether others may be answered with the same bytes."""
        return self.counts and not self.known_etag

    def wants_value(self, entry: Entry) -> bool:
        """Returns whether the value of an entry is wanted."""
        return self.counts and not (self.known_etag and self.known_etag == entry.etag)
