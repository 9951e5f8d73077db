"""Looks whether machines can be started in a folder of this host."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from pathlib import Path

from services.provider.adapters.process import outputs
from services.provider.adapters.process.folder import Folder
from services.provider.providers import ProviderState

Problem = tuple[ProviderState, str, str]
"""The state that follows, a code, and what is wrong for people."""

PROBE_BYTES = 64 * 1024


def folder_problem(folder: Folder) -> Problem | None:
    """Returns what is wrong with a folder, or with this host; None if nothing is."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return ProviderState.UNHEALTHY, "PIDFD", "this host has no process descriptors (Linux 5.3)"
    if not os.access(sys.executable, os.X_OK):
        return ProviderState.UNHEALTHY, "LAUNCHER", "the interpreter of the launcher cannot be executed"
    try:
        with tempfile.NamedTemporaryFile(dir=folder.path, prefix=".check-") as probe:
            probe.write(b"x" * PROBE_BYTES)
            probe.flush()
            return _without_holes(Path(probe.name))
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "EIO")
        return ProviderState.UNHEALTHY, code, f"the folder of machines cannot be written ({code})"


def _without_holes(path: Path) -> Problem | None:
    try:
        outputs.discard(path, PROBE_BYTES // 2)
    except OSError:
        text = "the file system of the folder of machines cannot discard old output; use a local one"
        return ProviderState.DEGRADED, "EOPNOTSUPP", text
    return None
