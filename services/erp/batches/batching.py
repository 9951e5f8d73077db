"""Changing and deleting many records, all or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sutler.context import Principal
from sutler.errors import Invalid, PermissionDenied, Violation
from sutler.idempotency import Once

from services.erp import faults
from services.erp.attempts import Attempts, repeated, touches
from services.erp.caching import Answers
from services.erp.connections import ErpContext
from services.erp.etags import Etags
from services.erp.journal import Kind
from services.erp.links import Link
from services.erp.ports import JournalStore, Prepared
from services.erp.reach import reachable
from services.erp.reading import Reading
from services.erp.records import Record, canonical
from services.erp.schemas import ModelSchema
from services.erp.transactions.batches import Batches
from services.erp.transactions.model import StepSpec
from services.erp.users import Ask
from services.erp.wanting import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class RowUpdate:
    """What is to change of one record."""

    id: int
    values: Mapping[str, Any]
    etag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Updates:
    """Changes of many records. The attributes are those of the contract's BatchUpdateRecordsRequest."""

    model: str
    rows: tuple[RowUpdate, ...]
    fields: tuple[str, ...] = ()
    context: ErpContext | None = None
    validate_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """Records that are to go. The attributes are those of the contract's BatchDeleteRecordsRequest."""

    model: str
    ids: tuple[int, ...]
    allow_missing: bool = False
    context: ErpContext | None = None
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class Batched:
    """Records in the order of their rows, and the transaction that it took; empty if it took one call."""

    records: Sequence[Record]
    transaction: str = ""


class Batching:
    """Changes and deletes many records.

    Args:
        batches: Runs what takes several calls.
        journal: What the ERP is asked is on disk before.
        attempts: Keeps the journal around single calls.
        reading: Reads what was written.
        etags: Checks etags.
        answers: The cache, which drops what was written.
    """

    def __init__(
        self,
        batches: Batches,
        journal: JournalStore,
        attempts: Attempts,
        reading: Reading,
        etags: Etags,
        answers: Answers,
    ) -> None:
        self._batches = batches
        self._journal = journal
        self._attempts = attempts
        self._reading = reading
        self._etags = etags
        self._answers = answers

    async def update(self, link: Link, principal: Principal, wanted: Updates, once: Once | None) -> Batched:
        """Changes records, with one call for all that get the same values.

        Raises:
            SutlerError: As the contract says of BatchUpdateRecords.
        """
        ask = link.ask(principal, wanted.context)
        back = Wanted(model=wanted.model, fields=wanted.fields, context=wanted.context, max_staleness=0)
        begun = None if wanted.validate_only else await self._batches.earlier(once)
        if begun is None:
            schema = await link.catalogue.schema(ask, wanted.model)
            if wanted.fields:
                await self._reading.view(link, principal, back)
            await prepare_rows(link, ask, principal, schema, [row.values for row in wanted.rows])
            for row in wanted.rows:
                if row.etag and row.etag != "*":
                    await self._etags.view(link, principal, wanted.model, row.id, row.etag, wanted.context)
            if wanted.validate_only:
                await self._check(link, ask, schema, "writable", [row.id for row in wanted.rows])
                rows = wanted.rows
                return Batched([Record(model=wanted.model, id=row.id, values=dict(row.values)) for row in rows])
            begun = await self._batches.begin(link, ask, wanted.context, _alike(wanted), once)
        ended = await self._batches.ended(begun)
        ids = [row.id for row in wanted.rows]
        records = await read_back(self._reading, link, principal, back, ids)
        return await self._batches.answered(ended, once, Batched(records, self._batches.name(ended)))

    async def delete(self, link: Link, principal: Principal, wanted: Deletion, once: Once | None) -> None:
        """Deletes records for good, in one call.

        Raises:
            SutlerError: As the contract says of BatchDeleteRecords.
        """
        ask = link.ask(principal, wanted.context)
        schema = await link.catalogue.schema(ask, wanted.model)
        if wanted.validate_only:
            await self._check(link, ask, schema, "deletable", () if wanted.allow_missing else wanted.ids)
            return
        entry = self._attempts.entry(link, ask, Kind.DELETE, wanted.model, once, record_ids=wanted.ids)
        async with self._attempts.journalled(entry) as attempt, link.hold(wanted.model, wanted.ids):
            there = await _existing(link, ask, schema, wanted.ids)
            missing = [one for one in wanted.ids if one not in there]
            if missing and not (wanted.allow_missing or attempt.again):
                raise faults.record_missing(link.name, wanted.model, missing)

            async def gone() -> bool:
                return not await _existing(link, ask, schema, there)

            if there:
                async with self._answers.asking(link, wanted.model, there):
                    await repeated(link, attempt, lambda: link.driver.delete(ask, schema, there), gone)
            attempt.applied = True
            await self._answers.changed(link, wanted.model, wanted.ids)
            await self._journal.finish(attempt.entry, once, None, touches(entry, wanted.ids))

    async def _check(self, link: Link, ask: Ask, schema: ModelSchema, right: str, ids: Sequence[int]) -> None:
        """Checks what can be checked without writing."""
        await check_right(link, ask, schema, right)
        there = await _existing(link, ask, schema, ids) if ids else []
        missing = [one for one in ids if one not in there]
        if missing:
            raise faults.record_missing(link.name, schema.name, missing)


