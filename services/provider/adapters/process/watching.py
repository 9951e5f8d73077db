"""Watches processes through their descriptors, and tells how they ended, also those that an earlier service started."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from services.provider.adapters.process.procfs import Identity, open_pidfd
from services.provider.adapters.process.signals import kill_group, send


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended.

    Attributes:
        exit_code: What it exited with, 128 and the signal if one killed it; None if that was not to be seen.
        reason: The same for people.
    """

    exit_code: int | None
    reason: str


UNSEEN = Ended(None, "it ended while nobody watched, so its exit code is unknown")


@dataclass(slots=True)
class _Watched:
    identity: Identity
    pidfd: int


class Watcher:
    """Knows processes by a key, and notices at once when one ends.

    Belongs to one event loop.

    Args:
        on_end: Called when a process has ended and all of its group with it.
    """

    def __init__(self, on_end: Callable[[str, Ended], None]) -> None:
        self._on_end = on_end
        self._watched: dict[str, _Watched] = {}

    def adopt(self, key: str, identity: Identity) -> bool:
        """Begins to watch a process; returns False if it does not run."""
        known = self._watched.get(key)
        if known is not None and known.identity == identity:
            return self.check(key) is None
        pidfd = open_pidfd(identity)
        if pidfd is None:
            return False
        self.watch(key, identity, pidfd)
        return True

    def watch(self, key: str, identity: Identity, pidfd: int) -> None:
        """Watches the process of a descriptor, which it owns from now on."""
        self._drop(key)
        self._watched[key] = _Watched(identity, pidfd)
        asyncio.get_running_loop().add_reader(pidfd, self.check, key)

    def check(self, key: str) -> Ended | None:
        """Returns how a watched process has ended, which is told to ``on_end`` too; None while it runs."""
        watched = self._watched.get(key)
        if watched is None or not has_ended(watched.pidfd):
            return None
        kill_group(watched.identity, watched.pidfd, pinned=is_child(watched.pidfd))
        ended = collect(watched.pidfd)
        self._drop(key)
        self._on_end(key, ended)
        return ended

    def send(self, key: str, number: int) -> bool:
        """Sends a signal to a watched process; returns False if it does not run."""
        watched = self._watched.get(key)
        return watched is not None and send(watched.identity, watched.pidfd, number)

    def kill(self, key: str) -> None:
        """Kills a watched process and its group."""
        watched = self._watched.get(key)
        if watched is not None:
            kill_group(watched.identity, watched.pidfd, pinned=False)

    def close(self) -> None:
        """Watches nothing any more; what runs goes on."""
        for key in list(self._watched):
            self._drop(key)

    def _drop(self, key: str) -> None:
        watched = self._watched.pop(key, None)
        if watched is not None:
            with suppress(RuntimeError):  # the loop is closed
                asyncio.get_running_loop().remove_reader(watched.pidfd)
            os.close(watched.pidfd)


def has_ended(pidfd: int) -> bool:
    """Returns whether the process of a descriptor has ended, with all of its threads."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def is_child(pidfd: int) -> bool:
    """Returns whether the process of a descriptor is ours and was not waited for."""
    try:
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def collect(pidfd: int) -> Ended:
    """Returns how a process ended; only its parent can see that."""
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return UNSEEN
    if result is None:
        return UNSEEN
    if result.si_code == os.CLD_EXITED:
        return Ended(result.si_status, f"it exited with {result.si_status}")
    return Ended(128 + result.si_status, f"it was ended by {_signal_name(result.si_status)}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
