"""The lock file of a machine: held by its process while it lives, and the memory of what was launched."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from services.provider.adapters.process.launcher import RECORD_BYTES, read_record, write_record
from services.provider.adapters.process.procfs import Identity

SUFFIX = ".lock"

ABOUT_BYTES = 8192
MAX_PID = 1 << 22
MAX_ERRNO = 4095
MAX_EXIT_CODE = 255
MAX_NUMBER = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class LockState:
    """What the lock file of a machine tells.

    Attributes:
        held: Whether a process has the lock: the machine, a launcher that is becoming it, or what it left behind.
        launch: The number of the last launch that was made; 0 if none was.
        closed: Launches up to this number are called off.
        identity: Who that launch became; None if none was made.
        error: Why its program did not start: an errno; 0 if it started.
        field: What of the template it was about.
        exit_code: What it exited with, where that was seen; None where it was not.
        readable: Whether the file tells what was launched. A machine is of the same user, so it could have written
            anything; all but ``held`` is unset then.
    """

    held: bool
    launch: int = 0
    closed: int = 0
    identity: Identity | None = None
    error: int = 0
    field: str = ""
    exit_code: int | None = None
    readable: bool = True


class LockFile:
    """The lock file of one machine.

    Args:
        folder: The folder of all machines.
        machine: The id of the machine.
    """

    def __init__(self, folder: Path, machine: str) -> None:
        self.path = folder / f"{machine}{SUFFIX}"

    def make(self, about: dict[str, str]) -> None:
        """Makes the file if there is none; a launcher does not, so that what was removed stays away.

        Args:
            about: Whose machine it is, for people who find the file.
        """
        try:
            lock = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return
        try:
            os.pwrite(lock, orjson.dumps(about), RECORD_BYTES)
            write_record(lock, {"launch": 0})
        finally:
            os.close(lock)

    def read(self) -> LockState | None:
        """Returns what it tells; None if there is no file."""
        try:
            lock = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            # Held first: a launcher writes who it is while it has the lock, so free means that the content is final.
            held = not try_lock(lock)
            record = _record(lock)
            return LockState(held, readable=False) if record is None else _state(held, record)
        finally:
            os.close(lock)

    def peek(self) -> tuple[Mapping[str, str], LockState] | None:
        """Returns whose machine it is and what was launched, without trying the lock; None if there is no file.

        Whose it is may be empty, and whether the lock is held is not looked at.
        """
        try:
            lock = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            record = _record(lock)
            state = LockState(False, readable=False) if record is None else _state(False, record)
            return _about(os.pread(lock, ABOUT_BYTES, RECORD_BYTES)), state
        finally:
            os.close(lock)

    def note_exit(self, launch: int, code: int) -> None:
        """Writes down what a launch exited with, unless the record cannot be read; nobody else writes by now."""
        try:
            lock = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            record = _record(lock)
            if record is not None and int(record.get("launch", 0)) == launch:
                write_record(lock, {**record, "exit": code})
        finally:
            os.close(lock)

    def close(self, launch: int) -> bool:
        """Calls launches up to a number off; returns False, and changes nothing, if the lock is held.

        A record that cannot be read is replaced.
        """
        try:
            with self._taken() as lock:
                record = _record(lock) or {}
                if int(record.get("closed", 0)) < launch:
                    write_record(lock, {**record, "closed": launch})
        except BlockingIOError:
            return False
        except FileNotFoundError:
            pass  # without the file no launcher can start anything
        return True

    def remove(self) -> None:
        """Removes the file, if nobody holds it."""
        try:
            with self._taken():
                self.path.unlink(missing_ok=True)
        except (FileNotFoundError, BlockingIOError):
            return

    @contextmanager
    def _taken(self) -> Iterator[int]:
        lock = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if not try_lock(lock):
                raise BlockingIOError(errno.EAGAIN, "the lock is held")
            yield lock
        finally:
            os.close(lock)


def try_lock(descriptor: int) -> bool:
    """Takes the lock of an open file; returns False if somebody else holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _record(lock: int) -> dict[str, Any] | None:
    """Returns the record; None if it cannot be read."""
    try:
        record = read_record(lock)
        _state(False, record)
    except (ValueError, KeyError):
        return None
    return record


def _about(text: bytes) -> dict[str, str]:
    """Returns whose machine it is; empty if that cannot be read."""
    try:
        about = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    texts = isinstance(about, dict) and all(isinstance(value, str) for value in about.values())
    return about if texts else {}


def _state(held: bool, record: dict[str, Any]) -> LockState:
    launch = _number(record, "launch")
    identity = None
    if launch:
        identity = Identity(_number(record, "pid", MAX_PID), _number(record, "start"), record["boot"])
    return LockState(
        held=held,
        launch=launch,
        closed=_number(record, "closed"),
        identity=identity,
        error=_number(record, "error", MAX_ERRNO),
        field=record.get("field", ""),
        exit_code=_number(record, "exit", MAX_EXIT_CODE) if "exit" in record else None,
    )


def _number(record: dict[str, Any], key: str, most: int = MAX_NUMBER) -> int:
    number = int(record.get(key, 0))
    if not 0 <= number <= most:
        raise ValueError(f"{key} is out of range")
    return number
