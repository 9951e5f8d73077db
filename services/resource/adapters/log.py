"""The log of revisions as watches read it: in order, by position, and only what a watch is about."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from sutler.resource.v1 import resource_pb2 as pb
from sutler.store import Database, Row, Transaction
from sutler.watch import Batch, Watcher

from services.resource.adapters.totals import MEMBERS
from services.resource.names import key, root_of
from services.resource.watching import Scope, Seen, SeenChange
from services.resource.wire.items import Item, item

MAX_BYTES = 3 * 1024 * 1024
"""How large the resources of one message are at the most."""

PAGE = 500
REPLAY = -1
"""The position in tokens of a watch that has not told yet all that exists: resuming begins anew."""


@dataclass(frozen=True, slots=True)
class ResourceLog:
    """Implements :class:`sutler.watch.Log` for one watch.

    Attributes:
        database: Where the log is.
        tenant: Whose log it is.
        scope: What the watch is about.
    """

    database: Database
    tenant: str
    scope: Scope

    async def bounds(self) -> tuple[int, int]:
        """Returns the position before the oldest kept entry, and that of the newest one."""

        def read(tx: Transaction) -> tuple[int, int]:
            compacted = tx.one("SELECT revision FROM compactions WHERE tenant = ?", (self.tenant,))
            newest = tx.one("SELECT MAX(revision) FROM revisions WHERE tenant = ?", (self.tenant,))
            oldest = compacted[0] if compacted else 0
            return oldest, max(oldest, (newest[0] if newest else 0) or 0)

        return await self.database.read(read)

    async def after(self, position: int, limit: int) -> Sequence[tuple[int, SeenChange | None]]:
        """Returns entries after a position, in order; None stands for one that the watch does not send."""
        return await self.database.read(lambda tx: self._after(tx, position, limit))

    def _after(self, tx: Transaction, position: int, limit: int) -> list[tuple[int, SeenChange | None]]:
        rows = tx.all(
            "SELECT revision, resource, type_key, root_key, COALESCE(LENGTH(shown_before), 0)"
            " + COALESCE(LENGTH(shown_after), 0) FROM revisions WHERE tenant = ? AND revision > ?"
            " ORDER BY revision LIMIT ?",
            (self.tenant, position, limit),
        )
        if not rows:
            return []
        members = _members(tx, self.tenant, self.scope.parent)
        found: list[tuple[int, SeenChange | None]] = []
        total = 0
        for revision, name, type, root, size in rows:
            if not self.scope.covers(name, type, root, members):
                found.append((revision, None))
                continue
            total += size
            if found and total > MAX_BYTES:
                break
            found.append((revision, self._change(tx, revision)))
        return found

    def _change(self, tx: Transaction, revision: int) -> SeenChange | None:
        row = tx.one(
            "SELECT create_time, shown_before, shown_after FROM revisions WHERE tenant = ? AND revision = ?",
            (self.tenant, revision),
        )
        assert row is not None
        time, before, after = row
        kind = self.scope.seen(self._item(before), self._item(after))
        return None if kind is None else SeenChange(kind, before if after is None else after, revision, time)

    def _item(self, shown: bytes | None) -> Item | None:
        """Returns a resource as filters see it; without a filter it matters only whether there is one."""
        if shown is None:
            return None
        return {} if self.scope.passes is None else item(pb.Resource.FromString(shown))


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
    ) -> AsyncIterator[Batch[SeenChange | None]]:
        """Yields batches for ever, first of what exists if that is asked for.

        Raises:
            SutlerError: As :meth:`sutler.watch.Watcher.watch` does.
        """
        log = ResourceLog(self.database, tenant, scope)
        name = f"resources\0{tenant}\0{scope.identity}"
        if replay or resume_token == self._token(name, REPLAY):
            _, newest = await log.bounds()
            async for changes in self._existing(tenant, scope):
                yield Batch(changes, self._token(name, REPLAY))
            resume_token = self._token(name, newest)
        batches = self.watcher.watch(
            log,
            self.database.changes,
            name=name,
            resume_token=resume_token,
            matches=lambda change: change is not None,
        )
        async for batch in batches:
            yield batch

    def _token(self, name: str, position: int) -> str:
        return self.watcher.sealer.seal("watch", name, position)

    async def _existing(self, tenant: str, scope: Scope) -> AsyncIterator[list[SeenChange | None]]:
        last: str | None = ""
        while last is not None:
            changes, last = await self.database.scan(lambda tx, last=last: _existing(tx, tenant, scope, last))  # type: ignore[misc]
            if changes:
                yield changes


def _existing(tx: Transaction, tenant: str, scope: Scope, last: str) -> tuple[list[SeenChange | None], str | None]:
    """Returns some of what exists after a name, and the name to go on after; None at the end."""
    members = _members(tx, tenant, scope.parent)
    rows = tx.all(
        "SELECT name, type, root_key, revision, update_time, LENGTH(shown) FROM resources WHERE tenant = ?"
        " AND name > ? ORDER BY name LIMIT ?",
        (tenant, last, PAGE),
    )
    changes: list[SeenChange | None] = []
    total = 0
    for name, type, root, revision, time, size in rows:
        if scope.covers(name, type, root, members):
            total += size
            if changes and total > MAX_BYTES:
                return changes, last
            shown = _shown(tx, tenant, name)
            if scope.passes is None or scope.passes(item(pb.Resource.FromString(shown))):
                changes.append(SeenChange(Seen.EXISTING, shown, revision, time))
        last = name
    return changes, last if len(rows) == PAGE else None


def _shown(tx: Transaction, tenant: str, name: str) -> bytes:
    row: Row | None = tx.one("SELECT shown FROM resources WHERE tenant = ? AND key = ?", (tenant, key(name)))
    assert row is not None
    found: bytes = row[0]
    return found


def _members(tx: Transaction, tenant: str, parent: str) -> frozenset[str]:
    """Returns the keys of what belongs to a management group; none for any other parent."""
    parent = key(parent)
    if not parent.startswith("managementgroups/") or parent != root_of(parent):
        return frozenset()
    return frozenset(row[0] for row in tx.all(MEMBERS, (tenant, parent, tenant)))
