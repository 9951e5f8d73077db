"""Creating or changing many records, whichever each row needs: all or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sutler.context import Principal
from sutler.idempotency import Once
from sutler.ids import new_id

from services.erp import faults
from services.erp.batches.batching import check_right, prepare_rows, read_back
from services.erp.batches.finding import Finding, Rows, check_keys, find, found_by, not_unique
from services.erp.batches.parts import create_steps, parts
from services.erp.connections import ErpContext
from services.erp.creating import NewRecord
from services.erp.journal import Kind
from services.erp.keyed import claim
from services.erp.links import Link
from services.erp.ports import KeyStore
from services.erp.reading import Reading
from services.erp.records import Record, canonical
from services.erp.transactions.batches import Batches
from services.erp.transactions.model import StepSpec, Transaction
from services.erp.users import Ask
from services.erp.wanting import Wanted


class Outcome(StrEnum):
    """What was done with a row; the names are those of the contract."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsertion:
    """Records as they shall be. The attributes are those of the contract's UpsertRecordsRequest."""

    model: str
    rows: tuple[NewRecord, ...]
    key_fields: tuple[str, ...] = ()
    archived: bool = False
    fields: tuple[str, ...] = ()
    context: ErpContext | None = None
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class Upserted:
    """What became of each row, and the transaction that it took; empty if it took at most one call."""

    rows: Sequence[tuple[Outcome, Record]]
    transaction: str = ""


class Upserting:
    """Creates or changes records.

    Args:
        batches: Runs what takes several calls.
        reading: Reads what was written.
        keys: Keeps other writes away from what the rows are found by.
    """

    def __init__(self, batches: Batches, reading: Reading, keys: KeyStore) -> None:
        self._batches = batches
        self._reading = reading
        self._keys = keys

    async def upsert(self, link: Link, principal: Principal, wanted: Upsertion, once: Once | None) -> Upserted:
        """Creates and changes what the rows need.

        Raises:
            SutlerError: As the contract says of UpsertRecords.
        """
        back = Wanted(model=wanted.model, fields=wanted.fields, context=wanted.context, max_staleness=0)
        begun = None if wanted.validate_only else await self._batches.earlier(once)
        if begun is not None:
            return await self._answer(link, principal, back, wanted, await self._batches.ended(begun), once)
        ask = link.ask(principal, wanted.context)
        if wanted.fields:
            await self._reading.view(link, principal, back)
        rows = await self._rows(link, ask, principal, wanted)
        if wanted.validate_only:
            return await self._checked(link, ask, rows, await _found(link, ask, rows))
        # Two that find nothing at the same time would both create it.
        owner = new_id()
        async with self._keys.hold(claim(link, wanted.model, found_by(link, rows), owner)):
            try:
                found = await _found(link, ask, rows)
                known = {str(index): one.record_id for index, one in enumerate(found) if one.unchanged}
                specs = [*_creates(rows, found), *_updates(rows, found)]
                if specs:
                    more = {"unchanged": known}
                    begun = await self._batches.begin(link, ask, wanted.context, specs, once, more, uid=owner)
            finally:
                if begun is None or begun.entry.uid != owner:
                    await self._keys.free(owner)
            if begun is not None:
                ended = await self._batches.ended(begun)
                return await self._answer(link, principal, back, wanted, ended, once)
        results = [(Outcome.UNCHANGED, one) for one in await self._records(link, principal, back, found)]
        return await self._batches.answered(None, once, Upserted(results))

    async def _rows(self, link: Link, ask: Ask, principal: Principal, wanted: Upsertion) -> Rows:
        schema = await link.catalogue.schema(ask, wanted.model)
        prepared = await prepare_rows(link, ask, principal, schema, [row.values for row in wanted.rows])
        rows = Rows(schema, wanted.rows, prepared, wanted.key_fields, wanted.archived)
        violations = check_keys(rows)
        if violations:
            raise faults.rows_invalid(schema.name, violations)
        return rows

    async def _checked(self, link: Link, ask: Ask, rows: Rows, found: Sequence[Finding]) -> Upserted:
        """Returns what would be done."""
        for right, needed in (
            ("creatable", any(one.record_id is None for one in found)),
            ("writable", any(one.record_id is not None and not one.unchanged for one in found)),
        ):
            if needed:
                await check_right(link, ask, rows.schema, right)
        return Upserted(
            [
                (_outcome(one), Record(model=rows.schema.name, id=one.record_id or 0, values=dict(row.values)))
                for one, row in zip(found, rows.given, strict=True)
            ]
        )

    async def _records(self, link: Link, principal: Principal, back: Wanted, found: Sequence[Finding]) -> list[Record]:
        return await read_back(self._reading, link, principal, back, [one.record_id or 0 for one in found])

    async def _answer(
        self,
        link: Link,
        principal: Principal,
        back: Wanted,
        wanted: Upsertion,
        ended: Transaction,
        once: Once | None,
    ) -> Upserted:
        """Returns what became of the rows, from the journal alone, so that a repeat tells the same."""
        told: dict[int, tuple[Outcome, int]] = {
            int(row): (Outcome.UNCHANGED, record_id) for row, record_id in ended.entry.payload["unchanged"].items()
        }
        for step in ended.steps:
            outcome = Outcome.CREATED if step.spec.kind is Kind.CREATE else Outcome.UPDATED
            for row, record_id in zip(step.spec.rows, step.record_ids, strict=True):
                told[row] = (outcome, record_id)
        order = range(len(wanted.rows))
        records = await read_back(self._reading, link, principal, back, [told[row][1] for row in order])
        results = [
            (told[row][0], replace(records[row], external_id=records[row].external_id or wanted.rows[row].external_id))
            for row in order
        ]
        return await self._batches.answered(ended, once, Upserted(results, self._batches.name(ended)))


async def _found(link: Link, ask: Ask, rows: Rows) -> list[Finding]:
    found = await find(link, ask, rows)
    errors = [(index, one.error) for index, one in enumerate(found) if one.error is not None]
    if errors:
        raise not_unique(errors)
    return found


def _outcome(found: Finding) -> Outcome:
    if found.record_id is None:
        return Outcome.CREATED
    return Outcome.UNCHANGED if found.unchanged else Outcome.UPDATED


def _creates(rows: Rows, found: Sequence[Finding]) -> list[StepSpec]:
    """Returns one step for all new records that one create takes."""
    new = [index for index, one in enumerate(found) if one.record_id is None]
    values, external_ids = [row.values for row in rows.given], [row.external_id for row in rows.given]
    return create_steps(rows.schema.name, values, external_ids, parts(rows.prepared, new))


def _updates(rows: Rows, found: Sequence[Finding]) -> list[StepSpec]:
    """Returns one step for all records that get the same values."""
    alike: dict[bytes, list[int]] = {}
    for index, one in enumerate(found):
        if one.record_id is not None and not one.unchanged:
            alike.setdefault(canonical(rows.given[index].values), []).append(index)
    return [
        StepSpec(
            step_id=str(group[0] + 1),
            kind=Kind.UPDATE,
            model=rows.schema.name,
            targets=tuple(found[row].record_id or 0 for row in group),
            values=(rows.given[group[0]].values,),
            rows=tuple(group),
        )
        for group in alike.values()
    ]
