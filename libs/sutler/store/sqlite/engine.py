"""A SQLite database in a file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from sutler.errors import DataLoss, FailedPrecondition, Unavailable
from sutler.store import failures
from sutler.store.engine import Dialect
from sutler.store.sql import sqlite_ddl
from sutler.store.sqlite.commits import Commits
from sutler.store.sqlite.connection import SqliteConnection
from sutler.store.sqlite.errors import mapped
from sutler.store.sqlite.line import Line

POLL_SECONDS = 0.05
"""How often foreign commits are looked for while somebody waits for them."""

_SETTINGS = (
    "PRAGMA foreign_keys = ON",  # as PostgreSQL always does
    "PRAGMA case_sensitive_like = ON",  # likewise
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -64000",  # KiB
)
_WRITER_SETTINGS = (
    "PRAGMA synchronous = FULL",  # in WAL mode, NORMAL loses the last commits with the power
    "PRAGMA wal_autocheckpoint = 4000",  # pages: fewer and larger ones hold up fewer commits
    "PRAGMA journal_size_limit = 67108864",
)


def connect(uri: str, timeout: float) -> sqlite3.Connection:
    """Returns a connection in autocommit mode that any one thread at a time may use.

    Args:
        uri: A ``file:`` URI or ``:memory:``.
        timeout: Seconds for which SQLite itself waits for a lock.

    Raises:
        sqlite3.Error: If it cannot be opened, or is not a database.
    """
    raw = sqlite3.connect(
        uri, timeout=timeout, isolation_level=None, check_same_thread=False, cached_statements=512, uri=True
    )
    try:
        for setting in _SETTINGS:
            raw.execute(setting)
    except BaseException:
        raw.close()
        raise
    return raw


class SqliteEngine:
    """One file, many readers, one writer at a time.

    Args:
        path: The file; its folder exists.
        lock_timeout: Seconds to wait for other processes.
    """

    dialect: Dialect = "sqlite"
    max_batch = 256
    inline = True
    preamble: Sequence[str] = ()

    def __init__(self, path: Path, lock_timeout: float) -> None:
        self._path = path
        self._timeout = lock_timeout
        self._commits: Commits | None = None

    def prepare(self) -> None:
        """Makes the file if there is none, and sees that it is a database in WAL mode.

        Raises:
            FailedPrecondition: If the folder or a permission is missing.
            DataLoss: If the file is not a database, or damaged.
        """
        place = {"path": str(self._path)}
        if not self._path.parent.is_dir():
            raise FailedPrecondition(
                f"the folder {self._path.parent} does not exist: make it, or set another database", metadata=place
            )
        if self._path.is_dir():
            raise FailedPrecondition(f"{self._path} is a folder: name a file in it", metadata=place)
        try:
            self._connect("rwc", self._timeout).close()
            self.writer().close()
            connection = self.reader(patient=True)
            try:
                mode = connection.one("PRAGMA journal_mode", ())
                connection.one("SELECT COUNT(*) FROM sqlite_schema", ())
            finally:
                connection.close()
        except DataLoss as error:
            raise DataLoss(
                f"{self._path} is damaged or no SQLite database: restore a backup, or move the file and its -wal away"
                " to start empty",
                metadata=place,
            ) from error
        except Unavailable as error:
            if error.metadata.get("cause") == failures.LOCKED:
                raise
            raise FailedPrecondition(
                f"{self._path} cannot be opened for writing ({error.__cause__}): check that this user may write the"
                " file and its folder, and that the disk is there and has room",
                metadata=place,
            ) from error
        if mode != ("wal",):
            raise FailedPrecondition(
                f"{self._path} cannot be in WAL mode: put it on a local file system", metadata=place
            )

    def writer(self) -> SqliteConnection:
        """Returns a new connection for changes."""
        beside = self._path.with_name(self._path.name + "-line")
        try:
            line = Line(beside, self._timeout)
            self._commits = self._commits or Commits(beside)
        except OSError as error:
            raise failures.unavailable("its lock file cannot be opened") from error
        raw: sqlite3.Connection | None = None
        try:
            raw = self._connect("rw", self._timeout)
            for setting in _WRITER_SETTINGS:
                raw.execute(setting)
            if raw.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                line.pass_through(lambda: raw.execute("PRAGMA journal_mode = WAL"))
            raw.execute("PRAGMA busy_timeout = 0")  # from here on, Line waits
        except BaseException as error:
            if raw is not None:
                raw.close()
            line.close()
            raise (mapped(error) if isinstance(error, sqlite3.Error) else error) from error
        return SqliteConnection(raw, line.pass_through, self._commits, line.close)

    def reader(self, *, patient: bool) -> SqliteConnection:
        """Returns a new connection that cannot write."""
        raw = self._connect("rw", self._timeout if patient else 0)
        raw.execute("PRAGMA query_only = ON")
        return SqliteConnection(raw)

    def ddl(self, sql: str) -> str:
        """Returns a statement of a migration for STRICT tables."""
        return sqlite_ddl(sql)

    def watch(self, changed: Callable[[], None], wanted: threading.Event, stop: threading.Event) -> None:
        """Polls ``PRAGMA data_version``, which changes with the commits of other connections."""
        raw = self._connect("rw", self._timeout)
        seen: object = None
        try:
            while not stop.is_set():
                version = raw.execute("PRAGMA data_version").fetchone()
                if version != seen:
                    seen = version
                    changed()
                stop.wait(POLL_SECONDS)
                wanted.wait()
        except sqlite3.Error as error:
            raise mapped(error) from error
        finally:
            raw.close()

    def mark(self) -> int | None:
        """Returns the number of the last commit, from shared memory; None while that is not certain."""
        return None if self._commits is None else self._commits.mark()

    def close(self) -> None:
        """Lets the count of commits go."""
        commits, self._commits = self._commits, None
        if commits is not None:
            commits.close()

    def _connect(self, mode: str, timeout: float) -> sqlite3.Connection:
        # Only prepare() may make the file: a database that is deleted later must not come back empty.
        try:
            return connect(f"{self._path.absolute().as_uri()}?mode={mode}", timeout)
        except sqlite3.Error as error:
            raise mapped(error) from error
