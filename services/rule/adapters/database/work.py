"""The executions of all tenants in the database, for the engine."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sutler.errors import not_found
from sutler.store import Database, Transaction

from services.rule.adapters.database import breakers, lanes
from services.rule.adapters.database.accepting import Acceptor
from services.rule.adapters.database.contexts import context_of, keep_answer
from services.rule.adapters.database.delivering import deliver
from services.rule.adapters.database.gathering import Gathering
from services.rule.adapters.database.ordering import next_number
from services.rule.adapters.database.rows import progress
from services.rule.adapters.database.settling import Settler
from services.rule.definitions import load
from services.rule.executions import Execution, ExecutionState, Job
from services.rule.outcomes import Aftermath, Claim, Context, Failed, Finished, Paused
from services.rule.policies import BreakerPolicy
from services.rule.programs import Program, compile_program
from services.rule.retrying import GiveUp

MAX_PROGRAMS = 10_000
"""How many compiled revisions are kept in memory."""


class DatabaseWork:
    """The engine's view of the database. See :class:`services.rule.ports.Work`.

    Args:
        database: Where everything is stored.
        acceptor: Accepts events.
    """

    def __init__(self, database: Database, acceptor: Acceptor) -> None:
        self._database = database
        self._acceptor = acceptor
        self._settler = Settler(acceptor)
        self._contexts: Gathering[Context] = Gathering(database)
        self._programs: OrderedDict[tuple[str, int], Program] = OrderedDict()

    async def program(self, rule_uid: str, revision: int) -> Program:
        """Returns a compiled revision."""
        key = (rule_uid, revision)
        known = self._programs.get(key)
        if known is None:
            row = await self._database.read(
                lambda tx: tx.one("SELECT definition FROM rule_revisions WHERE rule_uid = ? AND number = ?", key)
            )
            if row is None:
                raise not_found(f"revision {revision} of the rule")
            known, _ = compile_program(load(row[0]))
            self._programs[key] = known
            if len(self._programs) > MAX_PROGRAMS:
                self._programs.popitem(last=False)
        self._programs.move_to_end(key)
        return known

    async def context(self, job: Job, *, with_subject: bool) -> Context:
        """Returns what an attempt needs to know."""
        return await self._contexts.read(lambda tx: context_of(tx, job.execution, with_subject=with_subject))

    async def take_probe(self, execution: Execution, policy: BreakerPolicy) -> float | None:
        """Makes an execution the probe of its breaker, or returns until when another one is."""

        def change(tx: Transaction) -> float | None:
            lanes.check_held(tx, execution)
            return breakers.take_probe(tx, execution, policy)

        return await self._database.write(change)

    async def save(self, execution: Execution) -> None:
        """Stores what became of an execution so far."""
        await self._database.write(lambda tx: _save(tx, execution))

    async def answered(self, execution: Execution, step: str, answer: Any) -> None:
        """Stores an execution and the answer of one of its outside calls."""

        def change(tx: Transaction) -> None:
            _save(tx, execution)
            keep_answer(tx, execution, step, answer)

        await self._database.write(change)

    async def next_time(self) -> float | None:
        """Returns when there is something to claim or deliver."""
        return await self._database.read(lanes.next_time)

    async def claim(self, holder: int, limit: int) -> Sequence[Job]:
        """Takes executions that are due and that nobody holds."""
        return await self._database.write(lambda tx: lanes.claim(tx, holder, limit))

    async def take(self, holder: int, events: Sequence[str], limit: int) -> Sequence[Job]:
        """Takes executions of events that nobody has begun or holds."""
        return await self._database.write(lambda tx: lanes.take(tx, holder, events, limit))

    async def deliver(self, holder: int, room: int) -> tuple[Aftermath, int]:
        """Gives events whose time has come to the rules."""
        if not await self._database.read(_has_due_events):
            return Aftermath(), 0
        return await self._database.write(lambda tx: deliver(tx, self._acceptor, Claim(holder, room)))

    async def finish(self, job: Job, result: Finished, holder: int) -> Aftermath:
        """Ends an execution with all that it writes and emits."""
        return await self._database.write(lambda tx: self._settler.finish(tx, job, result, Claim(holder)))

    async def pause(self, job: Job, result: Paused) -> None:
        """Gives an execution back until later."""
        await self._database.write(lambda tx: self._settler.pause(tx, job, result))

    async def retry(self, job: Job, result: Failed, pause: float, policy: BreakerPolicy, *, used: bool) -> None:
        """Gives an execution back for another attempt."""
        await self._database.write(lambda tx: self._settler.retry(tx, job, result, pause, policy, used=used))

    async def give_up(self, job: Job, result: Failed, why: GiveUp, policy: BreakerPolicy, holder: int) -> Aftermath:
        """Ends an execution as failed, makes its dead letter and tells of it."""
        return await self._database.write(lambda tx: self._settler.give_up(tx, job, result, why, policy, Claim(holder)))

    async def put_back(self, execution: Execution) -> None:
        """Gives an execution back as it is stored."""

        def change(tx: Transaction) -> None:
            lanes.check_held(tx, execution)
            tx.execute("UPDATE executions SET holder = 0 WHERE seq = ?", (execution.seq,))

        await self._database.write(change)

    async def release(self, holder: int) -> None:
        """Gives back all that a process holds."""
        await self._database.write(lambda tx: lanes.release(tx, holder))

    async def adopt(self) -> int:
        """Frees what processes hold that are gone."""
        if not await self._database.read(lanes.orphaned):
            return 0
        return await self._database.write(lanes.adopt)


def _save(tx: Transaction, execution: Execution) -> None:
    lanes.check_held(tx, execution)
    running = replace(execution, state=ExecutionState.RUNNING)
    tx.execute(
        "UPDATE executions SET state = ?, conditions = ?, steps = ?, start_time = ?, give_up_time = ?, "
        "next_attempt_time = NULL, update_time = ?, change = ? WHERE seq = ?",
        (int(running.state), *progress(running), tx.now, next_number(tx), running.seq),
    )


def _has_due_events(tx: Transaction) -> bool:
    return tx.one("SELECT 1 FROM events WHERE state = 1 AND deliver_time <= ? LIMIT 1", (tx.now,)) is not None
