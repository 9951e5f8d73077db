"""What exists, told to a watch page by page while it changes.

The pages are not of one moment. So before the next one, a watch is told what has happened meanwhile to what it was told
already. Thus all that it knows is always as of one position in the log, and what follows in the log follows for it too.
"""

from __future__ import annotations

from dataclasses import dataclass

from sutler.resource.v1 import resource_pb2 as pb
from sutler.store import Transaction
from sutler.tails import Missed

from services.resource.adapters.log import RevisionLog
from services.resource.adapters.totals import MEMBERS
from services.resource.names import root_of
from services.resource.watching import Scope, Seen
from services.resource.wire.items import item
from services.resource.wire.revisions import change

MAX_BYTES = 3 * 1024 * 1024
"""How large the resources of one message are at the most."""

PAGE = 500


@dataclass(frozen=True, slots=True)
class Place:
    """How far a replay is.

    Attributes:
        position: The position in the log as of which it has told what exists.
        last: The key of the last resource that it has come to; None at the end.
    """

    position: int
    last: str | None = ""


def step(tx: Transaction, log: RevisionLog, scope: Scope, place: Place) -> list[tuple[list[bytes], Place]]:
    """Returns what is to be told next, in at most two messages: changes as they stand in them, and the place after.

    Raises:
        Missed: If changes after the place are no longer kept.
    """
    assert place.last is not None
    oldest, newest = log.bounds_in(tx)
    if place.position < oldest:
        raise Missed(oldest)
    found: list[tuple[list[bytes], Place]] = []
    if place.position < newest:
        entries = log.after_in(tx, place.position, PAGE)
        told = [change for _, change in entries if change.key <= place.last]
        place = Place(entries[-1][0], place.last)
        found.append(([seen for change in told if (seen := change.sent(scope)) is not None], place))
    if place.position == newest:
        existing, last = _existing(tx, log.identity, scope, place.last or "")
        found.append((existing, Place(newest, last)))
    return found


def _existing(tx: Transaction, tenant: str, scope: Scope, last: str) -> tuple[list[bytes], str | None]:
    """Returns some of what exists after a key, and the key to go on after; None at the end."""
    members = _members(tx, tenant, scope.parent)
    rows = tx.all(
        "SELECT key, type_key, root_key, revision, update_time, LENGTH(shown) FROM resources WHERE tenant = ?"
        " AND key > ? ORDER BY key LIMIT ?",
        (tenant, last, PAGE),
    )
    found: list[bytes] = []
    total = 0
    for key, type, root, revision, time, size in rows:
        if scope.covers(key, type, (scope.parent,) if root in members else ()):
            total += size
            if found and total > MAX_BYTES:
                return found, last
            shown = _shown(tx, tenant, key)
            if scope.passes is None or scope.passes(item(pb.Resource.FromString(shown))):
                found.append(change(Seen.EXISTING, shown, revision, time))
        last = key
    return found, last if len(rows) == PAGE else None


def _shown(tx: Transaction, tenant: str, key: str) -> bytes:
    row = tx.one("SELECT shown FROM resources WHERE tenant = ? AND key = ?", (tenant, key))
    assert row is not None
    found: bytes = row[0]
    return found


def _members(tx: Transaction, tenant: str, parent: str) -> frozenset[str]:
    """Returns the keys of what belongs to a management group; none for any other parent."""
    if not parent.startswith("managementgroups/") or parent != root_of(parent):
        return frozenset()
    return frozenset(row[0] for row in tx.all(MEMBERS, (tenant, parent, tenant)))
