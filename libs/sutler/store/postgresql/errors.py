"""What PostgreSQL's error codes mean for us. The only place that knows them."""

from __future__ import annotations

import psycopg

from sutler.errors import FailedPrecondition, SutlerError, Unavailable
from sutler.store import failures
from sutler.store.engine import ConstraintError, StatementError

_LOCKED = ("55P03", "40001", "40P01")
_REFUSED = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied", "not permitted")


def mapped(error: psycopg.Error, *, reading: bool = False) -> Exception:
    """Returns our error for one of PostgreSQL's (https://www.postgresql.org/docs/current/errcodes-appendix.html).

    Args:
        error: What the driver raised.
        reading: Whether it arose in a read, where "read-only" is the program's fault.
    """
    code = error.sqlstate or ""
    if code == "53100":
        return failures.full()
    if code in _LOCKED:
        return failures.unavailable(failures.LOCKED)
    if code in ("XX001", "XX002"):
        return failures.damaged()
    if code.startswith("23"):
        return ConstraintError(str(error))
    if code == "42501":
        return FailedPrecondition(
            "the role of the database connection lacks a right: grant it what its schema needs",
            metadata={"cause": "insufficient privilege"},
        )
    if code == "25006" and not reading:
        return failures.unavailable("read-only")
    if code.startswith(("53", "57", "58", "08", "25P03")) or (not code and isinstance(error, psycopg.OperationalError)):
        return failures.unavailable("connection lost" if code.startswith(("57P", "08", "25P03")) or not code else
                                    "server error")  # fmt: skip
    return StatementError(str(error))


def unreachable(error: psycopg.Error, server: str) -> SutlerError:
    """Returns the error for a connection that could not be made.

    Args:
        error: What the driver raised; it carries no code here, only the server's words.
        server: Host, port and database, for the operator's eyes.
    """
    words = " ".join(str(error).split())
    if any(refused in words for refused in _REFUSED):
        return FailedPrecondition(
            f"PostgreSQL at {server} refuses the connection ({words}): check user, password, database and pg_hba.conf",
            metadata={"server": server},
        )
    return Unavailable(
        f"PostgreSQL at {server} does not answer ({words}): check that it runs and that the address is right",
        reason="STORAGE_UNAVAILABLE",
        metadata={"server": server},
        retry_after=failures.RETRY_AFTER,
    )
