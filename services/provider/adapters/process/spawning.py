"""Starts launchers. Blocks: to be called in a thread."""

from __future__ import annotations

import marshal
import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

LAUNCHER = str(Path(__file__).with_name("launcher.py"))
INTERPRETER = [sys.executable, "-I", "-S", LAUNCHER]


@dataclass(frozen=True, slots=True)
class Answer:
    """Why a launcher started no program.

    Attributes:
        result: ``busy`` if the lock is held, ``over`` if this launch was made or called off already, ``failed`` if the
            program could not be started, ``late`` if it took too long, ``broken`` if the launcher itself failed.
        errno: Why it failed.
        field: What of the template it is about; what the launcher said if it is broken.
    """

    result: str
    errno: int = 0
    field: str = ""


@dataclass(frozen=True, slots=True)
class Spawned:
    """What became of a launcher.

    Attributes:
        pid: Its pid, and that of the machine that it became.
        pidfd: A descriptor of it.
        answer: Why no program started; None if one did.
    """

    pid: int
    pidfd: int
    answer: Answer | None


def spawn(order: Mapping[str, Any], timeout: float) -> Spawned:
    """Starts a launcher in a session of its own and waits until it has become the machine, or says why not.

    Args:
        order: What :mod:`services.provider.adapters.process.launcher` is told.
        timeout: Seconds after which a launcher that has done neither is killed.

    Raises:
        OSError: If no launcher can be started.
    """
    told_out, told_in = _pipe()
    said_out, said_in = _pipe()
    with told_in, said_out:
        with told_out, said_in:
            # Straight to exec, without Python code in between: the service has threads.
            pid = os.posix_spawn(
                INTERPRETER[0],
                INTERPRETER,
                {},
                file_actions=[(os.POSIX_SPAWN_DUP2, told_out.fileno(), 0), *_both(said_in.fileno())],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM],
            )
        pidfd = os.pidfd_open(pid)  # nobody else waits for our children, so the pid is still this one's
        return Spawned(pid, pidfd, _talk(told_in, said_out, pidfd, marshal.dumps(dict(order)), timeout))


def _pipe() -> tuple[FileIO, FileIO]:
    read, write = os.pipe2(os.O_CLOEXEC)
    return FileIO(read, "rb"), FileIO(write, "wb")


def _both(descriptor: int) -> list[tuple[int, int, int]]:
    return [(os.POSIX_SPAWN_DUP2, descriptor, 1), (os.POSIX_SPAWN_DUP2, descriptor, 2)]


def _talk(told: FileIO, said: FileIO, pidfd: int, document: bytes, timeout: float) -> Answer | None:
    """Tells a launcher what to do and returns what it answers; None if it has become the program."""
    ends = time.monotonic() + timeout
    os.set_blocking(told.fileno(), False)
    waiting = select.poll()
    waiting.register(said, select.POLLIN)
    waiting.register(told, select.POLLOUT)
    answer = b""
    while True:
        ready = {number for number, _ in waiting.poll(max(0.0, ends - time.monotonic()) * 1000)}
        if not ready:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            return Answer("late")
        if not told.closed and told.fileno() in ready:
            document = _tell(told, document)
            if not document:
                waiting.unregister(told)
                told.close()
        if said.fileno() in ready:
            piece = os.read(said.fileno(), 65536)
            if not piece:
                return _understood(answer)
            answer += piece


def _tell(told: FileIO, document: bytes) -> bytes:
    """Writes what goes into the pipe and returns the rest; nothing is left for a launcher that reads no more."""
    try:
        return document[os.write(told.fileno(), document) :]
    except BrokenPipeError:
        return b""


def _understood(answer: bytes) -> Answer | None:
    if not answer:
        return None
    result, number, field = [*answer.decode(errors="replace").split(" ", 2), "", ""][:3]
    if result not in ("busy", "over", "failed") or not number.isdigit():
        return Answer("broken", 0, answer.decode(errors="replace"))
    return Answer(result, int(number), field)
