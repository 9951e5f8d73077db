"""What the domain needs of a driver, which speaks to an ERP."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from sutler.errors import invalid
from sutler.paging import Order

from services.erp.aggregates import Aggregation, Group
from services.erp.connections import Connection, ErpContext
from services.erp.customers.view import CustomerView
from services.erp.gate import Gate
from services.erp.records import Row
from services.erp.schemas import ErpUser, Model, ModelRights, ModelSchema
from services.erp.selecting import SchemaSource, Selector
from services.erp.subscriptions import Transition
from services.erp.users import Ask


class Capability(StrEnum):
    """What a driver can do beyond reading and writing records; the names are those of the contract."""

    CREATE_KEYS = "CREATE_KEYS"
    ATOMIC_ETAG = "ATOMIC_ETAG"
    EXTERNAL_IDS = "EXTERNAL_IDS"
    ARCHIVING = "ARCHIVING"
    AGGREGATES = "AGGREGATES"
    CHANGE_FEED = "CHANGE_FEED"
    CUSTOMER_VIEWS = "CUSTOMER_VIEWS"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverInfo:
    """What a driver says of itself. The attributes are those of the contract's Driver, and ``context_keys``: which keys
    of the ERP's own context stand for which fields of an ErpContext."""

    driver: str
    display_name: str
    erp_versions: str
    capabilities: tuple[Capability, ...] = ()
    options_schema: Mapping[str, Any] = field(default_factory=dict)
    context_keys: Mapping[str, str] = field(default_factory=dict)

    def check_context(self, context: ErpContext, place: str) -> None:
        """Checks that ``extra`` has nothing that has a field of its own, past which checks and etags would not see it.

        Raises:
            Invalid: If it has (CONTEXT_INVALID).
        """
        for key, name in self.context_keys.items():
            if key in context.extra:
                where = f"{place}.extra.{key}"
                told = {"field": where, "value": str(context.extra[key])[:200]}
                raise invalid(where, f"has a field of its own: {place}.{name}", reason="CONTEXT_INVALID", metadata=told)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Values that were checked and are in the ERP's own forms.

    Attributes:
        values: What the driver writes.
        repeatable: Whether writing them twice is the same as once; not so if they create related records.
        keyed: Whether a create of them can carry a key; then ``cells`` has them in the form that this needs.
        cells: The driver's own.
        shape: What the rows of one keyed create have in common; rows of other shapes need a create of their own.
    """

    values: Mapping[str, Any]
    repeatable: bool = True
    keyed: bool = False
    cells: Any = None
    shape: Hashable = None


class Driver(Protocol):
    """Speaks to one ERP. Reads that get no answer raise Unavailable and may be repeated; writes see below.

    Every method that asks the ERP raises SutlerErrors with the reasons of the contract. ``create``, ``write``,
    ``archive``, ``delete`` and ``call`` raise :class:`services.erp.faults.AnswerLostError` where the ERP was asked and
    did not answer, so that it may have done what was asked; Unavailable means that it has not.

    Attributes:
        info: What it can do.
    """

    info: DriverInfo

    @property
    def clock_skew(self) -> float | None:
        """How many seconds the ERP's clock is ahead; None if it has not told."""
        ...

    @property
    def server_version(self) -> str:
        """The version as the ERP names itself; empty until it told."""
        ...

    async def log_in(self, ask: Ask, *, anew: bool = False) -> int:
        """Logs in, unless that is remembered, and returns the user's id in the ERP."""
        ...

    async def version(self) -> str:
        """Returns the ERP's version as it names itself."""
        ...

    async def user(self, ask: Ask) -> ErpUser:
        """Returns the user as which ``ask`` works: a small call."""
        ...

    async def databases(self) -> list[str]:
        """Returns the server's databases; none where it does not tell."""
        ...

    async def rights(self, ask: Ask, model: str) -> ModelRights:
        """Returns what the user may do with a model."""
        ...

    async def models(self, ask: Ask) -> list[Model]:
        """Returns the models that the user may read, by name."""
        ...

    async def model(self, ask: Ask, model: str) -> Model | None:
        """Returns one of them with its title, in a call or two; None if the ERP does not list it."""
        ...

    async def schema(self, ask: Ask, model: str) -> ModelSchema:
        """Returns a model with its fields."""
        ...

    async def read(
        self, ask: Ask, schema: ModelSchema, ids: Sequence[int], fields: Sequence[str], *, binaries: bool = False
    ) -> list[Row]:
        """Reads records, archived ones too; those that do not exist are left out.

        Raises:
            PermissionDenied: If one of them is hidden (ERP_ACCESS_DENIED), unless the ERP leaves those out too.
        """
        ...

    async def search(
        self,
        ask: Ask,
        schema: ModelSchema,
        selector: Selector,
        *,
        fields: Sequence[str] = (),
        order: Sequence[Order] = (Order("id"),),
        offset: int = 0,
        limit: int = 0,
        binaries: bool = False,
    ) -> Sequence[Row]:
        """Finds and reads records, all of them if ``limit`` is 0."""
        ...

    async def count(self, ask: Ask, schema: ModelSchema, selector: Selector, limit: int = 0) -> int:
        """Counts records, up to ``limit`` if it is not 0."""
        ...

    async def aggregate(
        self,
        ask: Ask,
        schema: ModelSchema,
        selector: Selector,
        wanted: Aggregation,
        *,
        offset: int = 0,
        limit: int = 0,
    ) -> list[Group]:
        """Computes figures over groups of records, in order; all groups if ``limit`` is 0.

        Raises:
            Unimplemented: For what the ERP cannot compute.
        """
        ...

    async def names(self, ask: Ask, schema: ModelSchema, query: str, selector: Selector, limit: int) -> list[Row]:
        """Finds records by what people type, in the ERP's order; rows have ids and display names."""
        ...

    async def follow(self, schema: ModelSchema, domain: Sequence[Any], schemas: SchemaSource) -> None:
        """Asks ``schemas`` for every model that a raw domain leads to, so that it may refuse what must not be reached.

        Raises:
            Invalid: If the domain is malformed (DOMAIN_INVALID) or names an unknown field (FIELD_NOT_FOUND).
            SutlerError: What ``schemas`` raises.
        """
        ...

    async def find_external(self, ask: Ask, model: str, external_id: str) -> int | None:
        """Returns the record behind an external id; None if there is none of this model."""
        ...

    async def find_externals(self, ask: Ask, model: str, external_ids: Sequence[str]) -> dict[str, int]:
        """Returns the records behind external ids, of those that are records of this model."""
        ...

    def same_key(self, external_id: str) -> str:
        """Returns an external id in the one form that all of its spellings share."""
        ...

    async def external_ids(self, ask: Ask, model: str, ids: Sequence[int]) -> dict[int, str]:
        """Returns the external ids of records, of those that have one."""
        ...

    async def prepare(
        self, ask: Ask, schema: ModelSchema, values: Mapping[str, Any], schemas: SchemaSource
    ) -> Prepared:
        """Checks values and brings them into the ERP's own forms; asks the ERP only to resolve external ids.

        Asks ``schemas`` for every model whose records the values change, so that it may refuse.

        Raises:
            Invalid: With a violation for every value that does not fit (FIELD_NOT_FOUND, VALUE_INVALID).
        """
        ...

    async def create(
        self, ask: Ask, schema: ModelSchema, rows: Sequence[Prepared], keys: Sequence[str] = ()
    ) -> list[int]:
        """Creates records, all or none, and returns their ids in order.

        Args:
            ask: As whom.
            schema: The model.
            rows: The records; with keys, all of one shape.
            keys: One external id for each; none if empty.
        """
        ...

    async def stamps(self, ask: Ask, schema: ModelSchema, ids: Sequence[int]) -> Mapping[int, str]:
        """Returns what names the present versions of records; nothing without ATOMIC_ETAG."""
        ...

    async def write(
        self,
        ask: Ask,
        schema: ModelSchema,
        ids: Sequence[int],
        prepared: Prepared,
        *,
        stamps: Mapping[int, str] | None = None,
    ) -> None:
        """Changes values of records, with ``stamps`` only if they are still of these versions.

        Raises:
            Conflict: If one is not (ETAG_MISMATCH).
        """
        ...

    async def archive(self, ask: Ask, schema: ModelSchema, ids: Sequence[int], *, archived: bool = True) -> None:
        """Archives records of a model that has an ``archive_field``, or brings them back; twice is the same as once."""
        ...

    async def delete(
        self, ask: Ask, schema: ModelSchema, ids: Sequence[int], *, stamps: Mapping[int, str] | None = None
    ) -> None:
        """Deletes records for good; with ``stamps`` as :meth:`write`."""
        ...

    async def call(
        self,
        ask: Ask,
        model: str,
        method: str,
        ids: Sequence[int],
        positional: Sequence[Any],
        named: Mapping[str, Any],
    ) -> Any:
        """Calls a method and returns its answer as JSON data; None where it answers nothing."""
        ...

    def view(self, schema: ModelSchema) -> tuple[str, ...]:
        """Returns the fields of the driver's own view of a model, also dotted ones."""
        ...

    def entity(self, model: str) -> str:
        """Returns the first part of the types of a model's events, such as ``order``."""
        ...

    def transitions(self, model: str) -> tuple[Transition, ...]:
        """Returns which changes of a model have an event of their own."""
        ...

    def customer_view(self) -> CustomerView | None:
        """Returns where customers and their orders are; None if the driver does not know (CUSTOMER_VIEWS)."""
        ...

    def duplicate_key(self, error: Exception) -> bool:
        """Returns whether a create failed because its key was stored meanwhile, by an earlier try."""
        ...

    async def close(self) -> None:
        """Closes network connections."""
        ...


MakeDriver = Callable[[Connection, Gate], Driver]
"""Makes the driver of a connection; each network call takes its turn at the gate."""
