"""One chunk of an import: its rows, what the ERP is asked with, and what becomes of each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sutler.context import current
from sutler.errors import SutlerError
from sutler.incidents import known
from sutler.status import to_status

from services.erp.attempts import DOMAIN
from services.erp.creating import NewRecord
from services.erp.imports import faults
from services.erp.imports.model import Asked, Held, ImportSpec, Outcome, RowResult
from services.erp.journal import Entry
from services.erp.keyed import claim
from services.erp.links import Link
from services.erp.ports import Claim, Prepared
from services.erp.schemas import ModelSchema
from services.erp.selecting import SchemaSource
from services.erp.transactions.passing import passes
from services.erp.users import Ask

TURN = 20
"""After how many rows others get their turn."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the rows of an import go to, and as whom.

    Attributes:
        link: The connection.
        ask: As whom.
        schema: The model.
        spec: What was asked for.
        related: Gives the models that rows lead to; refuses those that the caller may not reach.
        models: The models that rows led to so far.
    """

    link: Link
    ask: Ask
    schema: ModelSchema
    spec: ImportSpec
    related: SchemaSource
    models: set[str] = field(default_factory=set)

    def own_keys(self, chunk: Chunk) -> list[str]:
        """Returns the callers' own keys of the rows that have no result."""
        given = (chunk.rows[index].external_id for index in chunk.open())
        return list(dict.fromkeys(self.link.driver.same_key(own) for own in given if own))

    def claim(self, chunk: Chunk, keys: Iterable[str]) -> Claim:
        """Returns what an import needs to hold while it creates records under keys."""
        return claim(self.link, self.spec.model, keys, chunk.held.now.uid)

    async def prepare(self, chunk: Chunk) -> dict[int, Prepared]:
        """Returns the rows in the ERP's forms; those that cannot be brought into them get their result.

        Raises:
            SutlerError: If the ERP cannot be asked now.
        """
        prepared: dict[int, Prepared] = {}
        for index in chunk.open():
            try:
                prepared[index] = await self.link.driver.prepare(
                    self.ask, self.schema, chunk.rows[index].values, self.related
                )
            except Exception as error:
                told = known(error, current())
                if passes(told):
                    raise
                chunk.fail(index, told)
            if not index % TURN:
                await asyncio.sleep(0)
        return prepared


@dataclass(slots=True)
class Chunk:
    """Rows that have no result in the store yet.

    Attributes:
        held: The import.
        rows: The rows, by their index in the import.
        results: What became of them so far.
        journal: The entries of the journal, by uid, that have served their purpose when the results are stored.
    """

    held: Held
    rows: Mapping[int, NewRecord]
    results: dict[int, RowResult] = field(default_factory=dict)
    journal: dict[str, Entry] = field(default_factory=dict)

    @property
    def asked(self) -> Asked:
        """What the ERP may have been asked for before."""
        return self.held.now.asked

    @property
    def until(self) -> int:
        """The index of the first row behind this chunk."""
        return self.held.now.next_index + len(self.rows)

    def open(self) -> list[int]:
        """Returns the rows without a result, in order."""
        return [index for index in self.rows if index not in self.results]

    def put(self, index: int, outcome: Outcome, record_id: int = 0) -> None:
        """Notes what was done with a row."""
        self.results[index] = RowResult(outcome, record_id, self.rows[index].external_id)

    def fail(self, index: int, error: SutlerError) -> None:
        """Notes why a row failed."""
        status = to_status(error, DOMAIN, current().correlation_id).SerializeToString()
        self.results[index] = RowResult(Outcome.FAILED, external_id=self.rows[index].external_id, error=status)

    def refuse(self, error: SutlerError, rows: Sequence[int], *, last: bool) -> None:
        """Notes which of some rows the ERP has refused.

        Args:
            error: What the ERP said of all of them.
            rows: Those that it was asked for, in the order in which it counts them.
            last: Whether it was asked twice: then those that it did not name have failed too.
        """
        named = faults.of_rows(error)
        for place, wrong in named.items():
            self.fail(rows[place], wrong)
        if last or not named:
            together = faults.refused_together(error.metadata.get("model", ""), [rows[place] for place in named])
            for index in rows:
                if index not in self.results:
                    self.fail(index, together if named else error)

    def written(self) -> Iterable[int]:
        """Returns the records that were created or changed."""
        done = (Outcome.CREATED, Outcome.UPDATED)
        return [one.record_id for one in self.results.values() if one.outcome in done and one.record_id]

    def in_order(self) -> list[RowResult]:
        """Returns the results in the order of the rows; each row has one."""
        return [self.results[index] for index in self.rows]