async def prepare_rows(
    link: Link, ask: Ask, principal: Principal, schema: ModelSchema, rows: Sequence[Mapping[str, Any]]
) -> list[Prepared]:
    """Returns values of rows in the ERP's forms.

    Raises:
        Invalid: With a violation for every value that does not fit (ROWS_INVALID).
        PermissionDenied: If the caller may not reach a model that they change.
    """
    prepared, violations = [], []
    related = reachable(link, ask, principal)
    for index, values in enumerate(rows):
        try:
            prepared.append(await link.driver.prepare(ask, schema, values, related))
        except Invalid as error:
            violations += [Violation(f"rows[{index}].{v.field}", v.description, v.reason) for v in error.violations]
    if violations:
        raise faults.rows_invalid(schema.name, violations)
    return prepared


async def read_back(
    reading: Reading, link: Link, principal: Principal, back: Wanted, ids: Sequence[int]
) -> list[Record]:
    """Returns written records in the order of ``ids``, with what the caller wants to read of them."""
    if not back.fields:
        return [Record(model=back.model, id=one) for one in ids]
    found = await reading.batch(await reading.view(link, principal, back), ids, back)
    missing = [one for one in ids if one not in found]
    if missing:
        raise faults.record_missing(link.name, back.model, missing)
    return [replace(found[one], source=None) for one in ids]


async def check_right(link: Link, ask: Ask, schema: ModelSchema, right: str) -> None:
    """Refuses what the ERP does not allow its user. Raises PermissionDenied (ERP_ACCESS_DENIED)."""
    if not getattr((await link.catalogue.rights(ask, schema.name)).value, right):
        raise PermissionDenied(
            f"the ERP does not allow {ask.username!r} to do this with {schema.name}",
            reason="ERP_ACCESS_DENIED",
            metadata={"model": schema.name, "username": ask.username},
        )


def _alike(wanted: Updates) -> list[StepSpec]:
    """Returns one step for all rows with the same values."""
    alike: dict[bytes, list[int]] = {}
    for index, row in enumerate(wanted.rows):
        alike.setdefault(canonical(row.values), []).append(index)
    return [
        StepSpec(
            step_id=str(rows[0] + 1),
            kind=Kind.UPDATE,
            model=wanted.model,
            targets=tuple(wanted.rows[row].id for row in rows),
            values=(wanted.rows[rows[0]].values,),
            etags=tuple(wanted.rows[row].etag for row in rows),
            rows=tuple(rows),
        )
        for rows in alike.values()
    ]


async def _existing(link: Link, ask: Ask, schema: ModelSchema, ids: Sequence[int]) -> list[int]:
    return [row.id for row in await link.driver.read(ask, schema, ids, ["id"])]
