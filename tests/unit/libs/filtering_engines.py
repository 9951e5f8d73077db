"""The two databases that filters are compiled for, each with one table of documents."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Protocol

import psycopg
from sutler.filtering import Dialect
from sutler.store.sql import postgresql_ddl, postgresql_statement, sqlite_ddl
from sutler.testing import postgresql_schema

DDL = """
CREATE TABLE documents (
    name TEXT NOT NULL PRIMARY KEY, title TEXT, size BIGINT, ratio DOUBLE PRECISION, done BIGINT,
    create_time DOUBLE PRECISION, ttl DOUBLE PRECISION, state BIGINT, tier TEXT,
    labels TEXT, tags TEXT, properties TEXT, spec TEXT
)
"""
COLUMNS = [
    "name",
    "title",
    "size",
    "ratio",
    "done",
    "create_time",
    "ttl",
    "state",
    "tier",
    "labels",
    "tags",
    "properties",
    "spec",
]
_JSON = {"labels", "tags", "properties", "spec"}


class Database(Protocol):
    dialect: Dialect

    def run(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]: ...


class Sqlite:
    dialect: Dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def run(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, params).fetchall()


class Postgresql:
    dialect: Dialect = "postgresql"

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def run(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(postgresql_statement(sql).encode(), params)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def open_sqlite() -> Iterator[Database]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(sqlite_ddl(DDL))
        yield Sqlite(connection)


@contextmanager
def open_postgresql() -> Iterator[Database]:
    with postgresql_schema() as url, closing(psycopg.connect(url.partition("?")[0])) as connection:
        # A temporary table belongs to this connection alone, and goes with it.
        connection.execute(postgresql_ddl(DDL).replace("CREATE TABLE", "CREATE TEMP TABLE", 1).encode())
        yield Postgresql(connection)


def store(database: Database, documents: Sequence[dict[str, Any]], *, escaped: bool = False) -> None:
    """Replaces what is stored. Documents are named by their index unless they have a name; in JSON, letters beyond
    ASCII are escaped or not.
    """
    database.run("DELETE FROM documents")
    marks = ", ".join("?" * len(COLUMNS))
    for index, document in enumerate(documents):
        row = [_stored(column, document, escaped) for column in COLUMNS[1:]]
        database.run(f"INSERT INTO documents VALUES ({marks})", [document.get("name", str(index)), *row])


def _stored(column: str, document: dict[str, Any], escaped: bool) -> object:
    value = document.get(column)
    if value is None:
        return None
    if column in _JSON:
        return json.dumps(value, ensure_ascii=escaped)
    return int(value) if isinstance(value, bool) else value
