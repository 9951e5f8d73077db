"""What SQLite's error codes mean for us. The only place that knows them."""

from __future__ import annotations

import sqlite3

from sutler.store import failures
from sutler.store.engine import ConstraintError, StatementError

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNAVAILABLE = {
    sqlite3.SQLITE_IOERR: "input or output error",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_PERM: "no permission",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_PROTOCOL: "lock protocol error",
    sqlite3.SQLITE_NOMEM: "out of memory",
    sqlite3.SQLITE_INTERRUPT: "interrupted",
}


def primary_code(error: sqlite3.Error) -> int:
    """Returns the primary result code (https://sqlite.org/rescode.html); 0 if the driver itself objects."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def is_locked(error: sqlite3.Error) -> bool:
    """Returns whether another connection holds a lock."""
    return primary_code(error) in _LOCKED


def mapped(error: sqlite3.Error, *, reading: bool = False) -> Exception:
    """Returns our error for one of SQLite's.

    Args:
        error: What the driver raised.
        reading: Whether it arose in a read, where "read-only" is the program's fault.
    """
    code = primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        return failures.full()
    if code in _LOCKED:
        return failures.unavailable(failures.LOCKED)
    if code in _DAMAGED:
        return failures.damaged()
    if code == sqlite3.SQLITE_CONSTRAINT:
        return ConstraintError(str(error))
    if code in _UNAVAILABLE and not (reading and code == sqlite3.SQLITE_READONLY):
        return failures.unavailable(_UNAVAILABLE[code])
    return StatementError(str(error))
