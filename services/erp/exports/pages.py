"""Pages of an export: read by id, one ahead, of a size that fits the ERP and memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from sutler.errors import Exhausted, Unavailable

from services.erp import faults
from services.erp.records import DISPLAY_NAME, Row, canonical
from services.erp.selecting import Selector
from services.erp.wanting import View

FIRST_PAGE = 100
FIRST_PAGE_OF_BINARIES = 4
MAX_PAGE = 1000
PAGE_BYTES = 4 * 1024 * 1024
PAGE_SECONDS = 3.0
GROWTH = 4
"""How much larger a page may be than the one before it."""

HEAD_START = 16
"""How many turns of the event loop the request for a page gets before anything is made of the page before it: then the
ERP works at one while this process works at the other."""

SAMPLE = 20
"""Of how many records the size is looked at before the next page is read."""


class ExportPages:
    """Reads the records that match, by rising id: what is inserted or deleted meanwhile moves no other record.

    Args:
        view: How the caller reads.
        selector: Which records.
        after_id: Begins after this id.
    """

    def __init__(self, view: View, selector: Selector, after_id: int) -> None:
        self._view = view
        self._selector = selector
        self._after_id = after_id
        self._size = FIRST_PAGE_OF_BINARIES if view.covers.binaries else FIRST_PAGE
        self._record_bytes = 0.0
        self._next: asyncio.Task[Sequence[Row]] | None = None

    @asynccontextmanager
    async def ahead(self) -> AsyncIterator[None]:
        """Begins to read the first page; at the end of the block nothing is read any more."""
        self._next = asyncio.create_task(self._read())
        try:
            yield
        finally:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)

    async def next(self) -> Sequence[Row]:
        """Returns a page and begins to read the one after it; an empty one is the end.

        Raises:
            SutlerError: Why the ERP cannot be asked.
        """
        assert self._next is not None
        rows = await self._next
        if rows:
            self._next = asyncio.create_task(self._read())
            for _ in range(HEAD_START):
                await asyncio.sleep(0)
        return rows

    def learn(self, count: int, size: int) -> None:
        """Notes that some records took so many bytes together, with what was read behind their relations."""
        self._record_bytes = size / count

    async def _read(self) -> Sequence[Row]:
        while True:
            began = time.monotonic()
            try:
                rows = await self._view.link.driver.search(
                    self._view.ask,
                    self._view.schema,
                    replace(self._selector, after_id=self._after_id),
                    fields=self._view.columns or [DISPLAY_NAME],
                    limit=self._size,
                    binaries=self._view.covers.binaries,
                )
            except (Unavailable, Exhausted) as error:
                if not (error.reason == "ERP_TIMEOUT" or faults.too_large(error)) or self._size == 1:
                    raise
                self._size = max(1, self._size // (GROWTH * GROWTH))
                continue
            self._fit(rows, time.monotonic() - began)
            if rows:
                self._after_id = rows[-1].id
            return rows

    def _fit(self, rows: Sequence[Row], seconds: float) -> None:
        """Sets the size of the next page by the time and the bytes that pages take: 3 s and 4 MiB are enough."""
        fits = min(GROWTH * self._size, MAX_PAGE, int(self._size * PAGE_SECONDS / max(seconds, 0.001)))
        sample = rows[:: len(rows) // SAMPLE + 1]
        sampled = sum(len(canonical(one.values)) for one in sample) / max(len(sample), 1)
        self._size = max(1, min(fits, int(PAGE_BYTES / max(self._record_bytes, sampled, 1.0))))
