"""Figures of one connection: how its calls went, what the caches had, what the feed found."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

STEP = 1.08
"""From one class of times to the next: its middle is within 4 % of any time in it."""

LEAST_SECONDS = 1e-5
MAX_GROUPS = 999
OTHERS = ("", "others")
"""The group of calls of models and methods beyond the first 999."""

Observe = Callable[[str, str, bool, float], None]
"""Told of each call to an ERP: model, method, whether it failed, seconds."""


@dataclass(slots=True)
class Timing:
    """How long calls took, in seconds."""

    count: int = 0
    failed: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = 0.0
    classes: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float, *, failed: bool) -> None:
        """Counts a call."""
        self.count += 1
        self.failed += failed
        self.total += seconds
        self.least = min(self.least, seconds)
        self.most = max(self.most, seconds)
        self.classes[round(math.log(max(seconds, LEAST_SECONDS) / LEAST_SECONDS, STEP))] += 1

    def merge(self, other: Timing) -> None:
        """Adds the calls of another."""
        self.count += other.count
        self.failed += other.failed
        self.total += other.total
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)
        self.classes += other.classes

    def below(self, share: float) -> float:
        """Returns the time that this share of the calls stays below, within 4 %."""
        wanted, seen = share * self.count, 0
        for one in sorted(self.classes):
            seen += self.classes[one]
            if seen >= wanted:
                return min(max(LEAST_SECONDS * STEP**one, self.least), self.most)
        return 0.0

    def plain(self) -> list[Any]:
        """Returns it as JSON data."""
        return [self.count, self.failed, self.total, self.least, self.most, list(self.classes.items())]

    @classmethod
    def of(cls, plain: Iterable[Any]) -> Timing:
        """Returns what :meth:`plain` made."""
        count, failed, total, least, most, classes = plain
        return cls(count, failed, total, least, most, Counter(dict(classes)))


@dataclass(slots=True)
class Figures:
    """What one process has counted of a connection.

    Attributes:
        start_time: Since when, in epoch seconds.
        calls: The calls to the ERP by model and method.
        counts: Everything else, under the names of the contract's ConnectionStats.
        now: What goes on at this moment, under the same kind of names.
        observe: Told of each call.
        looking: How many reads look into the caches now, and may want to join others after that.
    """

    start_time: float = field(default_factory=time.time)
    calls: dict[tuple[str, str], Timing] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    now: dict[str, Callable[[], int]] = field(default_factory=dict)
    observe: Observe | None = None
    looking: int = 0

    def add(self, name: str, number: int = 1) -> None:
        """Counts something."""
        self.counts[name] += number

    def called(self, model: str, method: str, seconds: float, *, failed: bool) -> None:
        """Counts a call that reached the ERP."""
        group = (model, method) if (model, method) in self.calls or len(self.calls) < MAX_GROUPS else OTHERS
        self.calls.setdefault(group, Timing()).add(seconds, failed=failed)
        if self.observe is not None:
            self.observe(*group, failed, seconds)

    def plain(self) -> dict[str, Any]:
        """Returns the figures as JSON data."""
        return {
            "start_time": self.start_time,
            "calls": [[*group, timing.plain()] for group, timing in self.calls.items()],
            "counts": {**self.counts, **{name: count() for name, count in self.now.items()}},
        }


def summed(figures: Iterable[Mapping[str, Any]], now: float) -> dict[str, Any]:
    """Returns the figures of several processes in one, with the names of the contract's ConnectionStats.

    Args:
        figures: What :meth:`Figures.plain` made in each.
        now: Epoch seconds.
    """
    calls: dict[tuple[str, str], Timing] = {}
    counts: Counter[str] = Counter()
    total, start = Timing(), now
    for one in figures:
        start = min(start, one["start_time"])
        counts.update(one["counts"])
        for model, method, plain in one["calls"]:
            timing = Timing.of(plain)
            calls.setdefault((model, method), Timing()).merge(timing)
            total.merge(timing)
    most_called = sorted(calls.items(), key=lambda group: -group[1].count)
    reads = counts["read_calls"]
    return {
        **counts,
        "create_time": start,
        "update_time": now,
        "total": _told("", "", total),
        "calls": [_told(model, method, timing) for (model, method), timing in most_called[:1000]],
        "coalescing_ratio": counts["read_requests"] / reads if reads else 0.0,
    }


def _told(model: str, method: str, timing: Timing) -> dict[str, Any]:
    count = timing.count
    return {
        "model": model,
        "method": method,
        "call_count": count,
        "failed_count": timing.failed,
        "success_ratio": 1 - timing.failed / count if count else 1.0,
        "min_latency": timing.least if count else 0.0,
        "average_latency": timing.total / count if count else 0.0,
        "max_latency": timing.most,
        "p99_latency": timing.below(0.99),
    }
