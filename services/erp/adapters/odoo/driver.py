"""The driver of Odoo in any protocol: writes and views; reads are in :mod:`~services.erp.adapters.odoo.reader`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from sutler.errors import SutlerError, Violation

from services.erp import faults
from services.erp.adapters.meanings import Place
from services.erp.adapters.odoo import views
from services.erp.adapters.odoo.loading import to_cells, to_table
from services.erp.adapters.odoo.reader import OdooReader
from services.erp.adapters.odoo.refusals import refusal
from services.erp.adapters.odoo.writing import Encoder
from services.erp.adapters.shapes import created_ids
from services.erp.customers.view import CustomerView
from services.erp.faults import AnswerLostError
from services.erp.ports import Capability, Prepared
from services.erp.schemas import ModelSchema
from services.erp.selecting import SchemaSource
from services.erp.subscriptions import Transition
from services.erp.users import Ask

CAPABILITIES = (
    Capability.CREATE_KEYS,
    Capability.EXTERNAL_IDS,
    Capability.ARCHIVING,
    Capability.AGGREGATES,
    Capability.CHANGE_FEED,
    Capability.CUSTOMER_VIEWS,
)


class OdooDriver(OdooReader):
    """See :class:`services.erp.ports.Driver`; made as :class:`~services.erp.adapters.odoo.reader.OdooReader` is."""

    async def prepare(
        self, ask: Ask, schema: ModelSchema, values: Mapping[str, Any], schemas: SchemaSource
    ) -> Prepared:
        """Brings values into Odoo's forms."""
        encoder = Encoder(schemas, lambda model, name: self.find_external(ask, model, name))
        encoded = await encoder.encode(schema, values)
        cells = await to_cells(schema, encoded, schemas)
        return Prepared(encoded, encoder.repeatable, cells is not None, cells, cells.columns if cells else None)

    async def create(
        self, ask: Ask, schema: ModelSchema, rows: Sequence[Prepared], keys: Sequence[str] = ()
    ) -> list[int]:
        """Creates records, through ``load`` if they carry keys."""
        if keys:
            return await self._load(ask, schema, rows, keys)
        values = [dict(row.values) for row in rows]
        told = await self._client.tell(ask, schema.name, "create", [values], {}, doing="write")
        return created_ids(self._name, [told] if isinstance(told, int) else told, len(rows))

    async def stamps(self, ask: Ask, schema: ModelSchema, ids: Sequence[int]) -> Mapping[int, str]:
        """Returns nothing: Odoo cannot check versions in a write."""
        return {}

    async def write(
        self,
        ask: Ask,
        schema: ModelSchema,
        ids: Sequence[int],
        prepared: Prepared,
        *,
        stamps: Mapping[int, str] | None = None,
    ) -> None:
        """Changes values of records."""
        args = [dict(prepared.values)]
        self._answered(await self._client.tell(ask, schema.name, "write", args, {}, doing="write", ids=ids), bool)

    async def archive(self, ask: Ask, schema: ModelSchema, ids: Sequence[int], *, archived: bool = True) -> None:
        """Archives records, or brings them back."""
        await self.write(ask, schema, ids, Prepared({schema.model.archive_field: not archived}))

    async def delete(
        self, ask: Ask, schema: ModelSchema, ids: Sequence[int], *, stamps: Mapping[int, str] | None = None
    ) -> None:
        """Deletes records."""
        self._answered(await self._client.tell(ask, schema.name, "unlink", [], {}, doing="delete", ids=ids), bool)

    async def call(
        self,
        ask: Ask,
        model: str,
        method: str,
        ids: Sequence[int],
        positional: Sequence[Any],
        named: Mapping[str, Any],
    ) -> Any:
        """Calls a method once."""
        return await self._client.tell(ask, model, method, positional, named, doing="call", ids=ids or None)

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
        """Returns whether a key was stored meanwhile."""
        return isinstance(error, SutlerError) and error.reason in ("UNIQUE_VIOLATION", "WRITE_CONFLICT")

    async def close(self) -> None:
        """Closes network connections."""
        await self._exchange.close()

    async def _load(self, ask: Ask, schema: ModelSchema, rows: Sequence[Prepared], keys: Sequence[str]) -> list[int]:
        columns, table = to_table([row.cells for row in rows], [self.same_key(key) for key in keys])
        named = {"context": {"tz": "UTC"}}  # Odoo reads times in a table as local ones
        told = await self._client.tell(ask, schema.name, "load", [columns, table], named, doing="write")
        answer = self._answered(told, dict)
        messages = answer.get("messages")
        if not answer.get("ids") and isinstance(messages, list):
            wrong = [one for one in messages if isinstance(one, dict) and one.get("type") == "error"]
            if wrong:
                raise self._refused_rows(ask, schema, rows, wrong)
        return created_ids(self._name, answer.get("ids"), len(rows))

    def _refused_rows(
        self, ask: Ask, schema: ModelSchema, rows: Sequence[Prepared], wrong: Sequence[Mapping[str, Any]]
    ) -> SutlerError:
        """Returns what the errors among a load's messages mean: each is the text of one, without its type."""
        errors = [self._refused_row(ask, schema, one) for one in wrong]
        starts = list(accumulate((len(row.cells.rows()) for row in rows), initial=0))
        violations = [
            Violation(f"rows[{_record(one, starts)}].{v.field}", v.description, v.reason or error.reason)
            for one, error in zip(wrong, errors, strict=True)
            if _record(one, starts) is not None
            for v in _faults_of(error)
        ]
        return faults.rows_invalid(schema.name, violations) if len(rows) > 1 and violations else errors[0]

    def _refused_row(self, ask: Ask, schema: ModelSchema, message: Mapping[str, Any]) -> SutlerError:
        place = Place(self._name, self._database, ask.username, schema.name, "load", doing="write")
        data = {"name": "odoo.exceptions.ValidationError", "message": message.get("message", "")}
        error = refusal(place, data)
        named = str(message.get("field") or "").partition("/")[0]
        if named in schema.fields and not error.metadata.get("field"):
            error.metadata["field"] = named
            error.violations = tuple(replace(v, field=f"values.{named}") for v in error.violations)
        return error

    def _answered(self, value: Any, kind: type) -> Any:
        """Returns the answer to a write; without one nobody knows whether it was done."""
        if not isinstance(value, kind):
            raise AnswerLostError(faults.answer_invalid(self._name, "neither result nor error"))
        return value


def _faults_of(error: SutlerError) -> Sequence[Violation]:
    """Returns what is wrong with a row that was refused, also where no value is."""
    field = error.metadata.get("field", "")
    return error.violations or [Violation(f"values.{field}" if field else "values", error.message, error.reason)]


def _record(message: Mapping[str, Any], starts: Sequence[int]) -> int | None:
    """Returns which record a message is about, as far as it tells; some tell only the row of the table."""
    record = message.get("record")
    if isinstance(record, int):
        return record
    rows = message.get("rows")
    row = rows.get("from") if isinstance(rows, Mapping) else None
    return (
        max((index for index, start in enumerate(starts) if start <= row), default=0) if isinstance(row, int) else None
    )
