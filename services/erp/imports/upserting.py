"""Rows that change the record that they find, or create one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from sutler.errors import SutlerError

from services.erp.attempts import Attempts
from services.erp.batches.finding import Rows, check_keys, find, found_by
from services.erp.faults import AnswerLostError, rows_invalid
from services.erp.imports import faults
from services.erp.imports.chunks import Chunk, Target
from services.erp.imports.creating import CreatedRows
from services.erp.imports.model import ImportStore, Outcome
from services.erp.journal import Kind
from services.erp.ports import HeldKeys, JournalStore, KeyStore, Prepared
from services.erp.records import key_of


class UpsertedRows:
    """Changes or creates the records of rows. See :class:`services.erp.imports.creating.CreatedRows`."""

    def __init__(
        self, imports: ImportStore, journal: JournalStore, attempts: Attempts, created: CreatedRows, keys: KeyStore
    ) -> None:
        self._imports = imports
        self._journal = journal
        self._attempts = attempts
        self._created = created
        self._keys = keys

    async def write(self, target: Target, chunk: Chunk) -> None:
        """Gives each row of a chunk that has none a result.

        Raises:
            Unavailable: If the ERP does not answer; the chunk can be written again.
            SutlerError: Why the ERP cannot be asked.
        """
        prepared = await target.prepare(chunk)
        await self._created.settle(target, chunk)
        _check(target, chunk, prepared)
        keys = [*found_by(target.link, _rows(target, chunk, prepared)), *target.own_keys(chunk)]
        async with self._keys.hold(target.claim(chunk, keys)) as held:
            await self._write(target, chunk, prepared, held)

    async def _write(self, target: Target, chunk: Chunk, prepared: Mapping[int, Prepared], held: HeldKeys) -> None:
        changing = await _find(target, chunk, prepared)
        writes: dict[str, list[int]] = {}
        for index in changing:
            if prepared[index].repeatable:
                writes.setdefault(key_of(prepared[index].values), []).append(index)
        places = asyncio.Semaphore(target.link.connection.spec.concurrency)

        async def change(rows: Sequence[int]) -> None:
            async with places:
                await self._change(target, chunk, prepared, rows, changing)

        for error in await asyncio.gather(*map(change, writes.values()), return_exceptions=True):
            if error is not None:
                raise error
        for index in changing:
            if not prepared[index].repeatable:
                await self._change(target, chunk, prepared, [index], changing)
        await self._created.create(target, chunk, prepared, held)

    async def _change(
        self,
        target: Target,
        chunk: Chunk,
        prepared: Mapping[int, Prepared],
        rows: Sequence[int],
        found: Mapping[int, int],
    ) -> None:
        """Writes the same values to the records of some rows."""
        ids, one = [found[index] for index in rows], prepared[rows[0]]
        try:
            async with target.link.hold(target.spec.model, ids):
                if one.repeatable:
                    await _write(target, ids, one)
                else:
                    await self._write_once(target, chunk, rows[0], ids[0], one)
        except SutlerError as error:
            if not faults.concerns_rows(error):
                raise
            for index in rows:
                chunk.fail(index, error)
        else:
            for index in rows:
                chunk.put(index, Outcome.UPDATED, found[index])

    async def _write_once(self, target: Target, chunk: Chunk, index: int, record_id: int, one: Prepared) -> None:
        """Makes a write that must not be repeated, such as one that creates related records."""
        entry = self._attempts.entry(
            target.link, target.ask, Kind.UPDATE, target.spec.model, None, repeatable=False,
            record_ids=(record_id,), payload=dict(chunk.rows[index].values),
        )  # fmt: skip
        async with self._attempts.journalled(entry):
            await self._imports.ask(chunk.held, chunk.asked.noted(chunk.until, {index: (entry.uid, 0)}))
            await target.link.driver.write(target.ask, target.schema, [record_id], one)
            await self._journal.done(entry, [record_id], [])
        chunk.journal[entry.uid] = entry


def _rows(target: Target, chunk: Chunk, prepared: Mapping[int, Prepared]) -> Rows:
    """Returns the rows without a result."""
    given = [chunk.rows[index] for index in chunk.open()]
    return Rows(target.schema, given, [prepared[index] for index in chunk.open()], target.spec.key_fields)


def _check(target: Target, chunk: Chunk, prepared: Mapping[int, Prepared]) -> None:
    """Gives rows that cannot be told apart their result."""
    for index in chunk.open():
        if not target.spec.key_fields and not chunk.rows[index].external_id:
            chunk.fail(index, faults.external_id_missing(target.spec.model))
    wrong = check_keys(_rows(target, chunk, prepared))
    if wrong:
        chunk.refuse(rows_invalid(target.spec.model, wrong), chunk.open(), last=False)


async def _find(target: Target, chunk: Chunk, prepared: Mapping[int, Prepared]) -> dict[int, int]:
    """Returns the record of each row that is to change one; others that need no more get their result."""
    open_rows, changing = chunk.open(), dict[int, int]()
    found = await find(target.link, target.ask, _rows(target, chunk, prepared)) if open_rows else []
    for index, one in zip(open_rows, found, strict=True):
        if one.error is not None:
            chunk.fail(index, faults.key_not_unique(one.error, index, open_rows))
        elif one.record_id is not None and one.unchanged:
            chunk.put(index, Outcome.UNCHANGED, one.record_id)
        elif one.record_id is not None:
            changing[index] = one.record_id
    return changing


async def _write(target: Target, ids: Sequence[int], one: Prepared) -> None:
    """Writes; after a lost answer again, as twice is the same as once."""
    tries = target.link.connection.spec.attempts
    while True:
        try:
            await target.link.driver.write(target.ask, target.schema, ids, one)
            return
        except AnswerLostError as lost:
            tries -= 1
            if not tries:
                raise lost.error from lost
