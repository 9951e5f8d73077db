"""Folders that are still there after a power failure."""

from __future__ import annotations

import os
from pathlib import Path


def make(folder: Path, mode: int = 0o777) -> None:
    """Makes a folder and those above it that are missing; each is on disk when this returns.

    Args:
        folder: What to make; one that is there stays as it is.
        mode: Its rights, and those of the others that are made, before the umask.

    Raises:
        OSError: If one cannot be made.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=mode, exist_ok=True)
        sync(each.parent)


def sync(folder: Path) -> None:
    """Puts on disk which files a folder holds (fsync).

    Raises:
        OSError: If that fails.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
