"""Names processes so that others of the same machine can see whether they still run."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

from sutler.ids import new_id


def new_holder() -> str:
    """Returns a name for this process, another one at each call: ``<machine>/<pid>-<start>/<id>``."""
    return f"{_machine()}/{os.getpid()}-{_started(os.getpid())}/{new_id()}"


def is_dead(holder: str) -> bool:
    """Returns whether a holder is a process of this machine that has certainly ended.

    Of other machines nothing is known: what their processes hold runs out.
    """
    place, _, process = holder.partition("/")
    pid, _, start = process.partition("/")[0].partition("-")
    if not start or place != _machine():
        return False
    try:
        return _started(int(pid)) != start
    except OSError:  # such as no file descriptor left
        return False


@cache
def _machine() -> str:
    """Returns what tells the process ids of this machine, or container, from those of all others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # no Linux: then leases run out
        return f"{socket.gethostname()}:{new_id()}"
    return f"{boot}:{space}"


def _started(pid: int) -> str:
    """Returns when a process started, in ticks since the machine did; empty if it does not run.

    A pid may be used again, but not with the same start (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html).

    Raises:
        OSError: If that cannot be seen now.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]
