"""A transaction: its entry in the journal and its steps, each one call to the ERP, with what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from services.erp.connections import ErpContext
from services.erp.journal import Entry, Kind, State

ENDED = frozenset({State.SUCCEEDED, State.UNDONE, State.UNDO_FAILED, State.OUTCOME_UNKNOWN})
"""The states in which nothing more happens to a transaction."""


class StepState(StrEnum):
    """The life of a step; the names are those of the contract."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    UNDOING = "UNDOING"
    UNDONE = "UNDONE"
    UNDO_FAILED = "UNDO_FAILED"
    SKIPPED = "SKIPPED"


class CreateUndo(StrEnum):
    """How a create is undone; the names are those of the contract."""

    UNSPECIFIED = "UNSPECIFIED"
    DELETE = "DELETE"
    ARCHIVE = "ARCHIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCall:
    """A method with its arguments after the ids."""

    method: str
    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """What a step writes, in one call to the ERP: one record, or as many as a batch writes alike.

    Attributes:
        step_id: Names it in references and errors.
        kind: What it does.
        model: The model that it writes.
        targets: The ids of its records, or references such as ``${steps.order.id}``; a create has none.
        values: Of a create those of each record; of an update the ones that all its records get.
        external_ids: Of a create the caller's own key of each record, empty where there is none.
        etags: For each target the etag that it must still have; empty where there is none.
        undo: How a create is undone.
        permanent: Whether a delete is for good.
        call: The method of a call.
        undo_call: The method that undoes the call, on the same records.
        rows: Of a batch, the row of each record, counted from 0.
        last: Whether no step follows, so that it is never undone.
    """

    step_id: str
    kind: Kind
    model: str
    targets: tuple[int | str, ...] = ()
    values: tuple[Mapping[str, Any], ...] = ()
    external_ids: tuple[str, ...] = ()
    etags: tuple[str, ...] = ()
    undo: CreateUndo = CreateUndo.UNSPECIFIED
    permanent: bool = False
    call: MethodCall | None = None
    undo_call: MethodCall | None = None
    rows: tuple[int, ...] = ()
    last: bool = False

    @property
    def step_ids(self) -> tuple[str, ...]:
        """The ids under which callers read of it: one for each row of a batch, which are counted from 1."""
        return tuple(str(row + 1) for row in self.rows) or (self.step_id,)

    @property
    def size(self) -> int:
        """How many records it writes; 1 for a method of the model itself."""
        return max(1, len(self.values) if self.kind is Kind.CREATE else len(self.targets))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step and what became of it.

    Attributes:
        spec: What it writes.
        position: Its place among the steps, from 0.
        state: Where it stands.
        record_ids: Its records, once they are known.
        keys: The external ids that the records of a create carry.
        repeatable: Whether it can be found out, or does not matter, whether the ERP did it.
        old_values: What an update found, for each record; empty if it need not be undone.
        new_values: What it left, for each record; empty where that is what was written.
        result: What a method answered.
        error: The serialised status that it failed with; empty if it did not.
        undo_error: The same of its undo.
        start_time: When the ERP was first asked, in epoch seconds.
        end_time: When it ended, before any undo.
        undo_time: When its undo ended.
    """

    spec: StepSpec
    position: int
    state: StepState = StepState.PENDING
    record_ids: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    repeatable: bool = True
    old_values: tuple[Mapping[str, Any], ...] = ()
    new_values: tuple[Mapping[str, Any], ...] = ()
    result: Any = None
    error: bytes = b""
    undo_error: bytes = b""
    start_time: float | None = None
    end_time: float | None = None
    undo_time: float | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """An entry of the journal with its steps; an entry of a single write has none."""

    entry: Entry
    steps: tuple[Step, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.entry.state in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Several writes that a caller wants. The attributes are those of the contract's RunTransactionRequest.

    ``byte_size`` is that of the steps on the wire.
    """

    steps: tuple[StepSpec, ...]
    transaction_id: str = ""
    detached: bool = False
    context: ErpContext | None = None
    validate_only: bool = False
    byte_size: int = 0
