"""The environment of one call: who asks, in which context, at what time, inside which transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

from services.erp.sandbox.schema.models import Model, Registry, Role

if TYPE_CHECKING:
    from services.erp.sandbox.orm.behaviour import Behaviour

SECONDS = "%Y-%m-%d %H:%M:%S"
MICROSECONDS = "%Y-%m-%d %H:%M:%S.%f"


@dataclass(frozen=True, slots=True)
class User:
    """The caller. `role` stands for the groups of a real server."""

    id: int
    login: str
    name: str
    role: Role
    partner_id: int
    company_id: int
    lang: str
    tz: str | None


@dataclass(frozen=True, slots=True)
class Write:
    """One successful change, for the write log."""

    model: str
    method: str
    ids: tuple[int, ...]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Env:
    """Everything that an operation needs.

    `now` is when the call began, not when it commits: it is what `write_date` gets, as in PostgreSQL, so a row may
    become visible well after the time that it bears.
    """

    connection: Connection
    registry: Registry
    behaviours: Mapping[str, "Behaviour"]
    user: User
    now: datetime
    context: Mapping[str, Any] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)

    def model(self, name: str) -> Model:
        """Return the model; UserError if there is none of that name."""
        return self.registry[name]

    def behaviour(self, model: Model) -> "Behaviour":
        """Return what the model does beyond the common operations."""
        return self.behaviours[model.name]

    def with_context(self, **context: Any) -> "Env":
        """Return the same environment with additions to the context."""
        return replace(self, context={**self.context, **context})

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query and return all rows."""
        return self.connection.execute(sql, params).fetchall()

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run a query and return the first column of the first row, or None."""
        row = self.connection.execute(sql, params).fetchone()
        return None if row is None else row[0]

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run a statement and return the id of the inserted row, if it inserted one."""
        return self.connection.execute(sql, params).lastrowid or 0

    @property
    def stamp(self) -> str:
        """The time of the call as it is stored, with microseconds."""
        return self.now.strftime(MICROSECONDS)

    @property
    def second(self) -> str:
        """The time of the call cut to seconds."""
        return self.now.strftime(SECONDS)
