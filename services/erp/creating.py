"""Creating records, so that a repeat finds what the first call created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sutler.context import Principal
from sutler.errors import Invalid, PermissionDenied, Unimplemented, Violation
from sutler.idempotency import Once
from sutler.ids import derive, new_id

from services.erp import faults
from services.erp.attempts import Attempts, touches
from services.erp.batches.batching import Batched
from services.erp.batches.parts import create_steps, parts
from services.erp.caching import Answers
from services.erp.connections import ErpContext
from services.erp.journal import Kind
from services.erp.keyed import KEY_MODULE, create_once
from services.erp.links import Link
from services.erp.ports import JournalStore, KeyStore, Prepared
from services.erp.reach import noting, reachable
from services.erp.reading import Reading
from services.erp.records import Record
from services.erp.schemas import ModelSchema
from services.erp.selecting import SchemaSource
from services.erp.transactions.batches import Batches
from services.erp.transactions.model import Transaction
from services.erp.users import Ask
from services.erp.wanting import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecord:
    """One record to create: its values, and the caller's own key for it."""

    values: Mapping[str, Any]
    external_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """What a caller wants to create.

    Attributes:
        model: The model.
        rows: The records.
        fields: What to read back.
        context: Language, time zone, companies.
        validate_only: Only checks.
        batch: Whether faults are told by row.
    """

    model: str
    rows: tuple[NewRecord, ...]
    fields: tuple[str, ...] = ()
    context: ErpContext | None = None
    validate_only: bool = False
    batch: bool = False


