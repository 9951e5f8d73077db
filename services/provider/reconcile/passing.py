"""One pass over the machines of a provider and their records, page by page, both by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog
from sutler.errors import SutlerError

from services.provider.machines import Machine, Observation, Sight
from services.provider.ports import Book, ProviderKind, Store, Turn
from services.provider.providers import Provider
from services.provider.reconcile.acting import act
from services.provider.reconcile.asking import asking
from services.provider.reconcile.comparing import Pair, compare, counted
from services.provider.reconcile.findings import Action, Finding, FindingKind, Found, Inquiry, Progress
from services.provider.templates import Template

log = structlog.get_logger("sutler.provider")

PAGE = 500
LOOKS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Page:
    """Some machines with their records, by name.

    Attributes:
        pairs: The machines.
        upto: The name that they go up to; empty if there are no more.
    """

    pairs: Sequence[Pair]
    upto: str

    @property
    def found(self) -> Mapping[str, Found]:
        """The machines that the provider shows, by name."""
        return {pair.found.machine: pair.found for pair in self.pairs if pair.found is not None}


@dataclass(frozen=True, slots=True)
class Step:
    """What came of one page.

    Attributes:
        progress: How far the reconciliation has come with it.
        percent: The same of 100.
        findings: What differs.
        page: The page.
        looks: What a second look at those that the provider does not show has found, by name.
        began: When the provider began to show its machines.
    """

    progress: Progress
    percent: int
    findings: Sequence[Finding]
    page: Page
    looks: Mapping[str, Observation]
    began: float


class Pass:
    """Compares what a provider shows with the record.

    Args:
        store: What is stored.
        kind: The type of the provider.
        turn: The right to do it.
        inquiry: What is to be reconciled.
    """

    def __init__(self, store: Store, kind: ProviderKind, turn: Turn, inquiry: Inquiry) -> None:
        self._store = store
        self._kind = kind
        self._turn = turn
        self._inquiry = inquiry

    async def steps(self, provider: Provider, progress: Progress) -> AsyncIterator[Step]:
        """Yields what differs, page by page, from where an earlier pass has stopped; acts on nothing in the record.

        Raises:
            Unseen: If the provider cannot be seen: then nothing is known.
        """
        began = await self._store.read(lambda book: book.now)
        with asking(provider.name):
            found = {
                one.machine: one
                async for shown in self._kind.list(provider)
                for one in shown
                if self._inquiry.covers(one.region)
            }
        names = sorted(found)
        start = 0
        while not progress.compared:
            while start < len(names) and names[start] <= progress.after:
                start += 1
            some = {name: found[name] for name in names[start : start + PAGE]}
            more = start + PAGE < len(names)
            page, findings = await self._store.scan(
                partial(self._compared, after=progress.after, some=some, more=more, began=began)
            )
            with asking(provider.name):
                looks, findings = await self._looked_again(page, findings, provider.config)
            if self._inquiry.apply:
                findings = [await self._ended(page, finding, provider.config) for finding in findings]
            progress = replace(counted(progress, page.upto, page.pairs, findings), compared=not page.upto)
            percent = 100 * (start + len(some)) // max(1, len(names))
            yield Step(progress, min(99, percent), findings, page, looks, began)

    def settle(self, book: Book, step: Step) -> None:
        """Acts on what differs; a machine that has changed since is left for the next time.

        Raises:
            Conflict: If another replica reconciles by now (LEASE_LOST).
        """
        book.check(self._turn)
        if not self._inquiry.apply:
            return
        records = book.machines.named(self._inquiry.tenant, [finding.machine for finding in step.findings])
        seen = {pair.record.name: pair.record for pair in step.page.pairs if pair.record is not None}
        same = [finding for finding in step.findings if records.get(finding.machine) == seen.get(finding.machine)]
        act(book, self._kind, self._inquiry, same, step.page.found, step.looks)

    def _compared(
        self, book: Book, *, after: str, some: Mapping[str, Found], more: bool, began: float
    ) -> tuple[Page, list[Finding]]:
        page = self._page(book, after, some, more=more)
        findings = [compare(pair, self._inquiry, began, book.now) for pair in page.pairs]
        return page, [finding for finding in findings if finding is not None]

    def _page(self, book: Book, after: str, some: Mapping[str, Found], *, more: bool) -> Page:
        """Returns the next machines and records; a page ends where the first of both sides does."""
        asked = self._inquiry
        living = book.machines.of_provider(asked.tenant, asked.provider, asked.place, after, PAGE)
        ends = [max(some)] if more else []
        if len(living) == PAGE:
            ends.append(living[-1].name)
        upto = min(ends, default="")
        here = {name: one for name, one in some.items() if not upto or name <= upto}
        records: dict[str, Machine] = {
            machine.name: machine
            for machine in living
            if (not upto or machine.name <= upto) and asked.covers(machine.region)
        }
        rest = [name for name in here if name not in records]
        records.update(book.machines.named(asked.tenant, rest))
        pairs = [Pair(records.get(name), here.get(name)) for name in sorted(records.keys() | here.keys())]
        return Page(pairs, upto)

    async def _looked_again(
        self, page: Page, findings: Sequence[Finding], config: Mapping[str, Any]
    ) -> tuple[Mapping[str, Observation], list[Finding]]:
        """Looks once more at each machine that is not shown; one that is there after all does not differ."""
        missing = {finding.machine for finding in findings} - page.found.keys()
        records = [pair.record for pair in page.pairs if pair.record is not None and pair.record.name in missing]
        looks: dict[str, Observation] = {}
        for start in range(0, len(records), LOOKS_AT_ONCE):
            some = records[start : start + LOOKS_AT_ONCE]
            for observation in await asyncio.gather(*(self._kind.look(machine, config) for machine in some)):
                if observation.sight not in (Sight.ALIVE, Sight.COMING):
                    looks[observation.machine] = observation
        return looks, [f for f in findings if f.machine not in missing or f.machine in looks]

    async def _ended(self, page: Page, finding: Finding, config: Mapping[str, Any]) -> Finding:
        """Ends a machine that has ended in the record and still runs; what fails is told with the finding."""
        if finding.kind is not FindingKind.SURVIVOR or finding.action is not Action.REMOVE:
            return finding
        found = page.found[finding.machine]
        (record,) = (pair.record for pair in page.pairs if pair.found is found)
        assert record is not None
        there = replace(
            record, launch=found.launch or record.launch, attributes=found.attributes, native_id=found.native_id
        )
        try:
            await self._kind.end(there, Template(), config, force=True)
        except SutlerError as error:
            log.warning("survivor not ended", machine=record.name, reason=error.reason, error=error.message)
            return replace(finding, error=error.message)
        return finding
