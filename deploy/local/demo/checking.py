"""Checks at the end that what is shown is true: processes that run, one report for each order."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

from deploy.local.demo.following import LOOK_SECONDS, Progress


def dead(progress: Progress) -> list[str]:
    """Returns the machines of an order whose process does not run on this host."""
    return [name for name, pid in progress.machines.items() if not _runs(pid)]


async def left_running(
    progress: Progress, known: Callable[[Sequence[str]], Awaitable[list[str]]], seconds: float
) -> list[str]:
    """Waits until the machines of an order have ended, for ProviderService and as processes.

    A machine that is no longer running for ProviderService may have a process that is just ending.

    Args:
        progress: The order.
        known: Returns those of the machines named that run for ProviderService.
        seconds: How long to wait.

    Returns:
        The machines that run all the same.
    """
    ends = time.monotonic() + seconds
    while True:
        gone = dead(progress)
        left = await known(list(progress.machines)) or [name for name in progress.machines if name not in gone]
        if not left or time.monotonic() > ends:
            return left
        await asyncio.sleep(LOOK_SECONDS)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def double_reports(log: Path, orders: Sequence[Progress]) -> list[str]:
    """Returns the names of orders into whose note two different texts were written, by the ERP's own log."""
    wanted = {progress.order.id: progress.order.name for progress in orders}
    texts: dict[int, set[str]] = defaultdict(set)
    for line in _lines(log):
        if line.get("model") == "sale.order" and "note" in (line.get("values") or {}):
            for record in line["ids"]:
                texts[record].add(line["values"]["note"])
    return [name for record, name in wanted.items() if len(texts[record]) > 1]


def _lines(log: Path) -> Iterable[dict]:  # type: ignore[type-arg]
    """Returns the whole lines: only the last may be none, because the sandbox repairs its log when it starts again."""
    with log.open() as file:
        return [json.loads(line) for line in file if line.endswith("\n")]
