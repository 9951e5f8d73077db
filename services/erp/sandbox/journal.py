"""The write log: one JSON line for every successful change, in the order of the commits.

Lines are stored in the transaction of the change itself and then appended to the file before the caller is answered.
What a killed process could not append is appended at the next start, so the file and the data never differ for long.
"""

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection

import orjson

from services.erp.sandbox.orm.env import Write


class Journal:
    """Writes the log of one database to one file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._last = 0

    def start(self, connection: Connection, *, new_database: bool) -> None:
        """Append what is missing from the file; begin a new one if the file is not of this database."""
        stored = connection.execute("SELECT COALESCE(MAX(seq), 0) FROM sandbox_journal").fetchone()[0]
        self._last = self._repair()
        if new_database or self._last > stored:
            self._path.write_bytes(b"")
            self._last = 0
        self.append(connection)

    def keep(self, connection: Connection, now: datetime, uid: int, writes: Iterable[Write]) -> None:
        """Store the lines of a transaction inside it."""
        for write in writes:
            line = orjson.dumps(
                {
                    "server": "sandbox",
                    "time": now.isoformat(timespec="microseconds") + "Z",
                    "uid": uid,
                    "model": write.model,
                    "method": write.method,
                    "ids": write.ids,
                    "values": write.values,
                }
            )
            connection.execute("INSERT INTO sandbox_journal (line) VALUES (?)", (line.decode(),))

    def append(self, connection: Connection) -> None:
        """Append to the file what has been committed since the last time."""
        rows = connection.execute(
            "SELECT seq, line FROM sandbox_journal WHERE seq > ? ORDER BY seq", (self._last,)
        ).fetchall()
        if not rows:
            return
        with self._path.open("ab") as file:
            file.write(b"".join(b'{"seq":%d,%s\n' % (seq, line.encode()[1:]) for seq, line in rows))
        self._last = rows[-1][0]

    def _repair(self) -> int:
        """Cut off a half-written last line; return the number of the last whole one."""
        content = self._path.read_bytes() if self._path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) != len(content):
            os.truncate(self._path, len(whole))
        lines = whole.splitlines()
        return int(orjson.loads(lines[-1])["seq"]) if lines else 0
