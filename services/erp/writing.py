"""Changing and deleting records, and calling methods."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sutler.context import Principal
from sutler.errors import PermissionDenied
from sutler.idempotency import Once

from services.erp import faults
from services.erp.attempts import Attempts, repeated, touches
from services.erp.batches.sameness import has
from services.erp.caching import Answers
from services.erp.connections import Effect, ErpContext
from services.erp.etags import Etags
from services.erp.journal import Kind
from services.erp.links import Link
from services.erp.ports import JournalStore
from services.erp.reach import noting, reachable
from services.erp.reading import Reading
from services.erp.records import Record
from services.erp.schemas import ModelSchema
from services.erp.users import Ask
from services.erp.wanting import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """What a caller wants to change of one record. The attributes are those of the contract's requests."""

    model: str
    id: int
    values: Mapping[str, Any] | None = None
    etag: str = ""
    allow_missing: bool = False
    fields: tuple[str, ...] = ()
    context: ErpContext | None = None
    validate_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A method to call. The attributes are those of the contract's CallMethodRequest."""

    model: str
    method: str
    ids: tuple[int, ...] = ()
    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] | None = None
    context: ErpContext | None = None
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method answered, and how many seconds the ERP took."""

    result: Any
    latency: float = 0.0


class Writing:
    """Writes records.

    Args:
        journal: What the ERP is asked is on disk before.
        attempts: Keeps the journal around writes.
        reading: Reads what was written.
        etags: Checks etags.
        answers: The cache, which drops what was written.
    """

    def __init__(
        self, journal: JournalStore, attempts: Attempts, reading: Reading, etags: Etags, answers: Answers
    ) -> None:
        self._journal = journal
        self._attempts = attempts
        self._reading = reading
        self._etags = etags
        self._answers = answers

    async def update(self, link: Link, principal: Principal, write: Write, once: Once | None) -> Record:
        """Changes values of a record and returns it, with the fields that were asked for.

        Raises:
            SutlerError: As the contract says of UpdateRecord.
        """
        ask = link.ask(principal, write.context)
        schema = await link.catalogue.schema(ask, write.model)
        back = Wanted(model=write.model, fields=write.fields, context=write.context, max_staleness=0)
        if write.fields:
            await self._reading.view(link, principal, back)
        related: set[str] = set()
        prepared = await link.driver.prepare(
            ask, schema, write.values or {}, noting(reachable(link, ask, principal), related)
        )
        if write.validate_only:
            return await self._checked(link, ask, schema, write)
        entry = self._attempts.entry(
            link, ask, Kind.UPDATE, write.model, once,
            record_ids=(write.id,), payload=dict(write.values or {}), repeatable=prepared.repeatable,
        )  # fmt: skip
        async with self._attempts.journalled(entry) as attempt, link.hold(write.model, [write.id]):

            async def written() -> bool:
                return await self._written(link, ask, schema, write)

            if attempt.ids is None and not (attempt.again and await written()):
                stamps = await self._etags.check(
                    link, principal, write.model, write.id, write.etag, write.context, allow_missing=write.allow_missing
                )

                async def ask_once() -> None:
                    await link.driver.write(ask, schema, [write.id], prepared, stamps=stamps)

                async with self._answers.asking(link, write.model, [write.id], related):
                    if prepared.repeatable:
                        await repeated(link, attempt, ask_once, written)
                    else:
                        await self._attempts.renew(attempt, link.connection.spec)
                        await ask_once()
            attempt.applied = True
            await self._answers.changed(link, write.model, [write.id])
            await self._answers.changed_somewhere(link, related)
            if write.fields and not prepared.repeatable:
                await self._journal.done(attempt.entry, [write.id], touches(entry, [write.id]))
            record = await self._read_back(link, principal, back, write.id)
            await self._journal.finish(attempt.entry, once, record, touches(entry, [write.id]))
            return record

    async def delete(self, link: Link, principal: Principal, write: Write, once: Once | None) -> None:
        """Deletes a record for good.

        Raises:
            SutlerError: As the contract says of DeleteRecord.
        """
        ask = link.ask(principal, write.context)
        schema = await link.catalogue.schema(ask, write.model)
        if write.validate_only:
            await self._checked(link, ask, schema, write)
            return
        entry = self._attempts.entry(link, ask, Kind.DELETE, write.model, once, record_ids=(write.id,))
        async with self._attempts.journalled(entry) as attempt, link.hold(write.model, [write.id]):

            async def gone() -> bool:
                return not await link.driver.read(ask, schema, [write.id], ["id"])

            if not (attempt.again and await gone()):
                stamps = await self._etags.check(
                    link, principal, write.model, write.id, write.etag, write.context, allow_missing=write.allow_missing
                )
                if write.allow_missing and await gone():
                    await self._journal.finish(attempt.entry, once, None, [])
                    return
                async with self._answers.asking(link, write.model, [write.id]):
                    await repeated(
                        link, attempt, lambda: link.driver.delete(ask, schema, [write.id], stamps=stamps), gone
                    )
                attempt.applied = True
            await self._answers.changed(link, write.model, [write.id])
            await self._journal.finish(attempt.entry, once, None, touches(entry, [write.id]))

    async def call(self, link: Link, principal: Principal, wanted: Invocation, once: Once | None) -> Answer:
        """Calls a method that the connection's rules allow.

        Raises:
            SutlerError: As the contract says of CallMethod.
        """
        rule = link.connection.spec.method_rule(wanted.model, wanted.method)
        if rule is None:
            raise faults.method_not_allowed(wanted.model, wanted.method)
        ask = link.ask(principal, wanted.context)
        schema = await link.catalogue.schema(ask, wanted.model)
        if wanted.validate_only:
            await self._check_exist(link, ask, schema, wanted.ids)
            return Answer(None)
        repeatable = rule.effect in (Effect.READ_ONLY, Effect.IDEMPOTENT)
        named = dict(wanted.named or {})
        entry = self._attempts.entry(
            link, ask, Kind.CALL, wanted.model, once, record_ids=wanted.ids, repeatable=repeatable,
            payload={"method": wanted.method, "positional": list(wanted.positional), "named": named},
        )  # fmt: skip
        changes = rule.effect is not Effect.READ_ONLY
        async with (
            self._attempts.journalled(entry) as attempt,
            link.hold(wanted.model, wanted.ids if changes else ()),
        ):
            began = time.monotonic()
            result: list[Any] = []

            async def ask_once() -> None:
                args = (ask, wanted.model, wanted.method, wanted.ids, wanted.positional, named)
                result.append(await link.driver.call(*args))

            try:
                async with self._answers.asking(link, wanted.model, wanted.ids, rule.changed_models):
                    if repeatable:
                        await repeated(link, attempt, ask_once, _never)
                    else:
                        await self._attempts.renew(attempt, link.connection.spec)
                        await ask_once()
            finally:
                if changes:
                    await self._answers.changed(link, wanted.model, wanted.ids)
                    await self._answers.changed_somewhere(link, rule.changed_models)
            attempt.applied = True
            answer = Answer(result[-1], time.monotonic() - began)
            touched = touches(entry, wanted.ids) if changes else []
            await self._journal.finish(attempt.entry, once, answer, touched)
            return answer

    async def _written(self, link: Link, ask: Ask, schema: ModelSchema, write: Write) -> bool:
        """Returns whether a record has the values of a write."""
        wanted = write.values or {}
        rows = await link.driver.read(ask, schema, [write.id], list(wanted) or ["id"])
        return bool(rows) and has(schema, rows[0].values, wanted)

    async def _checked(self, link: Link, ask: Ask, schema: ModelSchema, write: Write) -> Record:
        """Checks what can be checked without writing, and returns the record as it would be."""
        rights = (await link.catalogue.rights(ask, schema.name)).value
        allowed = rights.deletable if write.values is None else rights.writable
        if not allowed:
            raise PermissionDenied(
                f"the ERP does not allow {ask.username!r} to change {schema.name}",
                reason="ERP_ACCESS_DENIED",
                metadata={"model": schema.name, "username": ask.username},
            )
        if not write.allow_missing:
            await self._check_exist(link, ask, schema, [write.id])
        return Record(model=schema.name, id=write.id, values=dict(write.values or {}))

    async def _check_exist(self, link: Link, ask: Ask, schema: ModelSchema, ids: Sequence[int]) -> None:
        found = {row.id for row in await link.driver.read(ask, schema, ids, ["id"])} if ids else set()
        missing = [one for one in ids if one not in found]
        if missing:
            raise faults.record_missing(link.name, schema.name, missing)

    async def _read_back(self, link: Link, principal: Principal, back: Wanted, record_id: int) -> Record:
        if not back.fields:
            return Record(model=back.model, id=record_id)
        return replace(await self._reading.get(link, principal, back, record_id), source=None)


async def _never() -> bool:
    return False
