"""Ends every machine of a folder while no service runs.

``python -m services.provider.adapters.process.cleanup FOLDER``
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

from services.provider.adapters.process.folder import OWNER_FILE, Folder
from services.provider.adapters.process.procfs import Identity
from services.provider.adapters.process.signals import kill_holders
from services.provider.adapters.process.watching import Watcher

LOOK_SECONDS = 0.05


async def end_all(folder: Folder, seconds: float) -> int:
    """Ends the machines of a folder: with SIGTERM, then SIGKILL.

    Args:
        folder: The folder.
        seconds: How long they may take to end by themselves.

    Returns:
        How many machines lived.
    """
    watcher = Watcher(lambda key, ended: None)
    living: dict[str, Identity] = {}
    async with folder.owned():
        for machine in folder.machines():
            state = folder.lock(machine).read()
            if state is not None and state.identity is not None and watcher.adopt(machine, state.identity):
                living[machine] = state.identity
                watcher.send(machine, signal.SIGTERM)
        await _wait(watcher, living, time.monotonic() + seconds)
        for machine in folder.machines():
            watcher.kill(machine)
        await _wait(watcher, living, time.monotonic() + seconds)
        for machine in folder.machines():
            lock = folder.lock(machine)
            state = lock.read()
            if state is not None and state.held:
                kill_holders(str(lock.path))
    watcher.close()
    return len(living)


async def _wait(watcher: Watcher, living: dict[str, Identity], deadline: float) -> None:
    """Waits until none lives, or the time is up."""
    while time.monotonic() < deadline:
        if not any(watcher.adopt(machine, identity) for machine, identity in living.items()):
            return
        await asyncio.sleep(LOOK_SECONDS)


async def run(folder: Path, seconds: float, patience: float) -> int:
    """Ends the machines of a folder, and returns the exit code of the command."""
    if not (folder / OWNER_FILE).exists():
        print(f"{folder} holds no machines")
        return 0
    try:
        async with asyncio.timeout(patience):
            count = await end_all(Folder(folder), seconds)
    except TimeoutError:
        print(f"a service looks after {folder}; stop it first, or use ReturnMachines", file=sys.stderr)
        return 1
    print(f"{count} machines ended")
    return 0


def main() -> None:
    """Runs the command."""
    arguments = argparse.ArgumentParser(description="Ends every machine of a folder while no service runs.")
    arguments.add_argument("folder", type=Path, help="the folder of machines, such as .sutler/machines")
    arguments.add_argument("--grace", type=float, default=5.0, help="seconds from SIGTERM to SIGKILL")
    arguments.add_argument("--patience", type=float, default=60.0, help="seconds for the whole")
    given = arguments.parse_args()
    sys.exit(asyncio.run(run(given.folder, given.grace, given.patience)))


if __name__ == "__main__":
    main()
