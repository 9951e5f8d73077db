"""Who a process is, beyond its pid: what ``/proc`` tells of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

_STATE, _THREADS, _START = 0, 17, 19
"""Where proc(5) has them, counted from the state."""

DEAD = (b"Z", b"X", b"x")
"""The states of a process that runs no more; a zombie waits only for its parent."""

GONE = (FileNotFoundError, ProcessLookupError)
"""What says that a process is not there. Any other error says that it could not be seen, which is not the same."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A process for sure: a pid may be used again, but not with the same start time in the same boot.

    Attributes:
        pid: The process id.
        start: When it started, in clock ticks since the system did.
        boot: Which start of the system it was.
    """

    pid: int
    start: int
    boot: str


@cache
def boot_id() -> str:
    """Returns which start of the system this is."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def identify(pid: int) -> Identity | None:
    """Returns who the process with this pid is now; None if there is none.

    Raises:
        OSError: If that cannot be seen.
    """
    stat = _stat(pid)
    return None if stat is None else Identity(pid, int(stat[_START]), boot_id())


def is_alive(identity: Identity) -> bool:
    """Returns whether exactly this process runs; a zombie does not.

    Raises:
        OSError: If that cannot be seen.
    """
    if identity.boot != boot_id():
        return False
    stat = _stat(identity.pid)
    if stat is None or int(stat[_START]) != identity.start:
        return False
    # A process whose first thread has ended looks like a zombie while its other threads go on.
    return stat[_STATE] not in DEAD or int(stat[_THREADS]) > 1


def open_pidfd(identity: Identity) -> int | None:
    """Returns a descriptor that stands for exactly this process for ever; None if it does not run.

    Raises:
        OSError: If that cannot be seen.
    """
    try:
        pidfd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    except OSError:
        if is_alive(identity):
            raise
        return None  # such as EINVAL: the pid is that of another process's thread by now
    # Looked at after the descriptor was opened: had the pid been used again by then, the start time would differ.
    try:
        alive = is_alive(identity)
    except OSError:
        os.close(pidfd)
        raise
    if alive:
        return pidfd
    os.close(pidfd)
    return None


def lock_holders(path: str) -> list[int]:
    """Returns the pids of this user's other processes that hold a lock on a file.

    Raises:
        OSError: If that cannot be seen.
    """
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and holds_lock(pid, path)]


def holds_lock(pid: int, path: str) -> bool:
    """Returns whether a process of this user has a lock on a file, not only the file open.

    Raises:
        OSError: If that cannot be seen.
    """
    try:
        return any(_is_lock(pid, fd, path) for fd in os.listdir(f"/proc/{pid}/fd"))
    except (*GONE, PermissionError):  # it has ended, or is not of this user
        return False


def _is_lock(pid: int, fd: str, path: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}") == path and "FLOCK" in _read(f"/proc/{pid}/fdinfo/{fd}")
    except GONE:  # closed meanwhile
        return False


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def _stat(pid: int) -> list[bytes] | None:
    """Returns the fields of ``/proc/<pid>/stat`` from the state on: a name may hold blanks and parentheses."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except GONE:
        return None
