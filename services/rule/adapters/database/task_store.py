"""Tasks in the database, for workers: each settling is one change with all that follows from it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sutler.errors import not_found
from sutler.idempotency import Once
from sutler.store import Database, Transaction
from sutler.store.requests import remember

from services.rule.adapters.database import lanes, pulling, tasks
from services.rule.adapters.database.accepting import Acceptor
from services.rule.adapters.database.contexts import context_of, keep_answer
from services.rule.adapters.database.effects import preview
from services.rule.adapters.database.rows import EVENT_FULL, event_from
from services.rule.adapters.database.settling import Settler
from services.rule.adapters.database.work import DatabaseWork
from services.rule.concluding import Held, Resumed
from services.rule.emissions import caused_by, too_deep
from services.rule.executions import ExecutionState, Job
from services.rule.outcomes import Aftermath, Claim, Finished, Paused
from services.rule.programs import Program
from services.rule.retrying import GiveUp
from services.rule.tasking import Conclude, Settled
from services.rule.tasks import Holding, Pull, Task, TaskState, WholeTask, Wish


class DatabaseTasks:
    """Stores tasks. See :class:`services.rule.tasking.TaskStore`.

    Args:
        database: Where they are stored.
        acceptor: Accepts the events that they emit.
        work: Gives the compiled rules.
        bound: How many tasks of one queue may be held at once.
    """

    def __init__(self, database: Database, acceptor: Acceptor, work: DatabaseWork, bound: int) -> None:
        self._database = database
        self._acceptor = acceptor
        self._settler = Settler(acceptor)
        self._work = work
        self._bound = bound

    async def ready(self, wishes: Collection[Wish]) -> Sequence[Wish]:
        """Returns those wishes for which a pull would find something."""
        return await self._database.scan(lambda tx: pulling.ready(tx, wishes, self._bound))

    async def pull(self, pull: Pull) -> Sequence[WholeTask]:
        """Leases tasks to a worker."""
        return await self._database.write(lambda tx: pulling.take(tx, pull, self._bound))

    async def give_back(self, pulled: Sequence[Task]) -> None:
        """Lets tasks be pulled at once that did not reach their worker."""
        await self._database.write(lambda tx: pulling.give_back(tx, pulled))

    async def program(self, tenant: str, name: str) -> Program:
        """Returns the compiled rule of a task."""
        row = await self._database.read(
            lambda tx: tx.one(
                "SELECT x.rule_uid, x.revision FROM tasks AS t JOIN executions AS x ON x.seq = t.execution_seq "
                "WHERE t.tenant = ? AND t.name = ?",
                (tenant, name),
            )
        )
        if row is None:
            raise not_found(name)
        return await self._work.program(*row)

    async def extend(self, tenant: str, holding: Holding, seconds: float | None, once: Once | None) -> Task:
        """Makes a lease last longer."""

        def change(tx: Transaction) -> Task:
            task = tasks.find(tx, tenant, holding.task)
            tasks.check_held(tx, task, holding.token)
            tasks.extend(tx, task, task.lease_seconds if seconds is None else seconds)
            extended = tasks.find(tx, tenant, holding.task)
            remember(tx, once, extended)
            return extended

        return await self._database.write(change)

    async def settle(
        self, tenant: str, holding: Holding, conclude: Conclude, claim: Claim, once: Once | None, completion: bytes
    ) -> Settled:
        """Ends a task, or puts it off, with all that follows from it."""

        def change(tx: Transaction) -> Settled:
            task = tasks.find(tx, tenant, holding.task)
            repeated = task.state is TaskState.SUCCEEDED and completion and task.completion == completion
            if repeated and task.lease_token == holding.token:
                remember(tx, once, task)
                return Settled(task, Aftermath())
            tasks.check_held(tx, task, holding.token)
            held = _held(tx, task)
            if completion:
                tasks.complete(tx, task, completion)
            aftermath = self._follow(tx, held, conclude, claim)
            settled = tasks.find(tx, tenant, holding.task)
            remember(tx, once, settled)
            return Settled(settled, aftermath)

        return await self._database.write(change)

    def _follow(self, tx: Transaction, held: Held, conclude: Conclude, claim: Claim) -> Aftermath:
        ending, job = conclude(held), held.job
        if isinstance(ending, Finished):
            return self._settler.finish(tx, job, ending, claim)
        if isinstance(ending, Resumed):
            self._check(tx, job, ending)
            keep_answer(tx, ending.execution, held.task.step, ending.answer)
            self._settler.pause(tx, job, Paused(ending.execution, ExecutionState.PENDING, tx.now))
            return Aftermath()
        failed, decision = ending.failed, ending.decision
        if isinstance(decision, GiveUp):
            return self._settler.give_up(tx, job, failed, decision, ending.breaker, claim)
        self._settler.retry(tx, job, failed, decision.pause, ending.breaker, used=decision.used)
        return Aftermath()

    def _check(self, tx: Transaction, job: Job, resumed: Resumed) -> None:
        """Refuses at once what would fail when the execution ends after its later actions."""
        contents = preview(tx, job, Finished(resumed.execution, ExecutionState.SUCCEEDED, resumed.evaluate))
        cause = caused_by(resumed.execution, job.event, "")
        if contents and cause.depth > self._acceptor.max_depth:
            raise too_deep(self._acceptor.max_depth, cause, contents[0].type)


def _held(tx: Transaction, task: Task) -> Held:
    execution = lanes.seize(tx, task.execution_seq)
    row = tx.one(f"SELECT {EVENT_FULL} FROM events WHERE tenant = ? AND name = ?", (execution.tenant, execution.event))
    assert row is not None
    context = context_of(tx, execution, with_subject=True)
    return Held(task, Job(execution, event_from(row)), context, tx.now)
