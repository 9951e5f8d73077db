"""Rows that create records: in lists, with a key for each, so that a crash and a repeat make no second one.

A key is the caller's own external id, or is made of the import and the index of the row. Before the ERP is asked it is
stored up to which row; only rows below can have been written, so that only for those the ERP is asked first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sutler.errors import NotFound, SutlerError
from sutler.ids import derive

from services.erp.attempts import Attempts
from services.erp.faults import AnswerLostError, external_id_taken, outcome_unknown
from services.erp.imports import faults
from services.erp.imports.chunks import Chunk, Target
from services.erp.imports.model import ImportStore, Outcome
from services.erp.journal import Kind, State
from services.erp.keyed import KEY_MODULE
from services.erp.ports import HeldKeys, JournalStore, KeyStore, Prepared


class CreatedRows:
    """Creates the records of rows.

    Args:
        imports: Stores what the ERP will be asked for.
        journal: Tells of rows without a key.
        attempts: Keeps the journal around these.
        keys: Keeps other writes away from the callers' own keys.
    """

    def __init__(self, imports: ImportStore, journal: JournalStore, attempts: Attempts, keys: KeyStore) -> None:
        self._imports = imports
        self._journal = journal
        self._attempts = attempts
        self._key_store = keys

    async def write(self, target: Target, chunk: Chunk) -> None:
        """Gives each row of a chunk that has none a result.

        Raises:
            Unavailable: If the ERP does not answer; the chunk can be written again.
            SutlerError: Why the ERP cannot be asked.
        """
        prepared = await target.prepare(chunk)
        await self.settle(target, chunk)
        async with self._key_store.hold(target.claim(chunk, target.own_keys(chunk))) as held:
            await self.create(target, chunk, prepared, held)

    async def create(self, target: Target, chunk: Chunk, prepared: Mapping[int, Prepared], held: HeldKeys) -> None:
        """Creates the records of those rows that have no result. Raises as :meth:`write`.

        Args:
            target: Where they go to.
            chunk: The rows.
            prepared: The same, prepared.
            held: The callers' own keys among those that the import holds.
        """
        for index in chunk.open():
            if chunk.rows[index].external_id and not prepared[index].keyed:
                chunk.fail(index, faults.external_id_impossible(target.spec.model))
        keys = self._keys(target, chunk, {index: one for index, one in prepared.items() if one.keyed})
        asked = chunk.asked.extended(chunk.until, await self._look(target, chunk, keys, held))
        keyed = [index for index in chunk.open() if index in keys]
        unkeyed = [index for index in chunk.open() if index not in keys]
        if keyed or unkeyed:
            await self._imports.ask(chunk.held, asked)
            await held.ask(target.own_keys(chunk))
        for shape in dict.fromkeys(prepared[one].shape for one in keyed):
            await _load(target, chunk, prepared, keys, [one for one in keyed if prepared[one].shape == shape])
        if unkeyed:
            await self._create(target, chunk, prepared, unkeyed)

    def _keys(self, target: Target, chunk: Chunk, prepared: Mapping[int, Prepared]) -> dict[int, str]:
        """Returns the key of each row; a second row of the chunk with the same one fails."""
        keys: dict[int, str] = {}
        seen: set[str] = set()
        for index in chunk.open():
            if index not in prepared:
                continue
            own = chunk.rows[index].external_id
            if own and (key := target.link.driver.same_key(own)) in seen:
                chunk.fail(index, faults.external_id_repeated(target.link.name, own))
                continue
            if own:
                seen.add(key)
            keys[index] = own or f"{KEY_MODULE}.{derive(chunk.held.now.uid, f'{target.spec.model}/{index}')}"
        return keys

    async def _look(self, target: Target, chunk: Chunk, keys: Mapping[int, str], held: HeldKeys) -> frozenset[int]:
        """Finds what was created before, and returns the rows whose external id another record has."""
        asked, taken = chunk.asked, set[int]()
        wanted = [one for one in keys if one < asked.until or chunk.rows[one].external_id]
        found = await find(target, [keys[one] for one in wanted])
        for index in wanted:
            if keys[index] not in found:
                continue
            own = chunk.rows[index].external_id
            mine = not own or target.link.driver.same_key(own) in held.asked
            if mine and index < asked.until and index not in asked.taken:
                chunk.put(index, Outcome.CREATED, found[keys[index]])
            else:
                taken.add(index)
                chunk.fail(index, external_id_taken(target.link.name, keys[index]))
        return frozenset(taken)

    async def settle(self, target: Target, chunk: Chunk) -> None:
        """Gives rows without a key, for which the ERP may have been asked before, what the journal tells of them."""
        for index in chunk.open():
            uid, place = chunk.asked.unkeyed.get(index, ("", 0))
            if not uid:
                continue
            try:
                entry = await self._journal.get(target.link.connection.tenant, target.link.connection.id, uid)
            except NotFound:  # the ERP was never asked, or refused
                continue
            if entry.state is State.SUCCEEDED:
                outcome = Outcome.CREATED if entry.kind is Kind.CREATE else Outcome.UPDATED
                chunk.put(index, outcome, entry.record_ids[place])
                chunk.journal[uid] = entry
            else:
                chunk.fail(index, outcome_unknown(entry.name))

    async def _create(
        self, target: Target, chunk: Chunk, prepared: Mapping[int, Prepared], rows: Sequence[int]
    ) -> None:
        """Creates records without keys: once, and once more without the rows that the ERP names."""
        for last in (False, True):
            rows = [index for index in rows if index not in chunk.results]
            if not rows:
                return
            values = {"rows": [dict(chunk.rows[index].values) for index in rows]}
            entry = self._attempts.entry(
                target.link, target.ask, Kind.CREATE, target.spec.model, None, repeatable=False, payload=values
            )
            try:
                async with self._attempts.journalled(entry):
                    places = {index: (entry.uid, place) for place, index in enumerate(rows)}
                    await self._imports.ask(chunk.held, chunk.asked.noted(chunk.until, places))
                    ids = await target.link.driver.create(target.ask, target.schema, [prepared[one] for one in rows])
                    await self._journal.done(entry, ids, [])
            except SutlerError as error:
                if not faults.concerns_rows(error):
                    raise
                chunk.refuse(error, rows, last=last)
            else:
                chunk.journal[entry.uid] = entry
                for index, record_id in zip(rows, ids, strict=True):
                    chunk.put(index, Outcome.CREATED, record_id)


async def find(target: Target, keys: Sequence[str]) -> dict[str, int]:
    """Returns the records behind external ids."""
    return await target.link.driver.find_externals(target.ask, target.spec.model, keys) if keys else {}


async def _load(
    target: Target, chunk: Chunk, prepared: Mapping[int, Prepared], keys: Mapping[int, str], rows: Sequence[int]
) -> None:
    """Creates records with keys. After a lost answer, and after a refusal, it looks what is there and goes on."""
    driver, tries, refused, lost = target.link.driver, target.link.connection.spec.attempts, False, False
    while rows:
        try:
            ids = await driver.create(
                target.ask, target.schema, [prepared[one] for one in rows], [keys[one] for one in rows]
            )
            for index, record_id in zip(rows, ids, strict=True):
                chunk.put(index, Outcome.CREATED, record_id)
            return
        except AnswerLostError as error:
            tries, lost = tries - 1, True
            if not tries:
                raise error.error from error
        except SutlerError as error:
            # An earlier try, whose answer was lost, may have stored the keys a moment ago.
            again = tries > 1 and (error.reason == "WRITE_CONFLICT" or (lost and driver.duplicate_key(error)))
            if not again and not faults.concerns_rows(error):
                raise
            if again:
                tries -= 1
            else:
                chunk.refuse(error, rows, last=refused)
                refused = True
        found = await find(target, [keys[one] for one in rows])
        for index in rows:
            if keys[index] in found:
                chunk.put(index, Outcome.CREATED, found[keys[index]])
        rows = [index for index in rows if index not in chunk.results]
