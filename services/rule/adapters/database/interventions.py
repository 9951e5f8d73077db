"""Retries of executions and resets of breakers, in the database."""

from __future__ import annotations

from sutler.errors import not_found
from sutler.idempotency import Once
from sutler.store import Database, Transaction
from sutler.store.requests import remember

from services.rule.adapters.database import breakers
from services.rule.adapters.database.resuming import begin_anew, resume
from services.rule.adapters.database.rows import EXECUTION, execution_from
from services.rule.breakers import Breaker
from services.rule.executions import Execution
from services.rule.interventions import check_retryable


class DatabaseInterventions:
    """Changes executions and breakers. See :class:`services.rule.interventions.Interventions`.

    Args:
        database: Where they are stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def retry(self, tenant: str, name: str, once: Once | None, *, restart: bool) -> Execution:
        """Tries an execution again at once, or begins it anew."""

        def change(tx: Transaction) -> Execution:
            execution = _find(tx, tenant, name)
            check_retryable(execution)
            again = begin_anew(tx, execution) if restart else resume(tx, execution)
            remember(tx, once, again)
            return again

        return await self._database.write(change)

    async def reset(self, tenant: str, name: str, once: Once | None) -> tuple[Breaker, int]:
        """Closes a breaker; what it deferred runs at once."""

        def change(tx: Transaction) -> tuple[Breaker, int]:
            breaker = breakers.find(tx, tenant, name)
            if breaker is None:
                raise not_found(name)
            result = (breakers.reset(tx, breaker), 0)
            remember(tx, once, result)
            return result

        return await self._database.write(change)


def _find(tx: Transaction, tenant: str, name: str) -> Execution:
    row = tx.one(f"SELECT {EXECUTION} FROM executions WHERE tenant = ? AND name = ?", (tenant, name))
    if row is None:
        raise not_found(name)
    return execution_from(row)
