"""A transaction while a process is at it, and where its steps work."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from sutler.context import Principal
from sutler.errors import SutlerError

from services.erp.caching import Answers
from services.erp.connections import ErpContext
from services.erp.feed.model import Touch
from services.erp.journal import Entry, Kind
from services.erp.links import Links
from services.erp.ports import KeyStore
from services.erp.transactions import faults
from services.erp.transactions.model import ENDED, Step, StepSpec, Transaction
from services.erp.transactions.references import resolved
from services.erp.transactions.store import TransactionStore
from services.erp.transactions.ways import Scene, ids_of

LONGEST_PAUSE_SECONDS = 30.0


class JournalLost(Exception):
    """The journal cannot be written, or another process writes it: whoever sees this stops.

    Args:
        error: Why.
    """

    def __init__(self, error: SutlerError) -> None:
        super().__init__(error.message)
        self.error = error


class Halted(Exception):
    """The process is asked to stop: the transaction goes on in the next one."""


@dataclass(slots=True)
class Run:
    """A transaction while a process is at it.

    Attributes:
        entry: Where it stands.
        steps: Where its steps stand.
        fence: Tells this process from a later one.
        store: Where all that is stored.
        halt: Set when the process is asked to stop.
        failures: How often something had to be waited for.
        surprises: How many exceptions came that nobody expected.
        known: Values of the records of a batch, read with one call.
    """

    entry: Entry
    steps: list[Step]
    fence: int
    store: TransactionStore
    halt: asyncio.Event
    failures: int = 0
    surprises: int = 0
    known: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def transaction(self) -> Transaction:
        """As it stands now."""
        return Transaction(self.entry, tuple(self.steps))

    def spec(self, step: Step) -> StepSpec:
        """Returns what a step writes, with the ids of the records that earlier steps created."""
        created = {
            one.spec.step_id: one.record_ids[0] for one in self.steps if one.spec.kind is Kind.CREATE and one.record_ids
        }
        return resolved(step.spec, created)

    async def save(self, *steps: Step, entry: Entry | None = None, touching: Step | None = None) -> None:
        """Stores new states of steps and of the transaction; ``touching`` is what feeds are to look at.

        Raises:
            JournalLost: If that cannot be done now, or another process is at it.
        """
        entry = entry or self.entry
        if entry.state in ENDED:
            entry = replace(entry, end_time=time.time())
        about = [(touching.spec.model, one) for one in touching.record_ids] if touching else []
        touched = [
            Touch(model=model, record_id=one, correlation_id=entry.correlation_id, actor=entry.creator)
            for model, one in about
        ]
        # The journal keeps what was asked for, references and all.
        kept = [replace(one, spec=self.steps[one.position].spec) for one in steps]
        try:
            await self.store.save(self.fence, entry, kept, touched)
        except SutlerError as error:
            raise JournalLost(error) from error
        self.entry = entry
        for one in kept:
            self.steps[one.position] = one

    async def pause(self) -> None:
        """Waits, longer each time. Raises as :meth:`check_halt`."""
        self.failures += 1
        longest = min(LONGEST_PAUSE_SECONDS, 0.1 * 2 ** min(self.failures, 10))
        await self.rest(longest * random.uniform(0.5, 1))

    async def rest(self, seconds: float) -> None:
        """Waits. Raises as :meth:`check_halt`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.halt.wait(), seconds)
        self.check_halt()

    def check_halt(self) -> None:
        """Stops between two questions to the ERP: one that is under way is waited for, so that its answer is known.

        Raises:
            Halted: If the process is asked to stop.
        """
        if self.halt.is_set():
            raise Halted


@dataclass(frozen=True, slots=True)
class Scenes:
    """Where the steps of transactions work.

    Attributes:
        links: Opens connections, with the settings of the moment.
        answers: The cache.
        keys: Keeps other writes away from the keys of creates.
    """

    links: Links
    answers: Answers
    keys: KeyStore

    async def known(self, run: Run) -> Mapping[int, Mapping[str, Any]]:
        """Returns values of the records that a batch is to change; none of others, which may write one twice."""
        changing = [
            one.spec for one in run.steps if one.spec.rows and one.spec.kind is Kind.UPDATE and not one.spec.last
        ]
        if len(changing) < 2:
            return {}
        try:
            scene = await self.of(run.entry)
            schema = await scene.schema(changing[0].model)
            ids = [one for spec in changing for one in ids_of(spec)]
            names = dict.fromkeys(name for spec in changing for name in spec.values[0])
            rows = await scene.link.driver.read(scene.ask, schema, ids, list(names), binaries=True)
        except SutlerError:  # each step will see for itself
            return {}
        return {row.id: row.values for row in rows}

    async def of(self, entry: Entry) -> Scene:
        """Returns the scene of a transaction that was checked before it began.

        Raises:
            FailedPrecondition: If the connection leads to other data than when it began (STATE_INVALID).
            SutlerError: Why the connection cannot be used now.
        """
        principal = Principal(entry.creator, entry.tenant, ("*.*.*",))
        link = await self.links.find(entry.tenant, entry.connection)
        now = link.connection
        if (now.uid, now.epoch) != (entry.connection_uid, entry.payload.get("epoch", now.epoch)):
            raise faults.moved(link.name, entry.name)
        context = context_of(entry.payload.get("context"))
        ask = link.ask(principal, context)
        return Scene(link, ask, principal, context, entry, self.answers, self.keys, link.schemas(ask))


def context_of(stored: Mapping[str, Any] | None) -> ErpContext | None:
    """Returns the context that an entry names."""
    return ErpContext(**{**stored, "company_ids": tuple(stored["company_ids"])}) if stored else None


def steps_of(specs: Sequence[StepSpec]) -> list[Step]:
    """Returns steps before they are begun."""
    return [Step(spec=replace(one, last=index == len(specs) - 1), position=index) for index, one in enumerate(specs)]
