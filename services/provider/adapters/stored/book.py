"""One transaction, as the domain sees it, with what every change of a machine or request brings along."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sutler.events import Event
from sutler.ids import derive
from sutler.store import Transaction, leases, outbox, sequences

from services.provider.adapters.stored.operations import StoredOperations
from services.provider.adapters.stored.prices import PriceTables, Tariffs
from services.provider.adapters.stored.reconciliations import StoredReconciliations
from services.provider.adapters.stored.shapes import Shapes
from services.provider.adapters.stored.shelves import (
    MACHINES,
    PROVIDERS,
    REQUESTS,
    TEMPLATES,
    Machines,
    Providers,
    Requests,
    Table,
    Templates,
)
from services.provider.adapters.stored.spans import Spans
from services.provider.cost.billing import bill_of
from services.provider.cost.tariffs import Tariff
from services.provider.machines import Machine
from services.provider.ports import Happening, Turn
from services.provider.requests import MachineRequest
from services.provider.wishes import MachineSet

SOURCE = "//provider.sutler.dev"
CHANGES = "changes"


class StoredBook:
    """Everything that is stored, within one transaction; see :class:`services.provider.ports.Book`.

    Args:
        tx: The transaction.
        shapes: How things look to callers.
        tariffs: What prices were over time.
        tell: Whether events are put into the outbox.
    """

    def __init__(self, tx: Transaction, shapes: Shapes, tariffs: Tariffs, *, tell: bool) -> None:
        self.now = tx.now
        self.providers = Providers(tx, PROVIDERS)
        self.templates = Templates(tx, TEMPLATES)
        self.requests = Requests(tx, REQUESTS, self._request_changed)
        self.machines = Machines(tx, MACHINES, self._machine_changed)
        self.price_tables = PriceTables(tx)
        self.spans = Spans(tx)
        self.operations = StoredOperations(tx, shapes)
        self.reconciliations = StoredReconciliations(tx, shapes)
        self.sets = StoredSets(tx)
        self._tx = tx
        self._shapes = shapes
        self._tariffs = tariffs
        self._tell = tell

    def check(self, turn: Turn) -> None:
        """Makes sure that the holder of a turn still has it; raises Conflict (LEASE_LOST)."""
        leases.check(self._tx, turn.name, turn.fence)

    def tell(self, happening: Happening, machine: Machine) -> None:
        """Puts an event beside those of states into the outbox."""
        if self._tell:
            self._emit(happening.value, machine, self._shapes.machine_json(machine, bill_of(self, machine)))

    def tariff(self, tenant: str, provider: str) -> Tariff:
        """Returns all that is known of the prices of a provider."""
        return self._tariffs.of(self._tx, tenant, provider)

    def _request_changed(self, before: MachineRequest | None, after: MachineRequest | None) -> None:
        self._log(REQUESTS, before, after)
        if after is not None and self._tell and (before is None or before.state is not after.state):
            kind = f"machineRequest.{after.state.name.lower()}"
            self._emit(kind, after, self._shapes.request_json(after))

    def _machine_changed(self, before: Machine | None, after: Machine | None) -> None:
        self._log(MACHINES, before, after)
        self.spans.follow(before, after)
        if after is not None and self._tell and (before is None or before.state is not after.state):
            kind = f"machine.{after.state.name.lower()}"
            self._emit(kind, after, self._shapes.machine_json(after, bill_of(self, after)))

    def _log(self, table: Table[Any], before: Any, after: Any) -> None:
        thing = after or before
        self._tx.execute(
            "INSERT INTO changes (seq, collection, tenant, change_time, body_before, body_after)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                sequences.draw(self._tx, CHANGES),
                *(table.name, thing.tenant, self.now),
                None if before is None else table.dump(before),
                None if after is None else table.dump(after),
            ),
        )

    def _emit(self, kind: str, thing: Machine | MachineRequest, data: Mapping[str, Any]) -> None:
        event = Event(
            id=derive(thing.uid, f"{kind}/{thing.revision}"),
            source=SOURCE,
            type=kind,
            subject=thing.name,
            time=datetime.fromtimestamp(self.now, UTC),
            data=data,
            tenant=thing.tenant,
            correlation_id=thing.correlation_id,
            actor=thing.creator,
        )
        outbox.append(self._tx, event)


class StoredSets:
    """The machine sets; see :class:`services.provider.ports.SetShelf`."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def get(self, tenant: str, resource: str) -> MachineSet | None:
        """Returns what is known of a set."""
        row = self._tx.one(
            "SELECT fence, attempt, idempotency_key, rounds, update_time FROM machine_sets"
            " WHERE tenant = ? AND resource = ?",
            (tenant, resource),
        )
        if row is None:
            return None
        fence, attempt, key, rounds, update_time = row
        return MachineSet(
            tenant=tenant,
            resource=resource,
            fence=fence,
            attempt=attempt,
            key=key,
            rounds=rounds,
            update_time=update_time,
        )

    def put(self, known: MachineSet) -> None:
        """Stores what is known of a set."""
        self._tx.execute(
            "INSERT INTO machine_sets (tenant, resource, fence, attempt, idempotency_key, rounds, update_time)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, resource) DO UPDATE SET fence = excluded.fence,"
            " attempt = excluded.attempt, idempotency_key = excluded.idempotency_key, rounds = excluded.rounds,"
            " update_time = excluded.update_time",
            (known.tenant, known.resource, known.fence, known.attempt, known.key, known.rounds, self._tx.now),
        )
