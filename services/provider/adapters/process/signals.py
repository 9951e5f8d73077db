"""Signals to processes that are certainly the right ones."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from services.provider.adapters.process.procfs import GONE, Identity, holds_lock, is_alive, lock_holders

PROCESS_GROUP = 1 << 2
"""PIDFD_SIGNAL_PROCESS_GROUP of Linux 6.9: to the group of the process that the descriptor stands for."""


def send(identity: Identity, pidfd: int, number: int) -> bool:
    """Sends a signal to a process; returns False if it has ended.

    The descriptor stands for one process for ever, and the start time is compared once more: a pid that is used again
    by another process is never hit.
    """
    if not is_alive(identity):
        return False
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True


def kill_group(identity: Identity, pidfd: int, *, pinned: bool) -> None:
    """Kills a process and all others of its group.

    Args:
        identity: The process that leads the group.
        pidfd: Its descriptor.
        pinned: Whether its pid certainly still belongs to it, because it is our child and was not waited for.
    """
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL, None, PROCESS_GROUP)
    except ProcessLookupError:
        return
    except OSError:  # an older kernel
        if pinned or is_alive(identity):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(identity.pid, signal.SIGKILL)


def kill_holders(path: str) -> None:
    """Kills what a machine has left behind: the processes that still hold its lock.

    Raises:
        OSError: If they cannot be seen.
    """
    for pid in lock_holders(path):
        try:
            pidfd = os.pidfd_open(pid)
        except GONE:
            continue
        try:
            if holds_lock(pid, path):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        finally:
            os.close(pidfd)
