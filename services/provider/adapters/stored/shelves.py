"""Shelves of stored things, each within one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter
from sutler.store import Transaction

from services.provider.cost.prices import PriceTable
from services.provider.declaring import taken
from services.provider.machines import Machine
from services.provider.providers import Provider
from services.provider.requests import MachineRequest
from services.provider.templates import Template

T = TypeVar("T", bound=Provider | Template | MachineRequest | Machine | PriceTable)
Noted = Callable[[T | None, T | None], None]
"""Told of each change with the thing before and after."""


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """Where things of one kind are stored.

    Attributes:
        name: The table.
        codec: Turns them into JSON and back.
        columns: What is stored beside the JSON: each column's value.
    """

    name: str
    codec: TypeAdapter[T]
    columns: Callable[[T], Mapping[str, Any]]

    def dump(self, item: T) -> str:
        """Returns a thing as JSON; what is not set is absent, as filters see it."""
        return self.codec.dump_json(item, exclude_none=True).decode()

    def load(self, body: str) -> T:
        """Returns the thing in a row's JSON."""
        return self.codec.validate_json(body)


PROVIDERS: Table[Provider] = Table("providers", TypeAdapter(Provider), lambda p: {"type": p.type})
TEMPLATES: Table[Template] = Table("templates", TypeAdapter(Template), lambda t: {"provider": t.provider})
PRICE_TABLES: Table[PriceTable] = Table("price_tables", TypeAdapter(PriceTable), lambda t: {"provider": t.provider})
REQUESTS: Table[MachineRequest] = Table(
    "machine_requests",
    TypeAdapter(MachineRequest),
    lambda r: {
        "state": int(r.state),
        "ended": int(r.state.ended),
        "template": r.template,
        "provider": r.provider,
        "owner": r.owner,
        "create_time": r.create_time,
        "end_time": r.end_time,
        "due_time": r.due_time,
    },
)
MACHINES: Table[Machine] = Table(
    "machines",
    TypeAdapter(Machine),
    lambda m: {
        "state": int(m.state),
        "live": int(not m.state.ended),
        "template": m.template,
        "provider": m.provider,
        "owner": m.owner,
        "machine_request": m.machine_request,
        "return_request": m.return_request,
        "place": m.place,
        "create_time": m.create_time,
        "end_time": m.end_time,
        "due_time": m.due_time,
        "lease_time": None if m.leaving else m.lease_expire_time,
    },
)


class StoredShelf(Generic[T]):
    """The things of one kind.

    Args:
        tx: The transaction.
        table: Where they are.
        noted: Told of each change.
    """

    def __init__(self, tx: Transaction, table: Table[T], noted: Noted[T] = lambda before, after: None) -> None:
        self._tx = tx
        self._table = table
        self._noted = noted

    def get(self, tenant: str, name: str) -> T | None:
        """Returns the thing of this name; None if there is none."""
        found = self._some("tenant = ? AND id_key = ? AND name = ?", tenant, name.lower(), name)
        return found[0] if found else None

    def taken(self, tenant: str, name: str) -> bool:
        """Returns whether a name is taken, ignoring ASCII case."""
        return bool(self._some("tenant = ? AND id_key = ?", tenant, name.lower()))

    def insert(self, item: T) -> T:
        """Stores a new thing; raises AlreadyExists."""
        stored = replace(item, create_time=self._tx.now, update_time=self._tx.now, revision=1)
        columns = dict(self._table.columns(stored))
        names = ["tenant", "id_key", "name", *columns, "body"]
        inserted = self._tx.execute(
            f"INSERT INTO {self._table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
            " ON CONFLICT (tenant, id_key) DO NOTHING",
            (stored.tenant, stored.name.lower(), stored.name, *columns.values(), self._table.dump(stored)),
        )
        if not inserted:
            raise taken(item.name)
        self._noted(None, stored)
        return stored

    def update(self, item: T) -> T:
        """Stores the new values of a thing."""
        before = self.get(item.tenant, item.name)
        assert before is not None, f"{item.name} was not read in this transaction"
        stored = replace(item, update_time=self._tx.now, revision=before.revision + 1)
        columns = dict(self._table.columns(stored))
        sets = ", ".join(f"{column} = ?" for column in columns)
        self._tx.execute(
            f"UPDATE {self._table.name} SET {sets}, body = ? WHERE tenant = ? AND id_key = ?",
            (*columns.values(), self._table.dump(stored), stored.tenant, stored.name.lower()),
        )
        self._noted(before, stored)
        return stored

    def delete(self, item: T) -> None:
        """Removes a thing."""
        self._tx.execute(
            f"DELETE FROM {self._table.name} WHERE tenant = ? AND id_key = ?", (item.tenant, item.name.lower())
        )
        self._noted(item, None)

    def _some(self, condition: str, *values: Any, order: str = "name", limit: int = -1) -> list[T]:
        bound = f" LIMIT {limit}" if limit >= 0 else ""
        rows = self._tx.all(f"SELECT body FROM {self._table.name} WHERE {condition} ORDER BY {order}{bound}", values)
        return [self._table.load(row[0]) for row in rows]

    def _one_name(self, condition: str, *values: Any) -> str | None:
        row = self._tx.one(f"SELECT name FROM {self._table.name} WHERE {condition} LIMIT 1", values)
        return None if row is None else str(row[0])


