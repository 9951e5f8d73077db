"""Checks at the end that what is shown is true: processes that run, one report for each order."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from deploy.local.demo.following import Progress


def dead(progress: Progress) -> list[str]:
    """Returns the machines of an order whose process does not run on this host."""
    return [name for name, pid in progress.machines.items() if not _runs(pid)]


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
