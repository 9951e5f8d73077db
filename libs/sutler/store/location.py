"""Finds the engine that a database URL means."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sutler.errors import FailedPrecondition
from sutler.store.engine import Engine
from sutler.store.sqlite import MemoryEngine, SqliteEngine

FORMS = "sqlite:///relative/file.db, sqlite:////absolute/file.db, sqlite:///:memory:, postgresql://user@host/database"


def engine_for(url: str, *, name: str, lock_timeout: timedelta) -> Engine:
    """Returns the engine of the database at ``url``; connects to nothing yet.

    Args:
        url: One of :data:`FORMS`. PostgreSQL's may carry libpq's parameters, and ``schema``, which is ``name`` if
            absent.
        name: Whose database it is.
        lock_timeout: How long to wait for other writers.

    Raises:
        FailedPrecondition: If the URL has another form. The message leaves the URL out: it may hold a password.
    """
    scheme, _, rest = url.partition("://")
    seconds = lock_timeout.total_seconds()
    if scheme == "sqlite" and rest == "/:memory:":
        return MemoryEngine()
    if scheme == "sqlite" and len(rest) > 1 and rest.startswith("/"):
        return SqliteEngine(Path(unquote(rest[1:])), seconds)
    if scheme in ("postgresql", "postgres"):
        # Here, so that who uses SQLite does not load libpq.
        from sutler.store.postgresql import PostgresqlEngine

        return PostgresqlEngine(url, name, seconds)
    raise FailedPrecondition(
        f"the database URL of {name} begins with {scheme!r} or is incomplete; allowed are {FORMS}",
        metadata={"database": name, "scheme": scheme},
    )


def place_of(url: str) -> str:
    """Returns where the database of a URL is, for the operator: the file, or the URL without user and parameters."""
    if url.startswith("sqlite:///"):
        return unquote(url.removeprefix("sqlite:///"))
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
