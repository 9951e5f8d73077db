"""Which starts of machines may still be under way at a provider although nobody waits for their answer."""

from __future__ import annotations

import time

from services.provider.machines import Machine


class Flights:
    """Knows until when a machine may still come of which nothing is known.

    After the deadline of its call a plug-in starts nothing more.

    Args:
        seconds: How long a start may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[str, float] = {}
        self._since, self._since_time = time.monotonic(), time.time()

    def begin(self, machine: Machine) -> None:
        """Notes that a start begins now."""
        self._until[machine.uid] = time.monotonic() + self._seconds

    def landed(self, machine: Machine) -> None:
        """Notes that the answer to a start is there."""
        self._until.pop(machine.uid, None)

    def may_come(self, machine: Machine) -> bool:
        """Returns whether a machine that is not there may still come."""
        until = self._until.get(machine.uid)
        if until is None and machine.launch_time is not None and machine.launch_time <= self._since_time:
            until = self._since + self._seconds  # an earlier process may have begun it
        if until is None or time.monotonic() >= until:
            self._until.pop(machine.uid, None)
            return False
        return True
