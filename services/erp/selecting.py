"""Which records: filters over fields that only the ERP knows, raw domains, ids and windows of time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sutler.errors import Invalid, invalid
from sutler.filtering import Field, Filter, Kind, Ref, Schema, parse
from sutler.paging import Order, parse_order_by

from services.erp.records import EXTERNAL_ID
from services.erp.schemas import NUMBERS, TEXTS, FieldType, ModelField, ModelSchema

SchemaSource = Callable[[str], Awaitable[ModelSchema]]
"""Gives the schema of a model, from a cache or from the ERP."""

Path = tuple[str, ...]

MAX_HOPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which records of a model; everything that is set must hold.

    Attributes:
        filter: A filter, with the fields that its paths lead through in ``paths``.
        paths: For each path of the filter, the fields along it.
        domain: The ERP's own raw domain.
        archived: Whether archived records count.
        ids: Only these.
        after_id: Only those with a larger id.
        since: Only those that changed at this time or later, in epoch seconds by the ERP's clock.
        until: Only those that changed before this time.
    """

    filter: Filter | None = None
    paths: Mapping[Path, tuple[ModelField, ...]] = field(default_factory=dict)
    domain: tuple[Any, ...] = ()
    archived: bool = False
    ids: tuple[int, ...] | None = None
    after_id: int | None = None
    since: float | None = None
    until: float | None = None

    @property
    def bounded(self) -> bool:
        """Whether a filter or a domain leaves records out."""
        return bool(self.domain) or (self.filter is not None and bool(self.filter.text.strip()))


class _ErpFields(Schema):
    """The fields of a model and of those that it leads to, as far as their schemas are loaded."""

    def __init__(self, root: ModelSchema) -> None:
        super().__init__({})
        self.loaded = {root.name: root}
        self.wanted: set[str] = set()
        self.paths: dict[Path, tuple[ModelField, ...]] = {}
        self._root = root

    def find(self, path: Path) -> Ref | None:
        """Returns the field at a path; None if there is none, or if a schema is not loaded (see ``wanted``)."""
        if path == (EXTERNAL_ID,) and EXTERNAL_ID not in self._root.fields:
            return Ref(path, Field(Kind.STRING, "erp"))
        hops = self._walk(path)
        kind = kind_of(hops[-1]) if hops else None
        if kind is None:
            return None
        self.paths[path] = hops
        return Ref(path, Field(kind, "erp"))

    def _walk(self, path: Path) -> tuple[ModelField, ...]:
        schema: ModelSchema | None = self._root
        hops: list[ModelField] = []
        for part in path:
            known = schema.fields.get(part) if schema else None
            if known is None or len(hops) == MAX_HOPS:
                return ()
            hops.append(known)
            schema = self.loaded.get(known.relation)
            if schema is None and known.related and len(hops) < len(path):
                self.wanted.add(known.relation)
        return tuple(hops)


def kind_of(known: ModelField) -> Kind | None:
    """Returns what a field is to a filter; None if filters cannot name it."""
    if not known.searchable:
        return None
    if known.type in TEXTS or known.type is FieldType.DATE:
        return Kind.STRING
    if known.type is FieldType.INTEGER or known.related:
        return Kind.INT
    if known.type in NUMBERS:
        return Kind.DOUBLE
    if known.type is FieldType.BOOLEAN:
        return Kind.BOOL
    return Kind.TIME if known.type is FieldType.DATETIME else None


async def select(
    schema: ModelSchema,
    schemas: SchemaSource,
    *,
    filter: str = "",
    domain: Sequence[Any] = (),
    archived: bool = False,
) -> Selector:
    """Reads and checks a filter over the model's fields, also dotted ones.

    Raises:
        Invalid: If the filter is wrong or names an unknown field (FILTER_INVALID).
        SutlerError: If the schema of a related model cannot be had.
    """
    fields = _ErpFields(schema)
    while True:
        try:
            parsed = parse(filter, fields)
        except Invalid:
            if not fields.wanted:
                raise
            for model in fields.wanted:
                fields.loaded[model] = await schemas(model)
            fields.wanted = set()
        else:
            return Selector(filter=parsed, paths=fields.paths, domain=tuple(domain), archived=archived)


def parse_order(text: str, schema: ModelSchema) -> tuple[Order, ...]:
    """Parses ``order_by`` over the fields that the ERP can order by; the id always comes last.

    Raises:
        Invalid: If a field is unknown or has no order (ORDER_BY_INVALID).
    """
    sortable: Collection[str] = {"id", *(name for name, known in schema.fields.items() if known.sortable)}
    return parse_order_by(text, sortable, [Order("id")])


def check_domain_size(domain: Sequence[Any]) -> None:
    """Refuses domains that nest deeper than any that means something.

    Raises:
        Invalid: If lists nest more than ten levels (DOMAIN_INVALID).
    """

    def depth(value: Any) -> int:
        return 1 + max((depth(item) for item in value), default=0) if isinstance(value, list | tuple) else 0

    if depth(domain) > 10:
        raise invalid("domain", "nests deeper than 10 levels", reason="DOMAIN_INVALID", metadata={"cause": "depth"})
