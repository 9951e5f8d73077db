from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sutler.store.sql import postgresql_ddl, postgresql_statement, sqlite_ddl

PARTS = st.sampled_from(
    ["SELECT ", "a", " = ?", "'?'", "'it''s ? %'", '"c?%"', " % 2", "-- ?%\n", "/* ? % */", ", ", "LIKE '%x%'"]
)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT ? WHERE a = ?", "SELECT %s WHERE a = %s"),
        ("SELECT 'a?b', ?", "SELECT 'a?b', %s"),
        ("SELECT 'it''s ?', ?", "SELECT 'it''s ?', %s"),
        ('SELECT "a?", ?', 'SELECT "a?", %s'),
        ("SELECT 5 % 3, '%', ?", "SELECT 5 %% 3, '%%', %s"),
        ("SELECT 1 -- really?\n, ?", "SELECT 1 -- really?\n, %s"),
        ("SELECT /* ? */ ?", "SELECT /* ? */ %s"),
    ],
)
def test_marks_become_placeholders(sql: str, expected: str) -> None:
    assert postgresql_statement(sql) == expected


@given(st.lists(PARTS).map("".join))
def test_only_marks_and_percent_signs_change(sql: str) -> None:
    translated = postgresql_statement(sql)
    marks = translated.replace("%%", "").count("%s")
    assert translated % tuple("?" * marks) == sql


@pytest.mark.parametrize(
    ("sql", "sqlite", "postgresql"),
    [
        (
            "CREATE TABLE t (a TEXT, b bigint, c Double  Precision, d BYTEA)",
            "CREATE TABLE t (a TEXT, b INTEGER, c REAL, d BLOB) STRICT",
            'CREATE TABLE t (a TEXT COLLATE "C", b bigint, c Double  Precision, d BYTEA)',
        ),
        (
            "CREATE TABLE t (a TEXT DEFAULT 'TEXT' CHECK (CAST(a AS TEXT) <> ''), texts BIGINT) ; ",
            "CREATE TABLE t (a TEXT DEFAULT 'TEXT' CHECK (CAST(a AS TEXT) <> ''), texts INTEGER)  STRICT",
            """CREATE TABLE t (a TEXT COLLATE "C" DEFAULT 'TEXT' CHECK (CAST(a AS TEXT) <> ''), texts BIGINT) ; """,
        ),
        (
            "ALTER TABLE t ADD COLUMN e TEXT",
            "ALTER TABLE t ADD COLUMN e TEXT",
            'ALTER TABLE t ADD COLUMN e TEXT COLLATE "C"',
        ),
        ("ALTER TABLE t ADD COLUMN f BYTEA", "ALTER TABLE t ADD COLUMN f BLOB", "ALTER TABLE t ADD COLUMN f BYTEA"),
        ("UPDATE t SET a = 'BYTEA'", "UPDATE t SET a = 'BYTEA'", "UPDATE t SET a = 'BYTEA'"),
        ("CREATE INDEX i ON t (a)", "CREATE INDEX i ON t (a)", "CREATE INDEX i ON t (a)"),
    ],
)
def test_types_become_each_engines_own(sql: str, sqlite: str, postgresql: str) -> None:
    assert sqlite_ddl(sql) == sqlite
    assert postgresql_ddl(sql) == postgresql


def test_sqlite_understands_its_own() -> None:
    raw = sqlite3.connect(":memory:")
    raw.execute(sqlite_ddl("CREATE TABLE t (a TEXT, b BIGINT PRIMARY KEY, c DOUBLE PRECISION, d BYTEA)"))
    raw.execute("INSERT INTO t VALUES ('1', 2, 3, x'04')")
    assert raw.execute("SELECT typeof(a), typeof(b), typeof(c), typeof(d) FROM t").fetchone() == (
        "text", "integer", "real", "blob",
    )  # fmt: skip
    raw.close()
