"""What callers want of leases, and what becomes of it: pure decisions, made where nobody else changes the key."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace

from services.cache.caches import Cache
from services.cache.changes import Decision, Grant, Leave, Release, Row, View
from services.cache.entries import Entry, if_living
from services.cache.faults import lease_held, lease_lost
from services.cache.leases import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What one call of LeaseEntry wants.

    Attributes:
        key: The entry of this key, or the right to compute it.
        duration: How long a lease is to last, in seconds.
        wait: How long to wait while another has the lease, in seconds.
        max_stale: How long ago a value may have expired that is accepted, in seconds; None accepts none.
        tags: Those that the entry will have.
        origin: Begins the token of a lease that this request gets; a repeat of the request has the same one.
    """

    key: str
    duration: float
    wait: float
    max_stale: float | None
    tags: tuple[str, ...]
    origin: str

    def got(self, lease: Lease) -> bool:
        """Returns whether a lease was given to this request, by an earlier try."""
        return lease.token.startswith(self.origin)


@dataclass(frozen=True, slots=True)
class Leased:
    """What a call of LeaseEntry gets: an entry, a stale entry, or a lease, maybe with a stale entry.

    Attributes:
        entry: The entry, alive, with its value.
        stale: The entry, expired, with its value.
        lease: The right to compute it.
    """

    entry: Entry | None = None
    stale: Entry | None = None
    lease: Lease | None = None


def origin(request_id: str) -> str:
    """Returns what begins the tokens that a request gets; something random if it has no id."""
    return hashlib.sha256(request_id.lower().encode()).hexdigest()[:24] if request_id else secrets.token_hex(12)


def take(cache: Cache, wish: Wish, damaged: str) -> Row:
    """Returns the change that gives the lease of a key, unless there is an entry.

    A lease that an earlier try of the same request got, and that lasts, is given again. The second half of a token is
    random, so that nobody guesses it, and a new lease never has the token of one that was lost. It refuses with
    Conflict (LEASE_HELD).

    Args:
        cache: The cache.
        wish: What is wanted.
        damaged: The etag of an entry that is no hit, because its value cannot be given out; empty if there is none.
    """
    token = wish.origin + secrets.token_hex(16)

    def decide(view: View) -> Decision:
        found, held = if_living(view.entry, view.now), view.lease
        if found is not None and found.etag != damaged:
            return Leave(found)
        if held is None:
            return Grant(Lease(wish.key, token, wish.tags, view.now + wish.duration))
        if wish.got(held):
            return Grant(held)
        raise lease_held(cache.name, wish.key, held.expire_time, view.now)

    return Row(wish.key, decide, with_lease=True)


def extend(cache: Cache, key: str, token: str, duration: float) -> Row:
    """Returns the change that lets a lease last for ``duration`` seconds from now. It refuses with Conflict
    (LEASE_LOST)."""

    def decide(view: View) -> Decision:
        if view.lease is None or not view.lease.proven_by(token):
            raise lease_lost(cache.name, key)
        return Grant(replace(view.lease, expire_time=view.now + duration))

    return Row(key, decide, with_lease=True)


def release(key: str, token: str) -> Row:
    """Returns the change that ends a lease, if it has not ended."""

    def decide(view: View) -> Decision:
        return Release() if view.lease is not None and view.lease.proven_by(token) else Leave(None)

    return Row(key, decide, with_lease=True)
