"""Disks that take no more."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sutler.testing import ServiceProcess, missing

BYTES = 2 * 1024 * 1024
BLOCK = bytes(4096)


@contextmanager
def writes_fail(process: ServiceProcess) -> Iterator[None]:
    """Makes every write of a running process to any file fail, that of its log too; works without root."""
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fills a small file system up."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(BLOCK)
    try:
        yield
    finally:
        ballast.unlink()


def superuser(*command: str) -> bool:
    """Runs a command as root, if this user may; returns whether it succeeded."""
    words = command if os.geteuid() == 0 else ("sudo", "-n", *command)
    return shutil.which(words[0]) is not None and not subprocess.run(words, capture_output=True, check=False).returncode


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Makes a file system of 2 MiB; without the right to mount one: see :func:`sutler.testing.missing`."""
    folder.mkdir()
    if not superuser("mount", "-t", "tmpfs", "-o", f"size={BYTES},mode=1777", "tmpfs", str(folder)):
        missing("this user may not mount file systems")
    try:
        yield folder
    finally:
        if not superuser("umount", str(folder)):
            superuser("umount", "--lazy", str(folder))
            pytest.fail("a file of the disk is still open")
