"""Which files are old, and which were left behind."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

ABANDONED_SECONDS = 60.0
"""How long nobody has written to a file that may be taken for abandoned, besides that nobody has locked it."""


def folders_in(folder: Path) -> list[str]:
    """Returns the names of the folders in a folder."""
    with os.scandir(folder) as found:
        return [item.name for item in found if item.is_dir(follow_symlinks=False)]


def old_files(folder: Path, seconds: float) -> list[str]:
    """Returns the names of files in a folder that were finished, or written to, longer ago than this."""
    before, names = time.time() - seconds, []
    with os.scandir(folder) as found:
        for item in found:
            with suppress(FileNotFoundError):
                if not item.is_dir(follow_symlinks=False) and item.stat(follow_symlinks=False).st_mtime < before:
                    names.append(item.name)
    return names


def remove_abandoned(folder: Path) -> None:
    """Removes old files that nobody has locked: the kernel frees the lock of a process that dies."""
    for name in old_files(folder, ABANDONED_SECONDS):
        with suppress(FileNotFoundError, BlockingIOError):
            file = os.open(folder / name, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (folder / name).unlink()
            finally:
                os.close(file)
