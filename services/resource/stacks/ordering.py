"""In which order members are made: each after those that it needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter

from sutler.errors import Invalid, Violation


def ordered(needs: Mapping[str, Collection[str]]) -> list[str]:
    """Returns what can be done first, then what needs only that, and so on; otherwise in the order given.

    Args:
        needs: By id, the ids of those that come before.

    Raises:
        Invalid: If they form a cycle, which is told (REFERENCE_CYCLE).
    """
    places = {id: place for place, id in enumerate(needs)}
    sorter = TopologicalSorter(needs)
    try:
        sorter.prepare()
    except CycleError as error:
        raise _cycle(list(error.args[1])) from error
    found: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=places.__getitem__)
        found += ready
        sorter.done(*ready)
    return found


def _cycle(cycle: list[str]) -> Invalid:
    path = ", ".join(reversed(cycle))  # graphlib tells it from what is needed to what needs it
    message = f"members refer to each other in a cycle: {path}"
    return Invalid(
        message,
        reason="REFERENCE_CYCLE",
        metadata={"cycle": path[:2000]},
        violations=[Violation("stack.members", message[:300], "REFERENCE_CYCLE")],
    )
