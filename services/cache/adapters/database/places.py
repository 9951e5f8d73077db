"""What an operator says about a database that holds entries."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr
from sutler.backends.registry import NoOptions


class SqliteOptions(BaseModel, extra="forbid"):
    """Where a SQLite file is."""

    file: Path = Field(description="The file; its folder must be there")


class PostgresqlOptions(BaseModel, extra="forbid", hide_input_in_errors=True):
    """Where a PostgreSQL schema is."""

    url: SecretStr = Field(
        description="postgresql://USER:PASSWORD@HOST/DATABASE?schema=NAME; the schema is cache if not named"
    )


class DatabaseUrl(str):
    """The URL of a database, as a type of its own: what the factories of databases make."""


def sqlite(options: SqliteOptions) -> DatabaseUrl:
    """Returns where a SQLite file is."""
    return DatabaseUrl(f"sqlite:///{quote(str(options.file))}")


def sqlite_memory(options: NoOptions) -> DatabaseUrl:
    """Returns a place in memory."""
    return DatabaseUrl("sqlite:///:memory:")


def postgresql(options: PostgresqlOptions) -> DatabaseUrl:
    """Returns where a PostgreSQL schema is."""
    return DatabaseUrl(options.url.get_secret_value())
