"""Becomes a machine: takes its lock, writes down who it is, and replaces itself with the machine's program.

It runs as a program of its own, in a session of its own, and is told what to do by one marshalled document on standard
input. A document that ends early means that the service died: nothing is started. Because the lock is taken before the
program runs and is kept by it, a launch happens once, whoever dies when: a second launcher finds the lock taken, or
reads in the file that this launch has been made, or was called off. The program inherits the lock under a descriptor
that cannot write: what the file says of the launch is not the program's to change.

It answers ``result errno field`` on standard output only if the program did not start; the end of its output without
an answer means that the program runs.

It imports next to nothing: ``json``, ``signal`` and ``typing`` would more than double the time that a start takes.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import fcntl
import marshal
import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

FIRST_DESCRIPTOR = 200
"""The lock is kept under a number that shells and daemons do not use for themselves."""

RECORD_BYTES = 512
"""How many bytes at the beginning of a lock file say what was launched."""


def main() -> None:
    """Launches what standard input says."""
    answer = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR)
    document = b"".join(iter(lambda: os.read(0, 65536), b""))
    try:
        order = marshal.loads(document)
    except (EOFError, ValueError, TypeError):
        return
    try:
        lock, record = take_lock(order["lock"], answer)
        launch(order, lock, record, answer)
    except OSError as error:
        refuse(answer, "failed", error.errno or 0)


def take_lock(path: str, answer: int) -> tuple[int, int]:
    """Takes the lock; ends the process if it cannot be had.

    Returns:
        The descriptor of the lock, which the program will inherit, and one to write the record with, which it will not.
    """
    lock = high(os.open(path, os.O_RDONLY | os.O_CLOEXEC), fcntl.F_DUPFD)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        refuse(answer, "busy")
    record = high(os.open(path, os.O_RDWR | os.O_CLOEXEC), fcntl.F_DUPFD_CLOEXEC)
    if not os.path.samestat(os.fstat(lock), os.fstat(record)):
        refuse(answer, "over")
    return lock, record


def high(opened: int, duplicate: int) -> int:
    """Moves a descriptor to a number that is not used otherwise."""
    moved = fcntl.fcntl(opened, duplicate, FIRST_DESCRIPTOR)
    os.close(opened)
    return moved


def launch(order: dict[str, Any], lock: int, file: int, answer: int) -> None:
    """Writes down who this is, and becomes the program."""
    try:
        record = read_record(file)
        last = max(int(record.get("launch", 0)), int(record.get("closed", 0)))
    except ValueError:
        refuse(answer, "over")
    if last >= order["launch"]:
        refuse(answer, "over")
    record = {
        "launch": order["launch"],
        "pid": os.getpid(),
        "start": start_ticks(),
        "boot": boot_id(),
        "closed": record.get("closed", "0"),
    }
    write_record(file, record)
    field = "process.working_directory"
    try:
        os.chdir(order["folder"])
        field = ""
        prepare(order, (lock, file, answer))
        field = "process.command"
        os.execvpe(order["program"], order["command"], order["environment"])
    except (OSError, ValueError) as error:
        number = error.errno or 0 if isinstance(error, OSError) else errno.EINVAL
        write_record(file, {**record, "error": number, "field": field})
        refuse(answer, "failed", number, field)


def prepare(order: dict[str, Any], kept: tuple[int, ...]) -> None:
    """Gives the process its standard streams and limits, and nothing else of the service's."""
    append = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    for number, path, flags in (
        (0, "/dev/null", os.O_RDONLY),
        (1, order["stdout"], append),
        (2, order["stderr"], append),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    low = 3
    for descriptor in (*sorted(kept), 1 << 20):
        os.closerange(low, descriptor)
        low = descriptor + 1
    for name, bounds in order["limits"].items():
        resource.setrlimit(getattr(resource, name), tuple(bounds))
    for ignored in (_signal.SIGPIPE, _signal.SIGXFSZ):  # by Python
        _signal.signal(ignored, _signal.SIG_DFL)


def start_ticks() -> int:
    """Returns when this process started, in clock ticks since the system did: a pid and this are never used twice."""
    return int(read("/proc/self/stat").rpartition(b")")[2].split()[19])


def boot_id() -> str:
    """Returns which start of the system this is."""
    return read("/proc/sys/kernel/random/boot_id").decode().strip()


def read(path: str) -> bytes:
    """Returns a small file."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(opened, 4096)
    finally:
        os.close(opened)


def read_record(file: int) -> dict[str, Any]:
    """Returns what a lock file says was launched: ``key=value`` pairs.

    Raises:
        ValueError: If it says something else.
    """
    text = os.pread(file, RECORD_BYTES, 0).decode("ascii").strip(" \0\n")
    return dict(pair.split("=", 1) for pair in text.split(" ") if pair)


def write_record(file: int, record: dict[str, Any]) -> None:
    """Writes what was launched with one call, so that a kill leaves the old or the new."""
    text = " ".join(f"{key}={value}" for key, value in record.items())
    os.pwrite(file, text.encode("ascii").ljust(RECORD_BYTES - 1) + b"\n", 0)


def refuse(answer: int, result: str, number: int = 0, field: str = "") -> NoReturn:
    """Answers that the program did not start, and ends."""
    try:
        os.write(answer, f"{result} {number} {field}".encode())
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
