"""What an import is, and what the domain needs of its store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from sutler.etags import make_etag

from services.erp.connections import ErpContext
from services.erp.feed.model import Touch

MAX_SHOWN = 100
"""How many failed rows are shown."""


class State(StrEnum):
    """The life of an import; the names are those of the contract."""

    RUNNING = "RUNNING"
    INTERRUPTED = "INTERRUPTED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        """Whether nothing can follow."""
        return self in (State.SUCCEEDED, State.FAILED)


class Mode(StrEnum):
    """How rows become records; the names are those of the contract."""

    CREATE = "CREATE"
    UPSERT = "UPSERT"


class Outcome(StrEnum):
    """What was done with a row; the names are those of the contract, and empty if it failed."""

    FAILED = ""
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSpec:
    """What a caller decides about an import. The attributes are those of the contract's first message."""

    model: str
    mode: Mode = Mode.CREATE
    key_fields: tuple[str, ...] = ()
    max_failed_rows: int = 0
    validate_only: bool = False
    context: ErpContext | None = None


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of one row.

    Attributes:
        outcome: What was done.
        record_id: The record; 0 if the row failed or was only checked.
        external_id: The caller's own key for it.
        error: The serialised status if it failed.
    """

    outcome: Outcome
    record_id: int = 0
    external_id: str = ""
    error: bytes = b""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the ERP may have been asked for before: it is stored before the ERP is asked.

    Attributes:
        until: Rows below this index may have been written.
        taken: Rows of these whose own external id another record had before.
        unkeyed: Rows of these without a key: the entry of the journal that tells of each, and its place in it.
    """

    until: int = 0
    taken: frozenset[int] = frozenset()
    unkeyed: Mapping[int, tuple[str, int]] = field(default_factory=dict)

    def extended(self, until: int, taken: frozenset[int]) -> Asked:
        """Returns what will have been asked when rows up to an index are written too."""
        return replace(self, until=max(self.until, until), taken=self.taken | taken)

    def noted(self, until: int, places: Mapping[int, tuple[str, int]]) -> Asked:
        """Returns what will have been asked when rows without a key are written too."""
        return replace(self, until=max(self.until, until), unkeyed={**self.unkeyed, **places})

    def since(self, index: int) -> Asked:
        """Returns what is still needed when all rows below an index have results."""
        return Asked(
            self.until,
            frozenset(one for one in self.taken if one >= index),
            {one: place for one, place in self.unkeyed.items() if one >= index},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One import. The attributes are those of the contract; times in epoch seconds.

    Attributes:
        connection: The id of the connection.
        asked: What the ERP may have been asked for.
        username: The login in the ERP as which its rows are written.
        error: The serialised status that it ended with; empty if it did not, or after success.
        failed_rows: The first rows that failed, by index; only where an import is shown.
        revision: Counts its changes.
    """

    tenant: str
    connection: str
    connection_uid: str
    id: str
    uid: str
    spec: ImportSpec
    state: State = State.RUNNING
    next_index: int = 0
    created_count: int = 0
    updated_count: int = 0
    unchanged_count: int = 0
    failed_count: int = 0
    asked: Asked = Asked()
    create_time: float = 0.0
    update_time: float = 0.0
    end_time: float | None = None
    creator: str = ""
    username: str = ""
    correlation_id: str = ""
    error: bytes = b""
    revision: int = 1
    failed_rows: tuple[tuple[int, RowResult], ...] = ()

    @property
    def name(self) -> str:
        """The resource name."""
        return f"connections/{self.connection}/imports/{self.id}"

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return make_etag(self.uid, self.revision)

    def after(self, results: Sequence[RowResult]) -> Import:
        """Returns the import when the next rows have results."""
        counts = {outcome: sum(one.outcome is outcome for one in results) for outcome in Outcome}
        index = self.next_index + len(results)
        return replace(
            self,
            next_index=index,
            created_count=self.created_count + counts[Outcome.CREATED],
            updated_count=self.updated_count + counts[Outcome.UPDATED],
            unchanged_count=self.unchanged_count + counts[Outcome.UNCHANGED],
            failed_count=self.failed_count + counts[Outcome.FAILED],
            asked=self.asked.since(index),
        )


@dataclass(slots=True)
class Held:
    """An import that this stream alone feeds.

    Attributes:
        now: The import as it is stored.
        fence: The fencing number of the lease.
    """

    now: Import
    fence: int


class ImportStore(Protocol):
    """Imports and the results of their rows.

    Every method raises Unavailable if the store does not answer; changes of a held import raise Conflict (LEASE_LOST)
    if it is held no more.
    """

    def hold(self, new: Import) -> AbstractAsyncContextManager[Held]:
        """Holds the import of a name, or stores a new one and holds it.

        Raises:
            Conflict: If another stream feeds it (OPERATION_IN_PROGRESS).
        """
        ...

    async def ask(self, held: Held, asked: Asked) -> None:
        """Notes what the ERP will be asked for."""
        ...

    async def put(self, held: Held, results: Sequence[RowResult], touched: Sequence[Touch]) -> None:
        """Stores the results of the next rows and tells the feeds which records were written."""
        ...

    async def results(self, one: Import, first: int, last: int) -> list[RowResult]:
        """Returns the results of rows from ``first`` up to, but not including, ``last``."""
        ...

    async def end(self, held: Held, state: State, error: bytes = b"") -> None:
        """Ends an import."""
        ...

    async def get(self, tenant: str, connection_id: str, import_id: str) -> Import:
        """Returns an import with its first failed rows, as INTERRUPTED if no stream feeds it.

        Raises:
            NotFound: If there is none of that name.
        """
        ...
