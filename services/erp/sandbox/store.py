"""Runs operations in transactions: the database, the models, and the write log together."""

import logging
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime
from sqlite3 import Connection
from typing import Any

from services.erp.sandbox import crowd, seed
from services.erp.sandbox.business.registry import build_behaviours
from services.erp.sandbox.database import Database
from services.erp.sandbox.errors import DatabaseFailure, OutOfRange
from services.erp.sandbox.journal import Journal
from services.erp.sandbox.orm.env import Env, User
from services.erp.sandbox.schema.registry import build_registry
from services.erp.sandbox.schema.tables import statements

log = logging.getLogger("sandbox")

SYSTEM = User(1, "__system__", "Sandbox system", "admin", 2, 1, "en_US", None)
USER_COLUMNS = "id, login, name, sandbox_role, partner_id, company_id, lang, tz"


class Store:
    """The data of one sandbox, a new one with so many `partners`. Safe for use by many threads."""

    def __init__(self, database: Database, journal: Journal | None, now: datetime, partners: int = 0) -> None:
        self.database = database
        self.registry = build_registry()
        self.behaviours = build_behaviours(self.registry)
        self._journal = journal

        def fill(connection: Connection) -> None:
            env = self._env(connection, SYSTEM, now)
            seed.fill(env)
            crowd.fill(env, partners)

        new = database.fill(statements(self.registry), fill)
        if journal is not None:
            with database.read() as connection:
                journal.start(connection, new_database=new)

    def run(
        self, operation: Callable[[Env], Any], user: User, context: Mapping[str, Any], now: datetime, *, writes: bool
    ) -> tuple[Any, int]:
        """Run an operation; return its result and how many records it touched. Nothing stays if it raises."""
        try:
            if writes:
                return self._run_writing(operation, user, context, now)
            with self.database.read() as connection:
                result = operation(self._env(connection, user, now, context))
            return result, _count(result)
        except OverflowError as error:
            raise OutOfRange(str(error)) from error
        except sqlite3.Error as error:
            log.exception("the database refused a statement")
            raise DatabaseFailure(str(error)) from error

    def _run_writing(
        self, operation: Callable[[Env], Any], user: User, context: Mapping[str, Any], now: datetime
    ) -> tuple[Any, int]:
        with self.database.write(self._append) as connection:
            env = self._env(connection, user, now, context)
            result = operation(env)
            if self._journal is not None:
                self._journal.keep(connection, now, user.id, env.writes)
        return result, max(sum(len(write.ids) for write in env.writes), 1)

    def user_ids(self) -> list[int]:
        """Return the ids of the active users."""
        with self.database.read() as connection:
            return [row[0] for row in connection.execute("SELECT id FROM res_users WHERE active = 1 ORDER BY id")]

    def user(self, column: str, value: Any) -> User | None:
        """Return the active user with that `id` or `login`."""
        with self.database.read() as connection:
            row = connection.execute(
                f"SELECT {USER_COLUMNS} FROM res_users WHERE active = 1 AND {column} = ?", (value,)
            ).fetchone()
        return User(*row) if row else None

    def _append(self, connection: Connection) -> None:
        """Append to the write log. The change is committed, so a failure here must not look like a failed change."""
        try:
            if self._journal is not None:
                self._journal.append(connection)
        except OSError:
            log.exception("the write log could not be written; its lines follow with the next change")

    def _env(self, connection: Connection, user: User, now: datetime, context: Mapping[str, Any] | None = None) -> Env:
        return Env(connection, self.registry, self.behaviours, user, now, context or {})


def _count(result: Any) -> int:
    if isinstance(result, dict):
        result = result.get("records", [])
    return max(len(result), 1) if isinstance(result, list) else 1
