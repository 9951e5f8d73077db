"""Leases: the right to compute the value of a key, which one caller at a time has."""

from __future__ import annotations

import hmac
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to compute the value of a key. There is one at the most for each key, whether or not it has an entry.

    Attributes:
        key: Which.
        token: What its holder knows, and nobody else.
        tags: Those that the entry will have; an invalidation of one of them ends it.
        expire_time: When it ends on its own, in seconds since 1970.
    """

    key: str
    token: str
    tags: tuple[str, ...]
    expire_time: float

    def alive(self, now: float) -> bool:
        """Returns whether it has not ended on its own."""
        return self.expire_time > now

    def proven_by(self, token: str) -> bool:
        """Returns whether somebody who knows a token holds the lease."""
        return hmac.compare_digest(self.token.encode(), token.encode())
