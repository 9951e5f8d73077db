"""When machines ran, written with the changes that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sutler.filtering import parse
from sutler.store import Row, Transaction

from services.provider.adapters.stored import schemas
from services.provider.adapters.stored.shelves import MACHINES
from services.provider.cost.spans import Span, Turn, span_of, turn
from services.provider.machines import Machine

JOINED = (
    "SELECT s.number, s.running, s.start_time, s.end_time, COALESCE(s.body, m.body) FROM machine_spans s"
    " LEFT JOIN machines m ON m.tenant = s.tenant AND m.id_key = LOWER(s.machine) AND s.body IS NULL"
)
"""A span with its machine as it is or, where that is gone, as it was last."""


class Spans:
    """The spans within one transaction; see :class:`services.provider.ports.SpanShelf`."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def tenants(self, start: float, end: float) -> Sequence[str]:
        """Returns the tenants that had machines within a time."""
        rows = self._tx.all(
            "SELECT DISTINCT tenant FROM machine_spans WHERE start_time < ? AND (end_time IS NULL OR end_time > ?)"
            " ORDER BY tenant",
            (end, start),
        )
        return [tenant for (tenant,) in rows]

    def within(self, tenant: str, start: float, end: float, filter: str) -> Sequence[Span]:
        """Returns the spans of a tenant that reach into a time, of machines that pass a filter."""
        passes = parse(filter, schemas.MACHINES).predicate() if filter else None
        rows = self._tx.all(
            f"{JOINED} WHERE s.tenant = ? AND s.start_time < ? AND (s.end_time IS NULL OR s.end_time > ?)",
            (tenant, end, start),
        )
        return [_span(row) for row in rows if passes is None or passes(orjson.loads(row[4]))]

    def of_machines(self, tenant: str, machines: Sequence[Machine]) -> Mapping[str, Sequence[Span]]:
        """Returns all spans of machines in order, by the machine's name."""
        found: dict[str, list[Span]] = {machine.name: [] for machine in machines}
        names = list(found)
        for start in range(0, len(names), 500):
            some = names[start : start + 500]
            rows = self._tx.all(
                f"{JOINED} WHERE s.tenant = ? AND s.machine IN ({', '.join('?' * len(some))})"
                " ORDER BY s.machine, s.number",
                (tenant, *some),
            )
            for span in map(_span, rows):
                found[span.machine].append(span)
        return found

    def follow(self, before: Machine | None, after: Machine | None) -> None:
        """Writes down what a change of a machine means for its time; of one that is removed, what it was."""
        if after is None:
            assert before is not None
            self._tx.execute(
                "UPDATE machine_spans SET body = ? WHERE tenant = ? AND machine = ?",
                (MACHINES.dump(before), before.tenant, before.name),
            )
            return
        what = turn(before, after)
        if what is None:
            return
        running = int(what is Turn.RUNS)
        last = self._tx.one(
            "SELECT number, running, end_time FROM machine_spans WHERE tenant = ? AND machine = ?"
            " ORDER BY number DESC LIMIT 1",
            (after.tenant, after.name),
        )
        if last is not None and last[2] is None:
            if what is not Turn.ENDS and last[1] == running:
                return
            self._tx.execute(
                "UPDATE machine_spans SET end_time = ? WHERE tenant = ? AND machine = ? AND number = ?",
                (self._tx.now, after.tenant, after.name, last[0]),
            )
        if what is not Turn.ENDS:
            self._tx.execute(
                "INSERT INTO machine_spans (tenant, machine, number, running, start_time) VALUES (?, ?, ?, ?, ?)",
                (after.tenant, after.name, 1 if last is None else last[0] + 1, running, self._tx.now),
            )


def _span(row: Row | Sequence[Any]) -> Span:
    number, running, start, end, body = row
    return span_of(MACHINES.load(body), number, start, end, running=bool(running))
