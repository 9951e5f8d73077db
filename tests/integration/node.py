"""The packages of the examples in Node."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from sutler.testing import missing

BUILT = Path(__file__).resolve().parents[2] / ".build/node"


def node_modules(example: Path) -> Path:
    """Returns the folder of the packages of an example's lock file, installed once for each state of it."""
    if not (shutil.which("node") and shutil.which("npm")):
        missing("node and npm are needed for the examples in Node")
    lock = (example / "package-lock.json").read_bytes()
    folder = BUILT / hashlib.sha256(lock).hexdigest()[:16]
    if not folder.exists():
        making = folder.with_name(f"{folder.name}.{os.getpid()}")
        making.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(example / name, making)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=making, capture_output=True, text=True, check=False, timeout=150)
        assert done.returncode == 0, done.stderr
        making.rename(folder)
    return folder / "node_modules"
