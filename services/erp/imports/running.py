"""Feeds an import: rows in order, each with its result on disk before it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Protocol, TypeVar

from sutler.context import Principal, current
from sutler.errors import PermissionDenied
from sutler.ids import new_id
from sutler.request_streams import until_shutdown
from sutler.status import to_status

from services.erp.attempts import DOMAIN
from services.erp.batches import finding
from services.erp.caching import Answers
from services.erp.creating import NewRecord
from services.erp.feed.model import Touch
from services.erp.imports import faults
from services.erp.imports.chunks import Chunk, Target
from services.erp.imports.model import Held, Import, ImportSpec, ImportStore, Mode, Outcome, RowResult, State
from services.erp.links import Link
from services.erp.ports import JournalStore
from services.erp.reach import noting, reachable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of an import.

    Attributes:
        first_index: The index of the first.
        rows: The rows; none only asks how far the import is.
    """

    first_index: int
    rows: Sequence[NewRecord]


@dataclass(frozen=True, slots=True)
class Progress:
    """The answer to one message.

    Attributes:
        now: The import.
        first_index: The index of the first row that was answered.
        results: What became of the rows, in order.
    """

    now: Import
    first_index: int = 0
    results: Sequence[RowResult] = ()


class RowWriter(Protocol):
    """Writes rows in one mode."""

    async def write(self, target: Target, chunk: Chunk) -> None:
        """Gives each row of a chunk that has none a result."""
        ...


class Importing:
    """Runs imports.

    Args:
        imports: Where they are stored.
        journal: Has entries of rows without a key.
        writers: What writes the rows of each mode.
        answers: The cache, which drops what was written.
        shutdown: Ends streams when set; their imports can go on elsewhere.
    """

    def __init__(
        self,
        imports: ImportStore,
        journal: JournalStore,
        writers: Mapping[Mode, RowWriter],
        answers: Answers,
        shutdown: asyncio.Event,
    ) -> None:
        self._imports = imports
        self._journal = journal
        self._writers = writers
        self._answers = answers
        self._shutdown = shutdown

    async def run(
        self, link: Link, principal: Principal, import_id: str, spec: ImportSpec, messages: AsyncIterator[Rows]
    ) -> AsyncIterator[Progress]:
        """Begins an import or goes on with it, and answers each message; the end of the messages ends it.

        Raises:
            SutlerError: As the contract says of ImportRecords.
        """
        target = await self._target(link, principal, spec)
        new = _new(target, principal, import_id)
        async with self._imports.hold(new) as held:
            _check_same(held.now, new)
            if held.now.state.ended:
                raise faults.ended(held.now.name, held.now.state)
            yield Progress(held.now)
            async for rows in until_shutdown(messages, self._shutdown):
                if rows.first_index > held.now.next_index:
                    raise faults.gap(held.now.name, held.now.next_index)
                if rows.rows:
                    results = await _whole(self._results(target, held, rows))
                    yield Progress(held.now, rows.first_index, results)
                else:
                    yield Progress(held.now)
                if spec.max_failed_rows and held.now.failed_count >= spec.max_failed_rows:
                    error = faults.stopped(held.now.name, held.now.failed_count)
                    status = to_status(error, DOMAIN, current().correlation_id)
                    await self._imports.end(held, State.FAILED, status.SerializeToString())
                    raise error
            # A stream that broke looks like one that ended until something is sent on it.
            yield Progress(held.now)
            await self._imports.end(held, State.SUCCEEDED)
            yield Progress(held.now)

    async def _target(self, link: Link, principal: Principal, spec: ImportSpec) -> Target:
        """Returns where the rows go to; what can be known of the import before is checked."""
        ask = link.ask(principal, spec.context)
        schema = await link.catalogue.schema(ask, spec.model)
        models: set[str] = set()
        related = noting(reachable(link, ask, principal), models)
        finding.check_keys(finding.Rows(schema, (), (), spec.key_fields))
        return Target(link, ask, schema, spec, related, models)

    async def _results(self, target: Target, held: Held, rows: Rows) -> list[RowResult]:
        """Returns the results of rows: of those that have some as they are stored, and writes the others."""
        known = held.now.next_index - rows.first_index
        last = min(held.now.next_index, rows.first_index + len(rows.rows))
        told = await self._imports.results(held.now, rows.first_index, last) if known else []
        new = rows.rows[known:]
        if not new:
            return told
        chunk = Chunk(held, dict(enumerate(new, start=held.now.next_index)))
        await self._write(target, chunk)
        return [*told, *chunk.in_order()]

    async def _write(self, target: Target, chunk: Chunk) -> None:
        link, spec = target.link, target.spec
        if spec.validate_only:
            await _check(target, chunk)
        else:
            try:
                await self._writers[spec.mode].write(target, chunk)
            finally:  # what was written before an error, or may have been, is not in the cache any more
                await self._answers.changed(link, spec.model, chunk.written())
                await self._answers.changed_somewhere(link, target.models)
        call = current()
        touched = [
            Touch(model=spec.model, record_id=one, correlation_id=call.correlation_id, actor=call.principal.actor)
            for one in chunk.written()
        ]
        await self._imports.put(chunk.held, chunk.in_order(), touched)
        for entry in chunk.journal.values():
            await self._journal.drop(entry)


async def _check(target: Target, chunk: Chunk) -> None:
    """Checks rows without writing any."""
    rights = (await target.link.catalogue.rights(target.ask, target.spec.model)).value
    if not rights.creatable or (target.spec.mode is Mode.UPSERT and not rights.writable):
        raise PermissionDenied(
            f"the ERP does not allow {target.ask.username!r} to import {target.spec.model}",
            reason="ERP_ACCESS_DENIED",
            metadata={"model": target.spec.model, "username": target.ask.username},
        )
    for index in await target.prepare(chunk):
        chunk.put(index, Outcome.CREATED)


async def _whole(work: Awaitable[T]) -> T:
    """Returns what some work returns; a caller who goes does not stop it half-way, but waits for its end."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


def _new(target: Target, principal: Principal, import_id: str) -> Import:
    connection = target.link.connection
    return Import(
        tenant=connection.tenant,
        connection=connection.id,
        connection_uid=connection.uid,
        id=import_id,
        uid=new_id(),
        spec=target.spec,
        creator=principal.actor,
        username=target.ask.username,
        correlation_id=current().correlation_id,
    )


def _check_same(known: Import, new: Import) -> None:
    """Checks that an import is gone on with by its creator, as the same user of the ERP, and with its first message."""
    if (known.creator, known.username) != (new.creator, new.username):
        raise faults.of_another(known.name)
    before, now = asdict(known.spec), asdict(new.spec)
    different = [one.name for one in fields(ImportSpec) if before[one.name] != now[one.name]]
    if different:
        raise faults.differs(known.name, different)
