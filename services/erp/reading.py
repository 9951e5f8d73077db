"""Reading records: the fields that a caller asks for, from a cache or the ERP, as records with an etag."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutler.context import Principal
from sutler.errors import Exhausted

from services.erp import faults
from services.erp.caching import Answers
from services.erp.coalescing import Ready
from services.erp.expanding import Expander, Touched, check_paths, made_of, titled, titles
from services.erp.links import Link
from services.erp.ports import FieldSets
from services.erp.reach import noting, reachable
from services.erp.records import (
    DISPLAY_NAME,
    EXTERNAL_ID,
    DataSource,
    FieldSet,
    Origin,
    Record,
    Row,
    Tree,
    expand_star,
    field_tree,
    record_etag,
)
from services.erp.schemas import ModelSchema
from services.erp.wanting import View, Wanted

MAX_FLAT = 10_000


@dataclass(frozen=True, slots=True)
class _Flat:
    """Fields that lead nowhere, as they were checked against a model: nobody's permissions matter to them."""

    schema: ModelSchema
    fields: tuple[str, ...]
    tree: Tree
    models: frozenset[str]
    made_of: frozenset[str]


class Reading:
    """Reads records.

    Args:
        answers: Keeps answers of the ERP.
        field_sets: Remembers what etags cover.
    """

    def __init__(self, answers: Answers, field_sets: FieldSets) -> None:
        self._answers = answers
        self._field_sets = field_sets
        self._flat: dict[tuple[str, tuple[str, ...]], _Flat] = {}

    async def view(self, link: Link, principal: Principal, wanted: Wanted) -> View:
        """Returns how a caller reads a model.

        Raises:
            NotFound: If there is no such model (MODEL_NOT_FOUND).
            Invalid: If a field does not exist (FIELD_NOT_FOUND).
            PermissionDenied: If a path leads to a model that the caller may not reach.
            SutlerError: Why the ERP cannot be asked.
        """
        ask = link.ask(principal, wanted.context)
        schema = await link.catalogue.schema(ask, wanted.model)
        models: set[str] = set()
        related = noting(reachable(link, ask, principal, wanted.permission), models)
        key = (wanted.model, wanted.fields)
        flat = self._flat.get(key)
        if flat is not None and flat.schema is schema:
            fields, tree, lines = flat.fields, flat.tree, flat.made_of
            models |= flat.models
        else:
            fields = tuple(expand_star(wanted.fields, schema)) or (DISPLAY_NAME,)
            tree = field_tree(fields)
            own = {name: node for name, node in tree.below.items() if name != EXTERNAL_ID or name in schema.fields}
            await check_paths(Tree(below=own), schema, related)
            lines = frozenset(await made_of(Tree(below=own), schema, related))
            models |= lines | await titled(Tree(below=own), schema, related)
            if not any(node.below for node in own.values()):
                self._remember(key, _Flat(schema, fields, tree, frozenset(models), lines))
        covers = FieldSet(fields, wanted.binaries, ask.context.language)
        await self._field_sets.keep(covers)
        return View(link, ask, schema, tree, covers, related, models, lines)

    def _remember(self, key: tuple[str, tuple[str, ...]], flat: _Flat) -> None:
        if len(self._flat) >= MAX_FLAT:
            self._flat.clear()
        self._flat[key] = flat

    async def get(self, link: Link, principal: Principal, wanted: Wanted, record_id: int) -> Record:
        """Returns one record.

        Raises:
            NotFound: If it does not exist or is hidden.
            SutlerError: As :meth:`view`.
        """
        view = await self.view(link, principal, wanted)
        found = await self.batch(view, [record_id], wanted)
        if record_id not in found:
            raise faults.record_missing(link.name, wanted.model, [record_id])
        return found[record_id]

    async def batch(self, view: View, ids: Sequence[int], wanted: Wanted) -> dict[int, Record]:
        """Returns records by id; those that do not exist or are hidden are left out."""
        distinct, came = list(dict.fromkeys(ids)), time.monotonic()

        async def read(missing: Sequence[int], ready: Ready) -> dict[int, tuple[Record, Touched]]:
            return await self.fresh(view, missing, ready, came)

        return await self._answers.records(view, distinct, wanted, read)

    async def fresh(
        self, view: View, ids: Sequence[int], ready: Ready | None = None, came: float | None = None
    ) -> dict[int, tuple[Record, Touched]]:
        """Reads records from the ERP, when that is ``ready``, for a caller that ``came`` at a time of the monotonic
        clock; returns each with the records that it is made of."""
        columns, binaries = view.columns or [DISPLAY_NAME], view.covers.binaries
        reads = view.link.reads
        rows = await reads.read(view.ask, view.schema, ids, columns, binaries=binaries, ready=ready, came=came)
        return await self.to_records(view, list(rows.values()))

    async def to_records(self, view: View, rows: Sequence[Row]) -> dict[int, tuple[Record, Touched]]:
        """Returns rows as records, with their relations followed, each with the records that it is made of."""
        made, touched = await self._expanded(view, rows, with_source=True)
        return {one.id: (one, touched | titles(view.schema, one.values) | {(view.schema.name, one.id)}) for one in made}

    async def records(self, view: View, rows: Sequence[Row]) -> list[Record]:
        """Returns rows as records in their order, with their relations followed, of fewer at a time where that is much.

        Raises:
            Exhausted: If what one record leads to is too much (TOO_LARGE).
            SutlerError: Why the ERP cannot be asked.
        """
        try:
            return (await self._expanded(view, rows))[0]
        except Exhausted as error:
            if not faults.too_large(error) or len(rows) == 1:
                raise
        half = len(rows) // 2
        return [*await self.records(view, rows[:half]), *await self.records(view, rows[half:])]

    async def _expanded(
        self, view: View, rows: Sequence[Row], *, with_source: bool = False
    ) -> tuple[list[Record], Touched]:
        columns = view.columns
        values = [{name: _own(row.values.get(name)) for name in columns} for row in rows]
        expander = Expander(view.link.reads, view.ask, view.link.schemas(view.ask))
        own = Tree(below={name: view.tree.below[name] for name in columns})
        touched = await expander.expand(values, own, view.schema)
        external = await self._external(view, rows)
        source = DataSource(origin=Origin.ERP, read_time=time.time()) if with_source else None
        made = [
            record_of(view, row, one, external.get(row.id, ""), source) for row, one in zip(rows, values, strict=True)
        ]
        return made, touched

    async def current_etag(self, view: View, record_id: int) -> str | None:
        """Returns the etag of a record as it is in the ERP now; None if it does not exist."""
        found = await self.fresh(view, [record_id])
        return found[record_id][0].etag if record_id in found else None

    async def _external(self, view: View, rows: Sequence[Row]) -> Mapping[int, str]:
        if not view.names_external or not rows:
            return {}
        return await view.link.driver.external_ids(view.ask, view.schema.name, [row.id for row in rows])


def _own(value: Any) -> Any:
    """Returns a value that may be filled without changing that of the row."""
    return value.copy() if isinstance(value, dict | list) else value


def record_of(
    view: View, row: Row, values: dict[str, Any], external_id: str, source: DataSource | None = None
) -> Record:
    """Returns a row as a record whose relations were followed."""
    if view.names_external:
        values[EXTERNAL_ID] = external_id or None
    return Record(
        model=view.schema.name,
        id=row.id,
        values=values,
        display_name=row.display_name,
        external_id=external_id,
        etag=record_etag(values, view.covers),
        create_time=row.create_time,
        update_time=row.update_time,
        source=source,
    )
