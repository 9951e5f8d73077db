"""Leases: who may do a piece of background work now, and a number that tells a late holder from the present one."""

from __future__ import annotations

from datetime import timedelta

from sutler.errors import Conflict
from sutler.store import sequences
from sutler.store.holders import is_dead
from sutler.store.transaction import Transaction

SEQUENCE = "leases"


def acquire(tx: Transaction, name: str, holder: str, ttl: timedelta) -> int | None:
    """Takes a lease if it is free, has run out, is the holder's own, or its holder is dead.

    Times are those of the processes' clocks. Clocks that differ only change when a lease passes on: the fencing
    number is what keeps a late holder from changing anything.

    Args:
        tx: The change.
        name: What the lease is for.
        holder: Who takes it, from :func:`sutler.store.holders.new_holder`.
        ttl: How long it lasts without :func:`renew`.

    Returns:
        The fencing number, larger than that of every lease that was ever taken, but the same when a holder takes its
        own live lease again; None if somebody else has the lease.
    """
    row = tx.one("SELECT holder, fence FROM leases WHERE name = ? AND expire_time > ?", (name, tx.now))
    if row is not None and row[0] != holder and not is_dead(row[0]):
        return None
    fence: int = row[1] if row is not None and row[0] == holder else sequences.draw(tx, SEQUENCE)
    tx.execute(
        "INSERT INTO leases (name, holder, fence, expire_time) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE"
        " SET holder = excluded.holder, fence = excluded.fence, expire_time = excluded.expire_time",
        (name, holder, fence, tx.now + ttl.total_seconds()),
    )
    return fence


def renew(tx: Transaction, name: str, fence: int, ttl: timedelta) -> None:
    """Makes a lease last for ``ttl`` from now.

    Raises:
        Conflict: If it has run out or passed on (LEASE_LOST).
    """
    renewed = tx.execute(
        "UPDATE leases SET expire_time = ? WHERE name = ? AND fence = ? AND expire_time > ?",
        (tx.now + ttl.total_seconds(), name, fence, tx.now),
    )
    if not renewed:
        raise lost(name)


def release(tx: Transaction, name: str, holder: str) -> None:
    """Gives a lease back; does nothing if it has passed on."""
    tx.execute("DELETE FROM leases WHERE name = ? AND holder = ?", (name, holder))


def is_free(tx: Transaction, name: str) -> bool:
    """Returns whether nobody who lives has the lease now."""
    row = tx.one("SELECT holder FROM leases WHERE name = ? AND expire_time > ?", (name, tx.now))
    return row is None or is_dead(row[0])


def end_dead(tx: Transaction, prefix: str) -> None:
    """Ends the leases below a prefix, such as ``rule/engine/``, whose holders are dead."""
    rows = tx.all("SELECT name, holder FROM leases WHERE name >= ? AND name < ?", (prefix, prefix[:-1] + "0"))
    tx.many("DELETE FROM leases WHERE name = ?", [(name,) for name, holder in rows if is_dead(holder)])


def check(tx: Transaction, name: str, fence: int) -> None:
    """Makes sure that the change may happen; every change that a holder makes begins with this.

    Raises:
        Conflict: If the lease has run out or passed on (LEASE_LOST).
    """
    row = tx.one("SELECT 1 FROM leases WHERE name = ? AND fence = ? AND expire_time > ?", (name, fence, tx.now))
    if row is None:
        raise lost(name)


def lost(name: str) -> Conflict:
    """Returns the error for a lease that its holder has no more."""
    return Conflict(
        f"the lease {name} has run out or passed on to another holder",
        reason="LEASE_LOST",
        metadata={"lease": name},
    )
