"""The log of revisions as watches read it: in order, by position, once for all of a tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from sutler.paging import fitting
from sutler.resource.v1 import resource_pb2 as pb
from sutler.store import Database, Row, Transaction
from sutler.watch import Batch, Watcher

from services.resource.adapters.changes import COLUMNS, LoggedChange, changes
from services.resource.adapters.totals import MEMBERS
from services.resource.names import root_of
from services.resource.watching import Scope, Seen
from services.resource.wire.items import item
from services.resource.wire.revisions import change

MAX_BYTES = 3 * 1024 * 1024
"""How large the resources of one message are at the most."""

PAGE = 500
REPLAY = -1
"""The position in tokens of a watch that has not told yet all that exists: resuming begins anew."""


@dataclass(frozen=True, slots=True)
class RevisionLog:
    """Implements :class:`sutler.tails.Log` for a tenant.

    Attributes:
        database: Where the log is.
        identity: The tenant.
    """

    database: Database
    identity: str

    async def bounds(self) -> tuple[int, int]:
        """Returns the position before the oldest kept entry, and that of the newest one."""

        def read(tx: Transaction) -> tuple[int, int]:
            compacted = tx.one("SELECT revision FROM compactions WHERE tenant = ?", (self.identity,))
            newest = tx.one("SELECT MAX(revision) FROM revisions WHERE tenant = ?", (self.identity,))
            oldest = compacted[0] if compacted else 0
            return oldest, max(oldest, (newest[0] if newest else 0) or 0)

        return await self.database.read(read)

    async def after(self, position: int, limit: int) -> Sequence[tuple[int, LoggedChange]]:
        """Returns entries after a position, in order."""
        return await self.database.read(lambda tx: self._after(tx, position, limit))

    def size(self, change: LoggedChange) -> int:
        """Returns how many bytes a change takes."""
        return change.size

    def _after(self, tx: Transaction, position: int, limit: int) -> list[tuple[int, LoggedChange]]:
        which = "FROM revisions WHERE tenant = ? AND revision > ?"
        sizes = tx.all(
            f"SELECT revision, COALESCE(LENGTH(shown_before), 0) + COALESCE(LENGTH(shown_after), 0) {which}"
            " ORDER BY revision LIMIT ?",
            (self.identity, position, limit),
        )
        if not sizes:
            return []
        last = sizes[fitting(size for _, size in sizes) - 1][0]
        rows = tx.all(f"SELECT {COLUMNS} {which} AND revision <= ? ORDER BY revision", (self.identity, position, last))
        return [(change.revision, change) for change in changes(tx, self.identity, rows)]


@dataclass(frozen=True, slots=True)
class Follower:
    """Follows resources for watches.

    Attributes:
        database: Where they are.
        watcher: Makes watches.
    """

    database: Database
    watcher: Watcher

    async def follow(
        self, tenant: str, scope: Scope, *, resume_token: str, replay: bool
    ) -> AsyncIterator[Batch[bytes]]:
        """Yields batches for ever, first of what exists if that is asked for; each change as it stands in a message.

        Raises:
            SutlerError: As :meth:`sutler.watch.Watcher.watch` does.
        """
        log = RevisionLog(self.database, tenant)
        name = f"resources\0{tenant}\0{scope.identity}"
        if replay or resume_token == self._token(name, REPLAY):
            _, newest = await log.bounds()
            async for changes in self._existing(tenant, scope):
                yield Batch(changes, self._token(name, REPLAY))
            resume_token = self._token(name, newest)
        batches = self.watcher.watch(
            log, self.database.changes, name=name, resume_token=resume_token, see=lambda change: change.sent(scope)
        )
        async for batch in batches:
            yield batch

    def _token(self, name: str, position: int) -> str:
        return self.watcher.sealer.seal("watch", name, position)

    async def _existing(self, tenant: str, scope: Scope) -> AsyncIterator[list[bytes]]:
        last: str | None = ""
        while last is not None:
            changes, last = await self.database.scan(lambda tx, last=last: _existing(tx, tenant, scope, last))  # type: ignore[misc]
            if changes:
                yield changes


def _existing(tx: Transaction, tenant: str, scope: Scope, last: str) -> tuple[list[bytes], str | None]:
    """Returns some of what exists after a name, and the name to go on after; None at the end."""
    members = _members(tx, tenant, scope.parent)
    rows = tx.all(
        "SELECT name, key, type_key, root_key, revision, update_time, LENGTH(shown) FROM resources WHERE tenant = ?"
        " AND name > ? ORDER BY name LIMIT ?",
        (tenant, last, PAGE),
    )
    found: list[bytes] = []
    total = 0
    for name, key, type, root, revision, time, size in rows:
        if scope.covers(key, type, (scope.parent,) if root in members else ()):
            total += size
            if found and total > MAX_BYTES:
                return found, last
            shown = _shown(tx, tenant, key)
            if scope.passes is None or scope.passes(item(pb.Resource.FromString(shown))):
                found.append(change(Seen.EXISTING, shown, revision, time))
        last = name
    return found, last if len(rows) == PAGE else None


def _shown(tx: Transaction, tenant: str, key: str) -> bytes:
    row: Row | None = tx.one("SELECT shown FROM resources WHERE tenant = ? AND key = ?", (tenant, key))
    assert row is not None
    found: bytes = row[0]
    return found


def _members(tx: Transaction, tenant: str, parent: str) -> frozenset[str]:
    """Returns the keys of what belongs to a management group; none for any other parent."""
    if not parent.startswith("managementgroups/") or parent != root_of(parent):
        return frozenset()
    return frozenset(row[0] for row in tx.all(MEMBERS, (tenant, parent, tenant)))
