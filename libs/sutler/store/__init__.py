"""The durable store that all services share: SQLite and PostgreSQL behind one port.

::

    async with open_database(settings.database_url, name="cache", migrations={"cache": MIGRATIONS}) as db:
        etag = await db.write(lambda tx: put(tx, key, value))
        row = await db.read(lambda tx: tx.one("SELECT value FROM entries WHERE key = ?", (key,)))

Beside it, each in its own module: :mod:`~sutler.store.requests` (idempotency records), :mod:`~sutler.store.leases`
and :mod:`~sutler.store.holding` (work that must run in one replica), :mod:`~sutler.store.outbox` and
:mod:`~sutler.store.relay` (events), :mod:`~sutler.store.retention`, :mod:`~sutler.store.sequences`.
"""

from sutler.store.changes import Changes
from sutler.store.database import Database, Statistics, open_database
from sutler.store.engine import ConstraintError, Dialect, Params, Row, StatementError, Value
from sutler.store.migrations import Migration
from sutler.store.transaction import Transaction

__all__ = [
    "Changes",
    "ConstraintError",
    "Database",
    "Dialect",
    "Migration",
    "Params",
    "Row",
    "StatementError",
    "Statistics",
    "Transaction",
    "Value",
    "open_database",
]
