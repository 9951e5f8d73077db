"""Creates through ``load``: Odoo's import, which stores an external id beside a record in one transaction.

A table of texts says less than ``create``: what it cannot say (links of many kinds, nested lists, related records
that have different fields) is created without a key. Cells are texts; a relation to one is a column
``partner_id/.id``; a list of new related records is one row for each of them, below the first. An empty cell is not an
absent one: it empties the field, and the ERP's default is lost. So the records of one table have the same columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.erp.schemas import FieldType, ModelSchema
from services.erp.selecting import SchemaSource

ID_COLUMN = "id"


@dataclass(frozen=True, slots=True)
class Cells:
    """One record as rows of a table.

    Attributes:
        single: The record's own cells, by column.
        lists: For each relation to many, the cells of each related record to create.
    """

    single: Mapping[str, str]
    lists: Sequence[Sequence[Mapping[str, str]]]

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it needs; the related records of one list all have the same."""
        return frozenset([*self.single, *(column for related in self.lists for row in related for column in row)])

    def rows(self) -> list[dict[str, str]]:
        """Returns the rows: the first has the record's own cells."""
        count = max([1, *(len(related) for related in self.lists)])
        rows: list[dict[str, str]] = [dict(self.single), *({} for _ in range(count - 1))]
        for related in self.lists:
            for row, cells in zip(rows, related, strict=False):
                row.update(cells)
        return rows


async def to_cells(schema: ModelSchema, encoded: Mapping[str, Any], schemas: SchemaSource) -> Cells | None:
    """Returns encoded values as cells; None if a table cannot say them."""
    single: dict[str, str] = {}
    lists: list[list[dict[str, str]]] = []
    for name, value in encoded.items():
        known = schema.fields[name]
        if known.to_many and any(command[0] == 0 for command in value):
            if any(command[0] != 0 for command in value):
                return None
            related = await schemas(known.relation)
            made = [_flat(related, command[2]) for command in value]
            rows = [{f"{name}/{column}": cell for column, cell in row.items()} for row in made if row is not None]
            if len(rows) < len(made) or not all(any(row.values()) for row in rows):
                return None
            if any(row.keys() != rows[0].keys() for row in rows):
                return None
            lists.append(rows)
            continue
        cell = _cell(known.type, name, value)
        if cell is None:
            return None
        single[cell[0]] = cell[1]
    return Cells(single, lists) if any(single.values()) else None


def _flat(schema: ModelSchema, encoded: Mapping[str, Any]) -> dict[str, str] | None:
    cells: dict[str, str] = {}
    for name, value in encoded.items():
        cell = _cell(schema.fields[name].type, name, value)
        if cell is None:
            return None
        cells[cell[0]] = cell[1]
    return cells


def _cell(kind: FieldType, name: str, value: Any) -> tuple[str, str] | None:
    """Returns column and text of a value; None if there is no text for it. An empty text is Odoo's false."""
    if kind in (FieldType.REFERENCE, FieldType.JSON, FieldType.UNSPECIFIED, FieldType.BINARY):
        return None
    if kind is FieldType.MANY_TO_ONE:
        return f"{name}/.id", str(value or "")
    if kind in (FieldType.ONE_TO_MANY, FieldType.MANY_TO_MANY):
        return _linked(kind, name, value)
    if kind is FieldType.BOOLEAN:
        return name, "1" if value else "0"
    return name, "" if value is False else str(value)


def _linked(kind: FieldType, name: str, commands: Sequence[Any]) -> tuple[str, str] | None:
    """Returns a plain set of links; a new record has no others, so ``add`` and the whole set are the same."""
    ids: list[int] = []
    for command in commands:
        if command[0] not in (4, 5, 6) or kind is FieldType.ONE_TO_MANY:
            return None
        ids += command[2] if command[0] == 6 else [command[1]] if command[0] == 4 else []
    return f"{name}/.id", ",".join(str(one) for one in ids)


def to_table(records: Sequence[Cells], keys: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Returns columns and rows for ``load``, external ids first, of records that have the same columns."""
    rows: list[dict[str, str]] = []
    for cells, key in zip(records, keys, strict=True):
        first, *more = cells.rows()
        rows += [{ID_COLUMN: key, **first}, *more]
    columns = list(dict.fromkeys([ID_COLUMN, *(column for row in rows for column in row)]))
    return columns, [[row.get(column, "") for column in columns] for row in rows]
