"""A schema in a PostgreSQL database."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sutler.errors import FailedPrecondition
from sutler.store import failures
from sutler.store.engine import Dialect, Row
from sutler.store.postgresql.adapters import register
from sutler.store.postgresql.connection import PostgresqlConnection
from sutler.store.postgresql.errors import mapped, unreachable
from sutler.store.sql import postgresql_ddl

CONNECT_TIMEOUT_SECONDS = 5
NOTIFY_PAUSE_SECONDS = 0.2
"""How long the listener takes at most to notice that it must stop."""

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,49}")
_PARAMETER = re.compile(r"([?&])schema=([^&]*)&?")

# A peer that vanishes without a word is noticed within half a minute.
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25000}


class PostgresqlEngine:
    """Every writer of every process waits for one advisory lock, so changes are serial and numbers rise as they commit.

    Args:
        url: libpq's URL, with ``schema`` as one more parameter.
        name: Whose database it is; the schema if the URL names none.
        lock_timeout: Seconds to wait for other writers; a writer that is silent for as long is cut off.

    Raises:
        FailedPrecondition: If the URL cannot be read.
    """

    dialect: Dialect = "postgresql"
    max_batch = 60  # beyond 64 subtransactions in one transaction, PostgreSQL's snapshots get slow for everybody
    inline = False

    def __init__(self, url: str, name: str, lock_timeout: float) -> None:
        found = _PARAMETER.search(url)
        self._schema = found[2] if found else name
        if not _SCHEMA.fullmatch(self._schema):
            raise FailedPrecondition(
                f"the schema {self._schema!r} in the database URL of {name} must match {_SCHEMA.pattern}",
                metadata={"database": name, "schema": self._schema},
            )
        try:
            given = conninfo_to_dict(_PARAMETER.sub(r"\1", url).rstrip("?&"))
        except psycopg.Error as error:
            raise FailedPrecondition(
                f"the database URL of {name} cannot be read: write postgresql://user@host:port/database?schema={name}",
                metadata={"database": name},
            ) from error
        defaults = {**_KEEPALIVE, "connect_timeout": CONNECT_TIMEOUT_SECONDS, "application_name": f"sutler-{name}"}
        self._parameters: dict[str, Any] = {**defaults, **given}
        self._milliseconds = int(lock_timeout * 1000)
        self._process = uuid4().hex
        self._channel = f"sutler_{self._schema}"
        key = int.from_bytes(hashlib.sha256(self._channel.encode()).digest()[:8], "big", signed=True)
        # READ COMMITTED: what is read after the lock is what the writer before has committed.
        self._opening = ("BEGIN ISOLATION LEVEL READ COMMITTED", f"SELECT pg_advisory_xact_lock({key})")
        self._notify = f"SELECT pg_notify('{self._channel}', '{self._process}')"
        # CREATE SCHEMA IF NOT EXISTS needs the right to make schemas even where it makes none.
        self.preamble: Sequence[str] = (
            f"DO $$ BEGIN IF to_regnamespace('{self._schema}') IS NULL"
            f" THEN CREATE SCHEMA {self._schema}; END IF; END $$",
        )

    def prepare(self) -> None:
        """Connects once.

        Raises:
            Unavailable: If the server does not answer.
            FailedPrecondition: If it refuses, or the database is not in UTF-8.
        """
        hidden = {key: str(self._parameters.get(key, "")) for key in ("host", "port", "dbname")}
        server = f"{hidden['host'] or 'localhost'}:{hidden['port'] or 5432}/{hidden['dbname']}"
        try:
            raw = self._connect()
        except psycopg.Error as error:
            raise unreachable(error, server) from error
        encoding = raw.info.parameter_status("server_encoding")
        raw.close()
        if encoding != "UTF8":
            raise FailedPrecondition(
                f"the database {server} is in {encoding}: make one with ENCODING 'UTF8'",
                metadata={"server": server, "encoding": str(encoding)},
            )

    def writer(self) -> PostgresqlConnection:
        """Returns a new connection for changes."""
        # The second keeps a process that hangs within a change from stopping all others.
        raw = self._open(
            f"SET lock_timeout = {self._milliseconds}; SET idle_in_transaction_session_timeout = {self._milliseconds};"
            " SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        return PostgresqlConnection(raw, self._opening, self._notify)

    def reader(self, *, patient: bool) -> PostgresqlConnection:
        """Returns a new connection that cannot write."""
        return PostgresqlConnection(self._open(f"SET lock_timeout = {self._milliseconds}"))

    def ddl(self, sql: str) -> str:
        """Returns a statement of a migration whose text compares by code point."""
        return postgresql_ddl(sql)

    def watch(self, changed: Callable[[], None], wanted: threading.Event, stop: threading.Event) -> None:
        """Listens on one connection for the notifications that come with commits."""
        wanted.wait()
        if stop.is_set():
            return
        raw = self._open(f"LISTEN {self._channel}")
        try:
            changed()
            while not stop.is_set():
                for notice in raw.notifies(timeout=NOTIFY_PAUSE_SECONDS, stop_after=1):
                    if notice.payload != self._process:
                        changed()
        except psycopg.Error as error:
            raise mapped(error) from error
        finally:
            raw.close()

    def mark(self) -> int | None:
        """Returns None: commits are not counted."""
        return None

    def close(self) -> None:
        """Has nothing to free."""

    def _connect(self) -> psycopg.Connection[Row]:
        raw: psycopg.Connection[Row] = psycopg.connect("", autocommit=True, **self._parameters)
        register(raw)
        return raw

    def _open(self, settings: str) -> psycopg.Connection[Row]:
        try:
            raw = self._connect()
        except psycopg.Error as error:
            raise failures.unavailable("no connection") from error
        try:
            raw.execute(f"SET search_path TO {self._schema}; {settings}", prepare=False)
        except psycopg.Error as error:
            raw.close()
            raise mapped(error) from error
        return raw
