"""Brings the tables of a database to what this release knows, and refuses a database that is newer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from sutler.errors import FailedPrecondition
from sutler.store.engine import Connection, Dialect, Engine, OutcomeUnknownError

log = structlog.get_logger("sutler.store")

VERSIONS = """
CREATE TABLE IF NOT EXISTS schema_versions (
    component TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of a component's tables. A step that was released never changes; a new step follows.

    Attributes:
        number: 1 for the first, then one more each.
        description: What it does, a few words for the log.
        statements: SQL without parameters, one statement each. ``CREATE TABLE`` and ``ALTER TABLE`` use TEXT, BIGINT,
            DOUBLE PRECISION and BYTEA; no column is named after one of these.
        engine: The only engine that takes the step; all if None.
    """

    number: int
    description: str
    statements: Sequence[str]
    engine: Dialect | None = None


Components = Mapping[str, Sequence[Migration]]
"""The migrations of each component that has tables in one database, by its name."""


def migrate(engine: Engine, components: Components, *, name: str) -> None:
    """Applies what is missing, all in one transaction while no other process writes.

    Raises:
        ValueError: If the numbers of a component are not 1, 2, 3 …
        FailedPrecondition: If the database is newer than this release.
        SutlerError: If the database does not answer.
    """
    for component, migrations in components.items():
        if [migration.number for migration in migrations] != list(range(1, len(migrations) + 1)):
            raise ValueError(f"the migrations of component {component} are not numbered 1, 2, 3 …")
    connection = engine.writer()
    try:
        connection.begin()
        try:
            for statement in (*engine.preamble, engine.ddl(VERSIONS)):
                connection.execute(statement, ())
            for component, migrations in components.items():
                _apply(engine, connection, component, migrations, name)
        except BaseException:
            connection.rollback()
            raise
        try:
            connection.commit()
        except OutcomeUnknownError as unknown:
            raise unknown.error from unknown
    finally:
        connection.close()


def _apply(engine: Engine, connection: Connection, component: str, migrations: Sequence[Migration], name: str) -> None:
    row = connection.one("SELECT version FROM schema_versions WHERE component = ?", (component,))
    found, known = (row[0] if row else 0), len(migrations)
    if found > known:
        raise FailedPrecondition(
            f"the database of {name} has version {found} of the tables of {component}, but this release knows "
            f"{known} at most: run the release that wrote it or a newer one, or restore a backup from before",
            metadata={"database": name, "component": component, "found": str(found), "known": str(known)},
        )
    for migration in migrations[found:]:
        if migration.engine not in (None, engine.dialect):
            continue
        log.info("store.migration", database=name, component=component, number=migration.number,
                 description=migration.description)  # fmt: skip
        for statement in migration.statements:
            connection.execute(engine.ddl(statement), ())
    if found < known:
        connection.execute(
            "INSERT INTO schema_versions (component, version) VALUES (?, ?)"
            " ON CONFLICT (component) DO UPDATE SET version = excluded.version",
            (component, known),
        )
