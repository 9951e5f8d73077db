"""Ends what has been kept long enough, so that nothing grows for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sutler.store import Database, Transaction
from sutler.store.holding import Lease, lead
from sutler.store.retention import Sweep

from services.rule.adapters.database.marks import EVENTS, EXECUTIONS, SUBJECTS, raise_marks
from services.rule.adapters.database.subject_store import DatabaseSubjects
from services.rule.rules import RevisionState

log = structlog.get_logger("sutler.rule")

LEASE = "rule/retention"
CHUNK = 500
PAUSE_SECONDS = 0.05
EXPIRY_SECONDS = 1.0
"""How often to look for subjects whose ttl has passed."""

BREAKERS = Sweep("breakers", "window_end")
"""Breakers whose failures are too long ago to count."""


@dataclass(frozen=True, slots=True)
class Ages:
    """How long things are kept, counted from their end.

    Attributes:
        events: Events, after their cascade.
        executions: Executions.
        revisions: Revisions that are neither active nor in use.
        changes: Changes of subjects, for watches that resume.
    """

    events: timedelta
    executions: timedelta
    revisions: timedelta
    changes: timedelta


class Retention:
    """Deletes what is too old, and subjects whose ttl has passed, in one process of all.

    Args:
        database: The database.
        subjects: Where subjects are stored.
        ages: How long things are kept.
        every: How long to rest in between.
    """

    def __init__(self, database: Database, subjects: DatabaseSubjects, ages: Ages, every: timedelta) -> None:
        self._database = database
        self._subjects = subjects
        self._ages = ages
        self._every = every

    async def run(self) -> None:
        """Works until cancelled."""
        await lead(self._database, LEASE, self._work)

    async def _work(self, lease: Lease) -> None:
        swept = float("-inf")
        while True:
            more = await self._subjects.expire()
            if time.monotonic() - swept >= self._every.total_seconds():
                swept = time.monotonic()
                await self.sweep()
            await asyncio.sleep(PAUSE_SECONDS if more else EXPIRY_SECONDS)

    async def sweep(self) -> None:
        """Deletes all that is too old now, in chunks."""
        ages = self._ages
        for name, delete, age in (
            ("events", delete_events, ages.events),
            ("executions", delete_executions, ages.executions),
            ("rule_revisions", delete_revisions, ages.revisions),
            ("subject_changes", delete_changes, ages.changes),
        ):
            deleted = await self._all(lambda tx, delete=delete, age=age: delete(tx, age))  # type: ignore[misc]
            if deleted:
                log.info("rule.swept", table=name, rows=deleted)

    async def _all(self, delete: Callable[[Transaction], int]) -> int:
        total = 0
        while deleted := await self._database.write(delete):
            total += deleted
            await asyncio.sleep(PAUSE_SECONDS)
        return total


def delete_events(tx: Transaction, age: timedelta) -> int:
    """Deletes a chunk of cascades that ended long ago, each from its end, and returns how many events it was."""
    roots = tx.all(
        "SELECT tenant, name FROM events WHERE depth = 0 AND cascade_end_time < ? ORDER BY cascade_end_time LIMIT ?",
        (tx.now - age.total_seconds(), CHUNK),
    )
    deleted = 0
    for tenant, name in roots:
        if deleted >= CHUNK:
            break
        rows = tx.all(
            "DELETE FROM events WHERE seq IN "
            "(SELECT seq FROM events WHERE tenant = ? AND root_event = ? ORDER BY depth DESC, seq DESC LIMIT ?)"
            " RETURNING tenant, seq, COALESCE(end_change, 0), COALESCE(cascade_change, 0)",
            (tenant, name, CHUNK - deleted),
        )
        raise_marks(tx, EVENTS, [(row[0], max(row[1:])) for row in rows])
        deleted += len(rows)
    return deleted


def delete_executions(tx: Transaction, age: timedelta) -> int:
    """Deletes a chunk of executions that ended long ago, with their answers and tasks, and returns how many it was."""
    rows = tx.all(
        "SELECT seq, tenant, COALESCE(change, seq) FROM executions WHERE ended = 1 AND end_time < ? LIMIT ?",
        (tx.now - age.total_seconds(), CHUNK),
    )
    marks = ", ".join("?" * len(rows))
    if rows:
        seqs = [row[0] for row in rows]
        tx.execute(f"DELETE FROM answers WHERE execution IN ({marks})", seqs)
        tx.execute(f"DELETE FROM tasks WHERE execution_seq IN ({marks})", seqs)
        tx.execute(f"DELETE FROM executions WHERE seq IN ({marks})", seqs)
        raise_marks(tx, EXECUTIONS, [(tenant, number) for _, tenant, number in rows])
    return len(rows)


def delete_changes(tx: Transaction, age: timedelta) -> int:
    """Deletes a chunk of changes of subjects that were long ago, and returns how many it was."""
    oldest = tx.all("SELECT seq, tenant, change_time FROM subject_changes ORDER BY seq LIMIT ?", (CHUNK,))
    rows = [(seq, tenant) for seq, tenant, time in oldest if time < tx.now - age.total_seconds()]
    if rows:
        marks = ", ".join("?" * len(rows))
        tx.execute(f"DELETE FROM subject_changes WHERE seq IN ({marks})", [seq for seq, _ in rows])
        raise_marks(tx, SUBJECTS, [(tenant, seq) for seq, tenant in rows])
    return len(rows)


def delete_revisions(tx: Transaction, age: timedelta) -> int:
    """Deletes a chunk of revisions that nobody uses any more, and returns how many it was.

    Those of a deleted rule go as soon as no execution uses them. The newest revision of a rule stays.
    """
    return tx.execute(
        "DELETE FROM rule_revisions WHERE uid IN (SELECT v.uid FROM rule_revisions AS v "
        "LEFT JOIN rules AS r ON r.uid = v.rule_uid WHERE v.retire_time IS NOT NULL "
        "AND (v.deleted = 1 OR (v.retire_time < ? AND v.state <> ? AND v.number < r.latest)) AND NOT EXISTS "
        "(SELECT 1 FROM executions AS x WHERE x.rule_uid = v.rule_uid AND x.revision = v.number AND x.ended = 0) "
        "LIMIT ?)",
        (tx.now - age.total_seconds(), int(RevisionState.ACTIVE), CHUNK),
    )
