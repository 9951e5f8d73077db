"""The folder of all machines of a place: where their locks and outputs are, and who looks after it."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
from sutler.errors import FailedPrecondition, Unavailable

from services.provider.adapters.process.locks import SUFFIX, LockFile, try_lock

log = structlog.get_logger("sutler.provider")

OWNER_FILE = "owner"
POLL_SECONDS = 0.2


class Folder:
    """The files of the machines of one place.

    Args:
        path: The folder; it is made if it is not there.
        host: The name of this host; it must stay the same for the life of the machines.
    """

    def __init__(self, path: Path, host: str = "") -> None:
        self.path = path.absolute()
        self.host = host or socket.gethostname()
        self.place = f"{self.host}:{self.path}"

    def make(self) -> None:
        """Makes the folder, for this user only: outputs may hold secrets.

        Raises:
            FailedPrecondition: If it cannot be made or written.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path / OWNER_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise FailedPrecondition(
                f"the folder of machines {self.path} cannot be written ({error.strerror}): give this user the right, "
                "or set SUTLER_PROVIDER_MACHINES",
                metadata={"path": str(self.path)},
            ) from error

    @asynccontextmanager
    async def owned(self) -> AsyncIterator[None]:
        """Waits until this process alone looks after the folder; the kernel ends that when the process dies."""
        owner = os.open(self.path / OWNER_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        told = False
        try:
            while not try_lock(owner):
                if not told:
                    log.info("another process looks after the machines; waiting", folder=str(self.path))
                    told = True
                await asyncio.sleep(POLL_SECONDS)
            yield
        finally:
            os.close(owner)

    def lock(self, machine: str) -> LockFile:
        """Returns the lock file of a machine by its id."""
        return LockFile(self.path, machine)

    def own(self, machine: str) -> Path:
        """Returns the folder that a machine has for itself."""
        return self.path / machine

    def output(self, machine: str, stream: str) -> Path:
        """Returns the file of an output, ``stdout`` or ``stderr``."""
        return self.own(machine) / stream

    def work(self, machine: str) -> Path:
        """Returns the folder where a machine runs that names none."""
        return self.own(machine) / "work"

    def machines(self) -> list[str]:
        """Returns the ids of all machines that have a lock file, in order."""
        return sorted(entry.removesuffix(SUFFIX) for entry in os.listdir(self.path) if entry.endswith(SUFFIX))

    def remove(self, machine: str) -> None:
        """Removes all files of a machine that has ended."""
        shutil.rmtree(self.own(machine), ignore_errors=True)
        self.lock(machine).remove()


@contextmanager
def answering(folder: Folder) -> Iterator[None]:
    """Turns a failure of the host into an error that says to try again: what could not be seen is not known.

    Raises:
        Unavailable: If the host has no files, memory or room left, or cannot read the folder.
    """
    try:
        yield
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "EIO")
        raise Unavailable(
            f"the host of the machines fails ({code}): look after its disk, memory and open files",
            metadata={"dependency": folder.host, "code": code},
        ) from error
