"""Replays in the database: what they begin, and how that ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from google.protobuf.message import Message
from sutler.errors import SutlerError
from sutler.idempotency import Once
from sutler.operations import Operation, State
from sutler.store import Database, Transaction

from services.rule.adapters.database import letters, operating
from services.rule.adapters.database.event_replays import begin_events, plan_events
from services.rule.adapters.database.purges import extent, matching
from services.rule.adapters.database.resuming import begin_anew, resume
from services.rule.executions import ExecutionState
from services.rule.interventions import check_retryable
from services.rule.letters import LetterState
from services.rule.replaying import Chosen, Counts, Planned
from services.rule.wire.operations import events_response, letters_response

CHUNK = 500

Begin = Callable[[Transaction, Operation, dict[str, Any], int], tuple[Counts, bool]]
"""Begins some, and returns the counts after that and whether there was anything left."""

_ENDED = (
    "SELECT r.execution, x.state FROM replayed_executions AS r LEFT JOIN executions AS x ON x.seq = r.execution "
    "WHERE r.operation = ? AND (x.seq IS NULL OR x.ended = 1) LIMIT ?"
)
_OUTCOMES = {int(ExecutionState.SUCCEEDED): "succeeded", int(ExecutionState.SKIPPED): "skipped"}


class DatabaseReplays:
    """Stores replays. See :class:`services.rule.replaying.Replays`.

    Args:
        database: Where everything is stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kinds: Mapping[str, tuple[Begin, Callable[[Counts], Message]]] = {
            "ReplayDeadLetters": (_begin_letters, letters_response),
            "ReplayEvents": (begin_events, events_response),
        }

    async def plan_letters(self, tenant: str, filter_: str) -> Planned:
        """Returns what a replay of dead letters would begin. Raises Invalid (FILTER_INVALID)."""

        def read(tx: Transaction) -> Planned:
            where, values = _open(tx, tenant, filter_)
            rows = tx.all(f"SELECT rule, COUNT(*) FROM dead_letters WHERE {where} GROUP BY rule ORDER BY rule", values)
            by_rule = {rule: int(count) for rule, count in rows}
            return Planned(sum(by_rule.values()), by_rule)

        return await self._database.scan(read)

    async def replay_letters(
        self, tenant: str, creator: str, filter_: str, once: Once | None, *, restart: bool, max_rate: int
    ) -> Operation:
        """Stores a replay of the open dead letters that match now. Raises Invalid (FILTER_INVALID)."""
        total, last = await self._database.scan(lambda tx: extent(tx, *_open(tx, tenant, filter_)))
        work = {"filter": filter_, "restart": restart, "max_rate": max_rate, "total": total, "after": 0, "last": last}
        work["counts"] = asdict(Counts())
        return await self._database.write(
            lambda tx: operating.begin(tx, tenant, creator, "ReplayDeadLetters", "deadLetters", work, once)
        )

    async def plan_events(self, tenant: str, chosen: Chosen) -> Planned:
        """Returns what a replay of events would begin. Raises NotFound, and Invalid (FILTER_INVALID)."""
        planned, _ = await self._database.scan(lambda tx: plan_events(tx, tenant, chosen))
        return planned

    async def replay_events(
        self, tenant: str, creator: str, chosen: Chosen, once: Once | None, *, max_rate: int
    ) -> Operation:
        """Stores a replay of the events that are there now. Raises NotFound, and Invalid (FILTER_INVALID)."""
        planned, last = await self._database.scan(lambda tx: plan_events(tx, tenant, chosen))
        total = sum(planned.by_rule.values())
        work = {"chosen": asdict(chosen), "max_rate": max_rate, "total": total, "after": 0, "last": last}
        work["counts"] = asdict(Counts())
        return await self._database.write(
            lambda tx: operating.begin(tx, tenant, creator, "ReplayEvents", "events", work, once)
        )

    async def begin_some(self, operation: Operation, limit: int) -> int | None:
        """Begins up to ``limit`` of what is left."""
        begin, _ = self._kinds[operation.method]

        def change(tx: Transaction) -> int | None:
            work = operating.work_of(tx, operation)
            before = Counts(**work["counts"])
            counts, left = begin(tx, operation, work, limit)
            if not left:
                return None
            _save(tx, operation, work, counts)
            return counts.begun - before.begun

        return await self._database.write(change)

    async def settle(self, operation: Operation) -> bool:
        """Counts what has ended."""
        if await self._database.read(lambda tx: tx.one(_ENDED, (operation.name, 1))) is None:
            return await self._database.read(lambda tx: _is_waited_for(tx, operation))

        def change(tx: Transaction) -> bool:
            work = operating.work_of(tx, operation)
            counts = Counts(**work["counts"])
            rows = tx.all(_ENDED, (operation.name, CHUNK))
            for _, state in rows:
                name = _OUTCOMES.get(state, "failed")
                counts = replace(counts, **{name: getattr(counts, name) + 1})
            tx.many(
                "DELETE FROM replayed_executions WHERE operation = ? AND execution = ?",
                [(operation.name, seq) for seq, _ in rows],
            )
            _save(tx, operation, work, counts)
            return _is_waited_for(tx, operation)

        return await self._database.write(change)

    async def end(self, operation: Operation, state: State) -> None:
        """Ends a replay."""
        _, answer = self._kinds[operation.method]

        def change(tx: Transaction) -> None:
            counts = Counts(**operating.work_of(tx, operation)["counts"])
            tx.execute("DELETE FROM replayed_executions WHERE operation = ?", (operation.name,))
            operating.end(tx, operation, state, answer(counts))

        await self._database.write(change)


def _begin_letters(tx: Transaction, operation: Operation, work: dict[str, Any], limit: int) -> tuple[Counts, bool]:
    where, values = _open(tx, operation.tenant, work["filter"])
    rows = tx.all(
        f"SELECT seq, name FROM dead_letters WHERE {where} AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        (*values, work["after"], work["last"], limit),
    )
    counts = Counts(**work["counts"])
    for seq, name in rows:
        work["after"] = seq
        counts = replace(counts, begun=counts.begun + 1)
        try:
            execution = letters.restore(tx, operation.tenant, name)
            check_retryable(execution)
            again = begin_anew(tx, execution) if work["restart"] else resume(tx, execution)
        except SutlerError:  # the rule or its revision is gone: the letter stays open, and counts as failed
            counts = replace(counts, failed=counts.failed + 1)
        else:
            operating.wait_for(tx, operation, again.seq)
    return counts, bool(rows)


def _open(tx: Transaction, tenant: str, filter_: str) -> tuple[str, tuple[Any, ...]]:
    where, values = matching(tx, tenant, filter_)
    return f"{where} AND state = ?", (*values, int(LetterState.OPEN))


def _save(tx: Transaction, operation: Operation, work: dict[str, Any], counts: Counts) -> None:
    work["counts"] = asdict(counts)
    percent = min(99, 100 * counts.settled // max(1, work["total"]))
    operating.save(tx, operation, work, percent, f"{counts.begun} executions begun, {counts.settled} ended")


def _is_waited_for(tx: Transaction, operation: Operation) -> bool:
    return tx.one("SELECT 1 FROM replayed_executions WHERE operation = ? LIMIT 1", (operation.name,)) is not None
