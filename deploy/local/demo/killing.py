"""Kills a random part of the stack every second, with SIGKILL."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter

from deploy.local.layout import Layout
from deploy.local.manager import program_pids


class Killer:
    """Kills the services, Envoy and the sandbox at random; the process manager starts them again.

    Args:
        layout: The stack.
        seed: Makes the same choices again.
        most: How many to kill; 0 is no end.
    """

    def __init__(self, layout: Layout, seed: int, most: int) -> None:
        self._layout = layout
        self._most = most
        self._random = random.Random(seed)
        self.killed: Counter[str] = Counter()

    async def run(self) -> None:
        """Kills one process a second, ``most`` in all or until cancelled."""
        while not self._most or self.killed.total() < self._most:
            pids = program_pids(self._layout)
            if pids:
                name = self._random.choice(sorted(pids))
                try:
                    os.kill(pids[name], signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.killed[name] += 1
            await asyncio.sleep(1.0)
