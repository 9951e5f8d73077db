"""One attempt at verifying a cache: goes through it page by page, notes how far it is, and mends what it found."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sutler.operations import Operation, State

from services.cache.backends import Backends
from services.cache.caches import Cache, Usage
from services.cache.checking import Checker, StoppedError
from services.cache.counting import Counts
from services.cache.entries import Entry, Unreadable
from services.cache.faults import cache_not_found
from services.cache.orphans import Orphans
from services.cache.ports import MetadataBackend, Verifications
from services.cache.problems import Problem, ProblemKind, Stage, from_document
from services.cache.reach import Reach
from services.cache.selectors import Mark
from services.cache.signing import Signer
from services.cache.telling import Cause

T = TypeVar("T")

PAGE = 200
SAVE_SECONDS = 0.2
"""How often a run that finds nothing is stored, so that little is looked at twice after a crash."""

MAX_ORPHANS = 500
"""How many orphaned blobs are removed between two looks for them."""

ENTRIES_PERCENT, TOTALS_PERCENT = 90, 95
"""How far a run is when all entries are checked, and when the totals are."""

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Tools:
    """What every run works with.

    Attributes:
        reach: Leads to the entries of caches.
        backends: Where blobs are.
        orphans: Finds blobs that nobody refers to.
        runs: Where runs are stored.
        signer: Checks signatures.
        counts: Counts leases that end with damaged entries.
    """

    reach: Reach
    backends: Backends
    orphans: Orphans
    runs: Verifications
    signer: Signer
    counts: Counts


class Verification:
    """One attempt at a run.

    Args:
        tools: What it works with.
        operation: The operation that it belongs to, whose work says how far an earlier attempt came.
        cancelled: Set when somebody asks for its end.
    """

    def __init__(self, tools: Tools, operation: Operation, cancelled: asyncio.Event) -> None:
        self._tools = tools
        self._operation = operation
        self._cancelled = cancelled
        self._run = from_document(operation.work)
        self._percent = operation.progress
        self._saved_at = 0.0

    async def carry_out(self) -> None:
        """Looks at all of the cache and ends the operation.

        Raises:
            NotFound: If the cache is gone (CACHE_NOT_FOUND).
            StoppedError: If somebody asked for the end.
            Unavailable: If a backend does not answer.
            Conflict: If another process goes on with the run (LEASE_LOST).
        """
        await self._mend()
        stages = {Stage.ENTRIES: self._entries, Stage.TOTALS: self._totals, Stage.ORPHANS: self._orphans}
        while self._run.stage is not Stage.DONE:
            self._check_stop()
            await stages[self._run.stage]()
        await self._tools.runs.end(self._operation, State.SUCCEEDED, report=self._run.report)

    def _check_stop(self) -> None:
        if self._cancelled.is_set():
            raise StoppedError

    async def _on(self, work: Callable[[Cache, MetadataBackend], Awaitable[T]]) -> T:
        """Returns what ``work`` makes of the cache as it is now; a later one of its name is not taken for it."""

        async def step(cache: Cache, backend: MetadataBackend) -> T:
            if cache.uid != self._run.uid:
                raise cache_not_found(cache.name)
            return await work(cache, backend)

        return await self._tools.reach.on(self._operation.tenant, self._operation.target, step)

    async def _entries(self) -> None:
        cache, usage = await self._on(_size)
        checker = Checker(
            self._tools.backends.blobs(cache),
            self._tools.signer,
            metadata_only=self._run.metadata_only,
            stop=self._cancelled,
        )
        while page := await self._page():
            cost = replace(checker.effort)
            problems = [problem for each in page if (problem := await self._problem(cache, checker, each)) is not None]
            report = self._run.report
            report = replace(
                report,
                entries=report.entries + len(page),
                blobs=report.blobs + checker.effort.blobs - cost.blobs,
                read_bytes=report.read_bytes + checker.effort.read_bytes - cost.read_bytes,
            )
            self._percent = ENTRIES_PERCENT * min(report.entries, usage.entries) // max(usage.entries, 1)
            await self._note(problems, f"{report.entries} entries checked", after=page[-1].key, report=report)
            self._check_stop()
        self._percent = ENTRIES_PERCENT
        await self._note([], "comparing totals", stage=Stage.TOTALS)

    async def _page(self) -> Sequence[Entry | Unreadable]:
        after = self._run.after
        return await self._on(lambda cache, backend: backend.inspect(cache, after, PAGE))

    async def _problem(self, cache: Cache, checker: Checker, found: Entry | Unreadable) -> Problem | None:
        """Returns what is wrong with an entry. Before, it is looked at again: it may have been put anew meanwhile."""
        while isinstance(found, Entry):
            fault = await checker.fault(cache, found)
            if fault is None:
                return None
            again = await self._again(found.key)
            if again is None:
                return None
            if isinstance(again, Entry) and _is_same(found, again):
                sha256 = found.blob.sha256 if found.blob else ""
                return Problem(fault.kind, key=found.key, sha256=sha256, detail=fault.detail, put_time=found.put_time)
            found = again
        return Problem(ProblemKind.METADATA_UNREADABLE, key=found.key, detail=found.why)

    async def _again(self, key: str) -> Entry | Unreadable | None:
        return (await self._on(lambda cache, backend: backend.get(cache, key, value=True))).entry

    async def _totals(self) -> None:
        wrong = await self._on(lambda cache, backend: backend.recount(cache, repair=False))
        self._percent = TOTALS_PERCENT
        problems = [Problem(ProblemKind.TOTALS_WRONG, detail=each) for each in wrong]
        await self._note(problems, "looking for blobs that nobody refers to", stage=Stage.ORPHANS)

    async def _orphans(self) -> None:
        """Looks for orphaned blobs of the tenant; where they are removed, again and again until there are none."""
        cache, _ = await self._on(_size)
        report = self._run.report
        group: list[Problem] = []
        async for locators in self._tools.orphans.among(self._tools.backends.blobs(cache), cache.tenant):
            self._check_stop()
            group += map(_orphan, locators)
            if not self._run.repair:
                report, group = report.told(group), []
            elif len(group) >= MAX_ORPHANS:
                break
        stage = Stage.ORPHANS if group else Stage.DONE
        await self._note(group, "looking for blobs that nobody refers to", stage=stage, report=report)

    async def _note(self, problems: Sequence[Problem], step: str, **changes: object) -> None:
        """Notes a step, mends what it found, and notes that."""
        self._run = self._run.found(problems, **changes)
        if self._run.pending or time.monotonic() - self._saved_at > SAVE_SECONDS:
            await self._tools.runs.save(self._operation, self._run, self._percent, step)
            self._saved_at = time.monotonic()
        await self._mend()

    async def _mend(self) -> None:
        pending = self._run.pending
        if not pending:
            return
        marks = [Mark(each.key, each.put_time) for each in pending if each.key]
        cache = await self._on(lambda cache, backend: self._removed(cache, backend, marks))
        if any(each.kind is ProblemKind.TOTALS_WRONG for each in pending):
            await self._on(lambda cache, backend: backend.recount(cache, repair=True))
        for each in pending:
            if each.locator:
                await self._tools.backends.blobs(cache).delete(each.locator)
        self._run = self._run.settled([each.mended() for each in pending])
        await self._tools.runs.save(self._operation, self._run, self._percent, f"{len(pending)} problems mended")

    async def _removed(self, cache: Cache, backend: MetadataBackend, marks: Sequence[Mark]) -> Cache:
        """Removes damaged entries, unless they were put anew, and returns the cache."""
        if marks:
            gone = await backend.discard(cache, marks, expire_only=False, cause=Cause.VERIFY)
            self._tools.counts.lost(cache.space, gone.lost_leases)
        return cache


async def _size(cache: Cache, backend: MetadataBackend) -> tuple[Cache, Usage]:
    return cache, await backend.usage(cache)


def _is_same(found: Entry, again: Entry) -> bool:
    """Returns whether an entry is what it was, but for its life and its accesses."""
    return found == replace(
        again,
        ttl=found.ttl,
        expire_time=found.expire_time,
        life_time=found.life_time,
        hit_count=found.hit_count,
        access_time=found.access_time,
    )


def _orphan(locator: str) -> Problem:
    found = _SHA256.search(locator)
    return Problem(
        ProblemKind.BLOB_ORPHANED,
        sha256=found.group() if found else "",
        detail=f"its name is {locator.rpartition('/')[2]}",
        locator=locator,
    )