class Providers(StoredShelf[Provider]):
    """The providers; see :class:`services.provider.ports.ProviderShelf`."""

    def all(self, tenant: str) -> Sequence[Provider]:
        """Returns the providers of a tenant, at most 1000."""
        return self._some("tenant = ?", tenant, limit=1000)

    def observe(self, provider: Provider) -> None:
        """Stores what was found out about a provider; its etag stays."""
        self._tx.execute(
            "UPDATE providers SET body = ? WHERE tenant = ? AND id_key = ?",
            (PROVIDERS.dump(provider), provider.tenant, provider.name.lower()),
        )

    def of_type(self, kind: str, after: tuple[str, str], limit: int) -> Sequence[Provider]:
        """Returns providers of a type, over all tenants, by tenant and name."""
        return self._some(
            "type = ? AND (tenant > ? OR (tenant = ? AND name > ?))",
            *(kind, after[0], *after),
            order="tenant, name",
            limit=limit,
        )


class Templates(StoredShelf[Template]):
    """The templates; see :class:`services.provider.ports.TemplateShelf`."""

    def with_provider(self, tenant: str, provider: str) -> str | None:
        """Returns the name of a template that names a provider."""
        return self._one_name("tenant = ? AND provider = ?", tenant, provider)


class Requests(StoredShelf[MachineRequest]):
    """The machine requests; see :class:`services.provider.ports.RequestShelf`."""

    def open_with(self, tenant: str, *, template: str = "", provider: str = "") -> str | None:
        """Returns the name of a request with a template or provider that has not ended."""
        column, value = ("template", template) if template else ("provider", provider)
        return self._one_name(f"tenant = ? AND {column} = ? AND ended = 0", tenant, value)

    def open_for(self, tenant: str, owner: str) -> Sequence[MachineRequest]:
        """Returns the requests for machines of an owner that have not ended."""
        return self._some("tenant = ? AND owner = ? AND ended = 0", tenant, owner)

    def due(self, now: float, limit: int) -> Sequence[MachineRequest]:
        """Returns requests that a driver must look at now."""
        return self._some("due_time <= ?", now, order="due_time, name", limit=limit)

    def expired(self, before: float, limit: int) -> Sequence[MachineRequest]:
        """Returns requests that ended before a time and have no machines any more."""
        return self._some(
            "end_time < ? AND NOT EXISTS (SELECT 1 FROM machines WHERE machines.tenant = machine_requests.tenant"
            " AND machines.machine_request = machine_requests.name)",
            before,
            order="end_time",
            limit=limit,
        )


