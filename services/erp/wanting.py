"""What a caller wants to know of records, and how it comes to see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.erp.connections import ErpContext
from services.erp.links import Link
from services.erp.records import EXTERNAL_ID, FieldSet, Tree
from services.erp.schemas import ModelSchema
from services.erp.selecting import SchemaSource, Selector, select
from services.erp.users import Ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a caller wants to know of records.

    Attributes:
        model: Their model.
        fields: Paths; only the display name if empty.
        binaries: Whether to read binaries in full.
        context: Language, time zone, companies.
        max_staleness: The greatest age in seconds of what a cache may answer; None for what the policies say.
        allow_stale: Whether an older answer will do if the ERP does not answer.
        permission: What the caller needs for each model; what the called method needs if empty.
    """

    model: str
    fields: tuple[str, ...] = ()
    binaries: bool = False
    context: ErpContext | None = None
    max_staleness: float | None = None
    allow_stale: bool = False
    permission: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """How one caller reads one model.

    Attributes:
        link: The connection.
        ask: As whom.
        schema: The model.
        tree: The fields.
        covers: What the etags cover.
        reachable: Gives the models behind relations; refuses those that the caller may not reach.
        models: The models behind relations that an answer is made of, as far as they were asked for.
        made_of: Those of them of which any record may change an answer, such as the lines of which a total is made.
    """

    link: Link
    ask: Ask
    schema: ModelSchema
    tree: Tree
    covers: FieldSet
    reachable: SchemaSource
    models: set[str] = field(default_factory=set)
    made_of: frozenset[str] = frozenset()

    @property
    def columns(self) -> list[str]:
        """The fields of the model itself."""
        return [name for name in self.tree.names() if name != EXTERNAL_ID or name in self.schema.fields]

    @property
    def names_external(self) -> bool:
        """Whether external ids are asked for."""
        return EXTERNAL_ID in self.tree.below and EXTERNAL_ID not in self.schema.fields

    async def select(self, *, filter: str = "", domain: Sequence[Any] = (), archived: bool = False) -> Selector:
        """Returns which records a caller asks for, checked: the fields, and the models that they lead through.

        Raises:
            Invalid: With FILTER_INVALID, DOMAIN_INVALID or FIELD_NOT_FOUND.
            PermissionDenied: If the caller may not reach one of the models.
        """
        if domain:
            await self.link.driver.follow(self.schema, domain, self.reachable)
        return await select(self.schema, self.reachable, filter=filter, domain=domain, archived=archived)
