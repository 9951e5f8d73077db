"""Databases for tests: a file, memory, or a schema in a PostgreSQL database that the test session makes and drops."""

from __future__ import annotations

from dataclasses import dataclass

TABLES = (
    "CREATE TABLE items (key TEXT NOT NULL PRIMARY KEY, number BIGINT, ratio DOUBLE PRECISION, body BYTEA, note TEXT)",
)


@dataclass(frozen=True)
class Place:
    """Where a test's database is.

    Attributes:
        kind: sqlite, memory or postgresql.
        url: For open_database.
        shared: Whether another process, or another open_database, sees the same data.
    """

    kind: str
    url: str

    @property
    def shared(self) -> bool:
        return self.kind != "memory"
