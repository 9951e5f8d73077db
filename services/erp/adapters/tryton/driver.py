"""The driver ``tryton``: versions 7.0 and 8.x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sutler.errors import Invalid

from services.erp import faults
from services.erp.adapters.shapes import created_ids
from services.erp.adapters.tryton import views
from services.erp.adapters.tryton.client import CONTEXT_KEYS, SINGLE_WRITER
from services.erp.adapters.tryton.reader import STAMP, TrytonReader
from services.erp.adapters.tryton.reading import plain
from services.erp.adapters.tryton.writing import Encoder, Replaced, as_read, created
from services.erp.customers.view import CustomerView
from services.erp.ports import Capability, DriverInfo, Prepared
from services.erp.schemas import ModelSchema
from services.erp.selecting import SchemaSource
from services.erp.subscriptions import Transition
from services.erp.users import Ask

INFO = DriverInfo(
    driver="tryton",
    display_name="Tryton",
    erp_versions="7.0 and 8.x",
    capabilities=(
        Capability.ATOMIC_ETAG,
        Capability.ARCHIVING,
        Capability.CHANGE_FEED,
        Capability.CUSTOMER_VIEWS,
    ),
    options_schema={
        "type": "object",
        "properties": {SINGLE_WRITER: {"type": "boolean", "description": "One write at a time: for SQLite."}},
        "additionalProperties": False,
    },
    context_keys=CONTEXT_KEYS,
)


class TrytonDriver(TrytonReader):
    """See :class:`services.erp.ports.Driver`."""

    info = INFO

    async def prepare(
        self, ask: Ask, schema: ModelSchema, values: Mapping[str, Any], schemas: SchemaSource
    ) -> Prepared:
        """Brings values into Tryton's forms, which are in ``cells``; creates take no key."""
        encoder = Encoder(schemas)
        encoded = await encoder.encode(schema, values)
        return Prepared(as_read(schema, encoded, values), encoder.repeatable, cells=encoded)

    async def create(
        self, ask: Ask, schema: ModelSchema, rows: Sequence[Prepared], keys: Sequence[str] = ()
    ) -> list[int]:
        """Creates records in one transaction."""
        values = [created(row.cells) for row in rows]
        told = await self._client.tell(ask, schema.name, "create", [values], doing="write", schema=schema)
        return created_ids(self._name, told, len(rows))

    async def write(
        self,
        ask: Ask,
        schema: ModelSchema,
        ids: Sequence[int],
        prepared: Prepared,
        *,
        stamps: Mapping[int, str] | None = None,
    ) -> None:
        """Changes values of records in one transaction."""
        replaced = [name for name, value in prepared.cells.items() if isinstance(value, Replaced)]
        args = await self._each(ask, schema, ids, prepared.cells, replaced) if replaced else [list(ids), prepared.cells]
        context = _unchanged(schema, stamps)
        await self._client.tell(ask, schema.name, "write", args, doing="write", context=context, ids=ids, schema=schema)

    async def archive(self, ask: Ask, schema: ModelSchema, ids: Sequence[int], *, archived: bool = True) -> None:
        """Archives records, or brings them back."""
        await self.write(ask, schema, ids, Prepared({}, cells={schema.model.archive_field: not archived}))

    async def delete(
        self, ask: Ask, schema: ModelSchema, ids: Sequence[int], *, stamps: Mapping[int, str] | None = None
    ) -> None:
        """Deletes records; Tryton says nothing of those that do not exist, so that is looked up first."""
        found = {row.id for row in await self.read(ask, schema, ids, ["id"])}
        missing = [one for one in ids if one not in found]
        if missing:
            raise faults.record_missing(self._name, schema.name, missing)
        context = _unchanged(schema, stamps)
        await self._client.tell(ask, schema.name, "delete", [list(ids)], doing="delete", context=context, ids=ids)

    async def call(
        self,
        ask: Ask,
        model: str,
        method: str,
        ids: Sequence[int],
        positional: Sequence[Any],
        named: Mapping[str, Any],
    ) -> Any:
        """Calls a method once; Tryton takes arguments by position only."""
        if named:
            raise faults.refused(
                Invalid,
                "ARGUMENTS_INVALID",
                "Tryton takes arguments by position: give them in `arguments`, in the method's order",
                {"model": model, "method": method, "erp_message": ""},
            )
        args = [list(ids), *positional] if ids else list(positional)
        return plain(await self._client.tell(ask, model, method, args, doing="call", ids=ids))

    def view(self, schema: ModelSchema) -> tuple[str, ...]:
        """Returns the fields of the driver's own view of a model."""
        return views.view(schema)

    def entity(self, model: str) -> str:
        """Returns the first part of the types of a model's events."""
        return views.entity(model)

    def transitions(self, model: str) -> tuple[Transition, ...]:
        """Returns which changes have an event of their own."""
        return views.transitions(model)

    def customer_view(self) -> CustomerView:
        """Returns where customers and their orders are."""
        return views.CUSTOMERS

    def duplicate_key(self, error: Exception) -> bool:
        """Returns false: creates take no key."""
        return False

    async def close(self) -> None:
        """Closes network connections."""
        await self._transport.close()

    async def _each(
        self, ask: Ask, schema: ModelSchema, ids: Sequence[int], cells: Mapping[str, Any], replaced: Sequence[str]
    ) -> list[Any]:
        """Returns what to write to each record, as what replaces a relation depends on where it leads now."""
        args: list[Any] = []
        for row in await self.read(ask, schema, ids, replaced):
            changes = {
                name: value.changes([one["id"] for one in row.values[name]]) if isinstance(value, Replaced) else value
                for name, value in cells.items()
            }
            args += [[row.id], changes]
        if len(args) < 2 * len(set(ids)):
            raise faults.record_missing(self._name, schema.name, [one for one in ids if [one] not in args])
        return args


def _unchanged(schema: ModelSchema, stamps: Mapping[int, str] | None) -> dict[str, Any]:
    """Returns the context in which Tryton writes only if the records are still of these versions."""
    return {STAMP: {f"{schema.name},{one}": stamp for one, stamp in stamps.items()}} if stamps else {}
