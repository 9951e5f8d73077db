"""Finds the machines of a folder that run, by what their lock files say of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

from services.provider.adapters.process.folder import Folder
from services.provider.adapters.process.procfs import Identity, holds_lock, is_alive
from services.provider.adapters.process.sightings import attributes_of
from services.provider.adapters.process.spec import REGION
from services.provider.machines import COLLECTION
from services.provider.providers import Provider
from services.provider.reconcile.findings import Found

MAX_NAME = 79
"""The longest name that there is: what is longer was not written by us."""

_TICKS = os.sysconf("SC_CLK_TCK")


def running(folder: Folder, provider: Provider, machines: Sequence[str]) -> list[Found]:
    """Returns those of some machines that run and are a provider's.

    Args:
        folder: The folder.
        provider: The provider.
        machines: The ids of the machines.

    Raises:
        OSError: If they cannot be seen.
    """
    return list(_running(folder, provider, machines, boot_time()))


def _running(folder: Folder, provider: Provider, machines: Sequence[str], boot: float) -> Iterator[Found]:
    real = os.path.realpath(folder.path)
    for machine in machines:
        lock = folder.lock(machine)
        told = lock.peek()
        if told is None:
            continue
        about, state = told
        name = f"{COLLECTION}/{machine}"
        if (about.get("tenant"), about.get("provider"), about.get("machine")) != (provider.tenant, provider.name, name):
            continue
        identity = state.identity
        if identity is None:
            guessed = None if state.readable else lock.read()
            if guessed is not None and guessed.held:
                yield Found(machine=name, certain=False, launch=0, region=REGION)
            continue
        if not state.error and is_alive(identity):
            yield Found(
                machine=name,
                machine_request=about.get("request", "")[:MAX_NAME],
                template=about.get("template", "")[:MAX_NAME],
                launch=state.launch,
                certain=_holds(identity, os.path.join(real, lock.path.name)),
                native_id=str(identity.pid),
                region=REGION,
                attributes=attributes_of(identity, folder.host),
                start_time=boot + identity.start / _TICKS,
            )


def _holds(identity: Identity, path: str) -> bool:
    """Returns whether a process has the lock: anybody of its user can write its pid into a file, not lock it for it."""
    return holds_lock(identity.pid, path)


def boot_time() -> float:
    """Returns when the host was started, seconds since 1970."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
