"""Exporting: all records that match, by id, each once, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from sutler.context import Principal
from sutler.errors import Exhausted
from sutler.tails import stopping
from sutler.tokens import TokenSealer
from sutler.watch import token_invalid

from services.erp import faults
from services.erp.exports.pages import ExportPages
from services.erp.links import Link
from services.erp.reading import Reading
from services.erp.records import Record, Row, key_of
from services.erp.selecting import check_domain_size
from services.erp.wanting import View, Wanted

M = TypeVar("M")

MAX_CHUNK_BYTES = 1024 * 1024
DEFAULT_CHUNK = 500
MAX_CHUNK = 1000
TURN = 50
"""After how many records others get their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What a caller wants to export.

    Attributes:
        wanted: The model and what to read.
        filter: AIP-160, over the model's fields.
        domain: The ERP's own raw domain.
        archived: Whether archived records are found too.
        chunk_size: The most records in a chunk; 500 if 0, at most 1000.
        resume_token: Goes on after the chunk that had it.
    """

    wanted: Wanted
    filter: str = ""
    domain: tuple[Any, ...] = ()
    archived: bool = False
    chunk_size: int = 0
    resume_token: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """How far an export is.

    Attributes:
        last_id: The id of the last record.
        count: How many records there were so far.
        total: How many matched when it began.
    """

    last_id: int = 0
    count: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Chunk(Generic[M]):
    """Some records of an export.

    Attributes:
        records: The records as they are sent, in order; none in the last chunk.
        position: How far the export is after them.
        resume_token: Goes on after them.
    """

    records: Sequence[M]
    position: Position
    resume_token: str


class Exporting:
    """Exports records.

    Args:
        reading: Reads them.
        sealer: Authenticates resume tokens.
        shutdown: Ends exports when set.
    """

    def __init__(self, reading: Reading, sealer: TokenSealer, shutdown: asyncio.Event) -> None:
        self._reading = reading
        self._sealer = sealer
        self._shutdown = shutdown

    async def export(
        self, link: Link, principal: Principal, wanted: Export, encode: Callable[[Record], tuple[M, int]]
    ) -> AsyncIterator[Chunk[M]]:
        """Yields the records in chunks, and at the end one without records.

        While a page is sent the next one is read, so at most two pages are in memory.

        Args:
            link: The connection.
            principal: Who calls.
            wanted: What to export.
            encode: Makes of a record what is sent, and says how many bytes that takes.

        Raises:
            NotFound: If there is no such model (MODEL_NOT_FOUND).
            Invalid: With FILTER_INVALID, DOMAIN_INVALID, FIELD_NOT_FOUND or RESUME_TOKEN_INVALID.
            PermissionDenied: If the caller may not reach a model that fields, filter or domain lead to.
            Exhausted: If a record is above 1 MiB (TOO_LARGE).
            Unavailable: If the server stops.
            SutlerError: Why the ERP cannot be asked.
        """
        check_domain_size(wanted.domain)
        view = await self._reading.view(link, principal, wanted.wanted)
        selector = await view.select(filter=wanted.filter, domain=wanted.domain, archived=wanted.archived)
        binding = _binding(view, wanted)
        known = self._known(binding, wanted.resume_token)
        pages = ExportPages(view, selector, known.last_id if known else 0)
        async with pages.ahead():
            at = known or Position(total=await link.driver.count(view.ask, view.schema, selector))
            while rows := await pages.next():
                count, size = 0, 0
                records = await self._reading.records(view, await _made(rows))
                async for part, length in _parts(view, records, wanted.chunk_size, encode):
                    if self._shutdown.is_set():
                        raise stopping()
                    count, size = count + len(part), size + length
                    at = Position(records[count - 1].id, at.count + len(part), at.total)
                    yield Chunk(part, at, self._token(binding, at))
                pages.learn(count, size)
        yield Chunk((), at, self._token(binding, at))

    def _known(self, binding: str, token: str) -> Position | None:
        if not token:
            return None
        try:
            found = self._sealer.open("export", binding, token)
        except ValueError as error:
            raise token_invalid() from error
        assert isinstance(found, list)
        return Position(*found)

    def _token(self, binding: str, at: Position) -> str:
        return self._sealer.seal("export", binding, [at.last_id, at.count, at.total])


async def _made(rows: Sequence[Row]) -> list[Row]:
    made: list[Row] = []
    for start in range(0, len(rows), TURN):
        made += rows[start : start + TURN]
        await asyncio.sleep(0)
    return made


async def _parts(
    view: View, records: Iterable[Record], most: int, encode: Callable[[Record], tuple[M, int]]
) -> AsyncIterator[tuple[list[M], int]]:
    """Yields encoded records in parts that fit into one message, each with its size in bytes."""
    most = min(most or DEFAULT_CHUNK, MAX_CHUNK)
    part: list[M] = []
    size = 0
    for index, record in enumerate(records, start=1):
        made, length = encode(record)
        if length > MAX_CHUNK_BYTES:
            raise _too_large(faults.record_name(view.link.name, record.model, record.id), length)
        if part and (len(part) == most or size + length > MAX_CHUNK_BYTES):
            yield part, size
            part, size = [], 0
        part.append(made)
        size += length
        if not index % TURN:
            await asyncio.sleep(0)
    yield part, size


def _binding(view: View, wanted: Export) -> str:
    """Returns what tells an export from all others; how it is cut into chunks may change."""
    connection, context = view.link.connection, view.ask.context
    what = [wanted.wanted.model, wanted.filter, wanted.domain, wanted.archived, wanted.wanted.fields]
    return key_of([connection.tenant, connection.uid, connection.epoch, *what, view.covers.binaries, asdict(context)])


def _too_large(record: str, size: int) -> Exhausted:
    return Exhausted(
        f"{record} takes {size} bytes, more than {MAX_CHUNK_BYTES}; export without include_binaries or fewer fields",
        reason="TOO_LARGE",
        metadata={"limit_bytes": str(MAX_CHUNK_BYTES), "size_bytes": str(size)},
        resource=record,
    )
