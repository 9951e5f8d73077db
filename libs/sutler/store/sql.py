"""Turns the common SQL into each engine's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from sutler.store.engine import Params

MOST_ROWS = 32

_TOKENS = re.compile(
    r"""(?P<fixed>'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/)|(?P<mark>\?)|(?P<percent>%)""", re.DOTALL
)
_TYPES = re.compile(
    r"""(?P<fixed>'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\bAS\s+TEXT\b)"""
    r"|\b(?P<type>BIGINT|DOUBLE\s+PRECISION|BYTEA|TEXT)\b",
    re.DOTALL | re.IGNORECASE,
)
_DEFINES = re.compile(r"\s*(CREATE\s+TABLE|ALTER\s+TABLE)\b", re.IGNORECASE)
_CREATES = re.compile(r"\s*CREATE\s+TABLE\b", re.IGNORECASE)

_SQLITE_TYPES = {"BIGINT": "INTEGER", "DOUBLE PRECISION": "REAL", "BYTEA": "BLOB", "TEXT": "TEXT"}
_POSTGRESQL_TYPES = {"TEXT": 'TEXT COLLATE "C"'}


@lru_cache(maxsize=2048)
def postgresql_statement(sql: str) -> str:
    """Returns a statement with psycopg's placeholders: ``?`` becomes ``%s``, and ``%`` is doubled."""

    def replace(match: re.Match[str]) -> str:
        if match["mark"]:
            return "%s"
        return match[0].replace("%", "%%")

    return _TOKENS.sub(replace, sql)


def inserts(table: str, columns: str, rows: Sequence[Params]) -> Iterator[tuple[str, Params]]:
    """Yields statements, with their parameters, that insert rows; few, and the same again and again."""
    start = 0
    while start < len(rows):
        count = min(MOST_ROWS, 1 << ((len(rows) - start).bit_length() - 1))
        yield _insert(table, columns, count), [value for row in rows[start : start + count] for value in row]
        start += count


@lru_cache(maxsize=2048)
def _insert(table: str, columns: str, count: int) -> str:
    row = f"({', '.join('?' * (columns.count(',') + 1))})"
    return f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * count)}"


def postgresql_ddl(sql: str) -> str:
    """Returns a statement of a migration whose text columns compare by code point, as SQLite's do."""
    return _with_types(sql, _POSTGRESQL_TYPES)


def sqlite_ddl(sql: str) -> str:
    """Returns a statement of a migration whose tables are STRICT, so that a wrong type is refused as in PostgreSQL.

    SQLite derives a column's affinity from parts of its type's name (https://sqlite.org/datatype3.html); BYTEA would
    be NUMERIC. STRICT tables know INTEGER, REAL, TEXT and BLOB only.
    """
    sql = _with_types(sql, _SQLITE_TYPES)
    return f"{sql.rstrip().rstrip(';')} STRICT" if _CREATES.match(sql) else sql


def _with_types(sql: str, types: dict[str, str]) -> str:
    if not _DEFINES.match(sql):
        return sql

    def replace(match: re.Match[str]) -> str:
        if match["fixed"]:
            return match[0]
        return types.get(" ".join(match["type"].upper().split()), match[0])

    return _TYPES.sub(replace, sql)