class Machines(StoredShelf[Machine]):
    """The machines; see :class:`services.provider.ports.MachineShelf`."""

    def of_request(self, tenant: str, request: str) -> Sequence[Machine]:
        """Returns the machines that a request started, by name."""
        return self._some("tenant = ? AND machine_request = ?", tenant, request)

    def returned_by(self, tenant: str, request: str) -> Sequence[Machine]:
        """Returns the machines that a return holds, by name."""
        return self._some("tenant = ? AND return_request = ?", tenant, request)

    def of_owner(self, tenant: str, owner: str) -> Sequence[Machine]:
        """Returns the machines of an owner that have not ended, the oldest first."""
        return self._some("tenant = ? AND owner = ? AND live = 1", tenant, owner, order="create_time, name")

    def live(self, tenant: str) -> Sequence[Machine]:
        """Returns the machines of a tenant that have not ended, by name."""
        return self._some("tenant = ? AND live = 1", tenant)

    def count_live(self, tenant: str = "", *, template: str = "", provider: str = "") -> int:
        """Counts machines that have not ended."""
        wanted = {"tenant": tenant, "template": template, "provider": provider}
        given = {column: value for column, value in wanted.items() if value}
        condition = "".join(f" AND {column} = ?" for column in given)
        row = self._tx.one(f"SELECT COUNT(*) FROM machines WHERE live = 1{condition}", tuple(given.values()))
        return int(row[0]) if row else 0

    def live_by_provider(self, tenant: str) -> Mapping[str, int]:
        """Returns how many machines of a tenant have not ended, for each provider that has some."""
        rows = self._tx.all(
            "SELECT provider, COUNT(*) FROM machines WHERE tenant = ? AND live = 1 GROUP BY provider", (tenant,)
        )
        return {provider: int(count) for provider, count in rows}

    def due(self, now: float, place: str, limit: int) -> Sequence[Machine]:
        """Returns machines of a place, or of none yet, that a driver must look at now."""
        return self._some(
            "due_time <= ? AND (place = ? OR place = '')", now, place, order="due_time, name", limit=limit
        )

    def lease_ended(self, now: float, limit: int) -> Sequence[Machine]:
        """Returns machines whose leases have ended and that nothing ends yet, the earliest first."""
        return self._some("lease_time <= ?", now, order="lease_time, name", limit=limit)

    def of_place(self, place: str, after: str, limit: int) -> Sequence[Machine]:
        """Returns machines of a place that have not ended, by name, after a name."""
        return self._some("live = 1 AND place = ? AND name > ?", place, after, limit=limit)

    def of_provider(self, tenant: str, provider: str, place: str, after: str, limit: int) -> Sequence[Machine]:
        """Returns machines of a provider at a place that have not ended, by name, after a name."""
        return self._some(
            "tenant = ? AND provider = ? AND live = 1 AND place = ? AND name > ?",
            *(tenant, provider, place, after),
            limit=limit,
        )

    def named(self, tenant: str, names: Sequence[str]) -> Mapping[str, Machine]:
        """Returns machines by their names; those that there are."""
        found: dict[str, Machine] = {}
        for start in range(0, len(names), 500):
            keys = [name.lower() for name in names[start : start + 500]]
            marks = ", ".join("?" * len(keys))
            found.update((m.name, m) for m in self._some(f"tenant = ? AND id_key IN ({marks})", tenant, *keys))
        return found

    def elsewhere(self, tenant: str, provider: str, place: str) -> Mapping[str, int]:
        """Returns how many machines of a provider have not ended at each place beside one."""
        rows = self._tx.all(
            "SELECT place, COUNT(*) FROM machines WHERE tenant = ? AND provider = ? AND live = 1"
            " AND place NOT IN ('', ?) GROUP BY place ORDER BY place",
            (tenant, provider, place),
        )
        return {other: int(count) for other, count in rows}

    def expired(self, before: float, place: str, after: tuple[float, str], limit: int) -> Sequence[Machine]:
        """Returns machines of a place, or of none, that ended before a time, by end and name."""
        return self._some(
            "end_time < ? AND (place = ? OR place = '') AND (end_time, name) > (?, ?)",
            before,
            place,
            *after,
            order="end_time, name",
            limit=limit,
        )