class Creating:
    """Creates records.

    Args:
        journal: What the ERP is asked is on disk before.
        attempts: Keeps the journal around writes.
        reading: Reads what was created.
        answers: The cache, whose searches the new records may belong to.
        keys: Keeps other writes away from the callers' own keys.
        batches: Runs what takes several calls.
    """

    def __init__(
        self,
        journal: JournalStore,
        attempts: Attempts,
        reading: Reading,
        answers: Answers,
        keys: KeyStore,
        batches: Batches,
    ) -> None:
        self._journal = journal
        self._attempts = attempts
        self._reading = reading
        self._answers = answers
        self._keys = keys
        self._batches = batches

    async def create(self, link: Link, principal: Principal, wanted: Creation, once: Once | None) -> Batched:
        """Creates records, all or none, and returns them in order.

        Raises:
            SutlerError: As the contract says of CreateRecord and BatchCreateRecords.
        """
        _check_different(link, wanted)
        ask = link.ask(principal, wanted.context)
        schema = await link.catalogue.schema(ask, wanted.model)
        back = Wanted(model=wanted.model, fields=wanted.fields, context=wanted.context, max_staleness=0)
        if wanted.fields:
            await self._reading.view(link, principal, back)
        begun = await self._batches.earlier(once) if len(wanted.rows) > 1 and not wanted.validate_only else None
        if begun is not None and begun.entry.kind is Kind.STEPS:
            return await self._ended(link, principal, back, wanted, begun, once)
        related: set[str] = set()
        rows = await self._prepare(link, ask, schema, wanted, noting(reachable(link, ask, principal), related))
        if wanted.validate_only:
            await self._check_rights(link, ask, schema)
            return Batched([Record(model=wanted.model, id=0, values=dict(row.values)) for row in wanted.rows])
        keys = _keys(link, wanted, rows, once)
        own = [row.external_id for row in wanted.rows]
        alike = parts(rows, range(len(rows)))
        if keys and len(alike) > 1 and begun is None:
            steps = create_steps(wanted.model, [row.values for row in wanted.rows], own, alike)
            begun = await self._batches.begin(link, ask, wanted.context, steps, once)
            return await self._ended(link, principal, back, wanted, begun, once)
        entry = self._attempts.entry(
            link, ask, Kind.CREATE, wanted.model, once, repeatable=bool(keys), keys=tuple(keys),
            payload={"rows": [dict(row.values) for row in wanted.rows]},
        )  # fmt: skip
        async with self._attempts.journalled(entry) as attempt:
            if attempt.ids is None:
                async with self._answers.asking(link, wanted.model, [], related):
                    ids = await create_once(self._keys, link, ask, schema, rows, own, attempt)
                attempt.applied = True
            else:
                ids = list(attempt.ids)
            await self._answers.changed(link, wanted.model, ids)
            await self._answers.changed_somewhere(link, related)
            if wanted.fields and not keys and attempt.ids is None:
                await self._journal.done(attempt.entry, ids, touches(entry, ids))
            records = await self._read_back(link, principal, back, ids, wanted)
            result = Batched(records)
            await self._journal.finish(attempt.entry, once, result, touches(entry, ids))
            return result

    async def _ended(
        self, link: Link, principal: Principal, back: Wanted, wanted: Creation, begun: Transaction, once: Once | None
    ) -> Batched:
        """Waits for the end of a batch that took several calls, and returns its records."""
        ended = await self._batches.ended(begun)
        made = {row: one for step in ended.steps for row, one in zip(step.spec.rows, step.record_ids, strict=True)}
        records = await self._read_back(link, principal, back, [made[row] for row in sorted(made)], wanted)
        return await self._batches.answered(ended, once, Batched(records, self._batches.name(ended)))

    async def _prepare(
        self, link: Link, ask: Ask, schema: ModelSchema, wanted: Creation, related: SchemaSource
    ) -> list[Prepared]:
        prepared, violations = [], []
        for index, row in enumerate(wanted.rows):
            try:
                prepared.append(await link.driver.prepare(ask, schema, row.values, related))
            except Invalid as error:
                if not wanted.batch:
                    raise
                violations += [Violation(f"rows[{index}].{v.field}", v.description, v.reason) for v in error.violations]
        if violations:
            raise faults.rows_invalid(schema.name, violations)
        return prepared

    async def _check_rights(self, link: Link, ask: Ask, schema: ModelSchema) -> None:
        if not (await link.catalogue.rights(ask, schema.name)).value.creatable:
            raise PermissionDenied(
                f"the ERP does not allow {ask.username!r} to create {schema.name}",
                reason="ERP_ACCESS_DENIED",
                metadata={"model": schema.name, "username": ask.username},
            )

    async def _read_back(
        self, link: Link, principal: Principal, back: Wanted, ids: Sequence[int], wanted: Creation
    ) -> list[Record]:
        if not back.fields:
            return [
                Record(model=back.model, id=one, external_id=row.external_id)
                for one, row in zip(ids, wanted.rows, strict=True)
            ]
        view = await self._reading.view(link, principal, back)
        found = await self._reading.batch(view, ids, back)
        missing = [one for one in ids if one not in found]
        if missing:
            raise faults.record_missing(link.name, back.model, missing)
        return [replace(found[one], source=None) for one in ids]


def _check_different(link: Link, wanted: Creation) -> None:
    """Checks that no two rows have one external id. Raises Invalid (ROWS_INVALID)."""
    first: dict[str, int] = {}
    violations = []
    for index, row in enumerate(wanted.rows):
        if row.external_id:
            other = first.setdefault(link.driver.same_key(row.external_id), index)
            if other != index:
                cause = f"is the external id of rows[{other}] too"
                violations.append(Violation(f"rows[{index}].external_id", cause, "VALUE_INVALID"))
    if violations:
        raise faults.rows_invalid(wanted.model, violations)


def _keys(link: Link, wanted: Creation, rows: Sequence[Prepared], once: Once | None) -> list[str]:
    """Returns one external id for each record: the caller's own, or one made of the request; none if there is neither.

    Raises:
        Unimplemented: If the caller gave one and the values have a form that cannot carry it.
    """
    own = [row.external_id for row in wanted.rows]
    if not all(row.keyed for row in rows):
        if any(own):
            raise Unimplemented(
                "values of this form cannot be created together with an external id",
                metadata={"method": "external_id", "model": wanted.model},
            )
        return []
    if once is None and not any(own):
        return []
    # Without the method, two methods with one request id would write the same records.
    parent = "/".join([once.tenant, link.connection.uid, once.method, once.request_id.lower()]) if once else new_id()
    return [key or f"{KEY_MODULE}.{derive(parent, f'{wanted.model}/{i}')}" for i, key in enumerate(own)]
