"""What each kind of step has in common: where it works, and how it is checked, taken, looked for and undone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from sutler.context import Principal

from services.erp import faults
from services.erp.attempts import Attempt
from services.erp.caching import Answers
from services.erp.connections import ErpContext
from services.erp.journal import Entry
from services.erp.links import Link
from services.erp.ports import KeyStore
from services.erp.reach import noting
from services.erp.schemas import ModelSchema
from services.erp.selecting import SchemaSource
from services.erp.transactions.model import Step, StepSpec
from services.erp.users import Ask


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a step works.

    Attributes:
        link: The connection.
        ask: As whom the ERP is asked.
        principal: For whom.
        context: The context that the caller gave.
        entry: The transaction.
        answers: The cache.
        keys: Keeps other writes away from the keys of creates.
        reachable: Gives the models behind relations; while steps are checked it refuses those that may not be reached.
        related: The models behind relations of which records are written too.
        known: Values of records that were read under their locks and that no earlier step has written.
    """

    link: Link
    ask: Ask
    principal: Principal
    context: ErpContext | None
    entry: Entry
    answers: Answers
    keys: KeyStore
    reachable: SchemaSource
    related: set[str] = field(default_factory=set)
    known: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def schemas(self) -> SchemaSource:
        """Gives models behind relations, and notes them as related."""
        return noting(self.reachable, self.related)

    async def schema(self, model: str) -> ModelSchema:
        """Returns the model that a step writes."""
        return await self.link.catalogue.schema(self.ask, model)

    def attempt(self, *, again: bool = False, keys: Sequence[str] = ()) -> Attempt:
        """Returns one write, for what is known of lost answers."""
        return Attempt(replace(self.entry, keys=tuple(keys)), again=again)

    async def read(self, schema: ModelSchema, ids: Sequence[int], names: Sequence[str]) -> list[dict[str, Any]]:
        """Returns values of records in the order of ``ids``.

        Raises:
            NotFound: If one does not exist or is hidden.
        """
        rows = await self.link.driver.read(self.ask, schema, ids, list(names) or ["id"], binaries=True)
        found = {row.id: row.values for row in rows}
        missing = [one for one in ids if one not in found]
        if missing:
            raise faults.record_missing(self.link.name, schema.name, missing)
        return [{name: found[one].get(name) for name in names} for one in ids]


class Act(Protocol):
    """A step that is ready to be taken; nothing was written for it yet, or maybe by an earlier try."""

    @property
    def step(self) -> Step:
        """The step, with what must be in the journal before the ERP is asked."""
        ...

    async def take(self) -> Step:
        """Asks the ERP and returns the step with what came of it.

        Raises:
            AnswerLostError: If it is not known whether the ERP did it.
            SutlerError: Why the ERP did not do it.
        """
        ...

    async def look(self) -> Step | None:
        """Returns the step with what came of it if the ERP has done it already, else None."""
        ...


@dataclass(frozen=True, slots=True)
class Way:
    """How one kind of step is made.

    Attributes:
        check: Checks a step before anything is written, and returns why it could not be undone; empty if it could.
        ready: Makes a step ready, for a first try or another one.
        undo: Undoes a step, maybe once more after a try whose outcome is not known.
    """

    check: Callable[[Scene, StepSpec], Awaitable[str]]
    ready: Callable[[Scene, Step], Awaitable[Act]]
    undo: Callable[[Scene, Step, bool], Awaitable[None]]


def ids_of(spec: StepSpec) -> tuple[int, ...]:
    """Returns the ids of a step whose references were replaced."""
    return tuple(int(one) for one in spec.targets)
