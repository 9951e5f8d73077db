"""What the whole process counts, for its operator's monitoring: by method, model and outcome, never by tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from services.erp.figures import Figures

MAX_LABELS = 100
OTHER = "other"

CACHE_OPERATIONS = {
    "near_cache_hits": ("get", "near hit"),
    "cache_service_hits": ("get", "hit"),
    "cache_misses": ("get", "miss"),
    "stale_answers": ("get", "stale"),
    "invalidations": ("invalidate", "ok"),
}


class Measures:
    """Instruments of the gateway.

    Args:
        meter: Makes the instruments.
    """

    def __init__(self, meter: Meter) -> None:
        self._calls = meter.create_histogram(
            "sutler_erp_call_duration", unit="s", description="Calls to ERPs by method, model and status"
        )
        self._meter = meter
        self._models: set[str] = set()
        self._methods: set[str] = set()

    def observe(self, model: str, method: str, failed: bool, seconds: float) -> None:
        """Counts a call; models and methods beyond the first hundred are one."""
        labels = {"model": _known(self._models, model), "method": _known(self._methods, method)}
        self._calls.record(seconds, labels | {"status": "failed" if failed else "ok"})

    def follow(self, figures: Callable[[], Mapping[str, Figures]]) -> None:
        """Shows what the figures of all connections count, whenever somebody looks."""

        def total(name: str) -> int:
            return sum(one.counts[name] for one in figures().values())

        def operations(_: CallbackOptions) -> Iterable[Observation]:
            for name, (operation, status) in CACHE_OPERATIONS.items():
                yield Observation(total(name), {"operation": operation, "status": status})

        def open_calls(_: CallbackOptions) -> Iterable[Observation]:
            for name in ("open_calls", "queued_calls", "open_connections"):
                running = sum(one.now[name]() for one in figures().values() if name in one.now)
                yield Observation(running, {"kind": name})

        self._meter.create_observable_counter(
            "sutler_erp_cache_operations", [operations], unit="1", description="What the caches did, by outcome"
        )
        self._meter.create_observable_gauge(
            "sutler_erp_open", [open_calls], unit="1", description="Calls under way, calls that wait, connections"
        )


def _known(known: set[str], name: str) -> str:
    if name in known or len(known) < MAX_LABELS:
        known.add(name)
        return name
    return OTHER
