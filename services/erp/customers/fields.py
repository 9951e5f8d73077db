"""The fields of customers by the names of the contract: in filters and orders, as those of the driver's model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sutler.filtering import And, Compare, Field, Filter, Kind, Node, Not, Op, Or, Ref, Schema, Type, parse
from sutler.paging import Order, parse_order_by

from services.erp.customers.view import CustomerView
from services.erp.schemas import ModelField, ModelSchema
from services.erp.selecting import Path, SchemaSource, Selector, kind_of

ARCHIVED = "archived"


def field_paths(view: CustomerView) -> dict[str, str]:
    """Returns where each field of the contract's Customer is in the driver's model."""
    named = {
        "id": "id",
        "display_name": view.searched[0],
        "email": view.email,
        "phone": view.phone,
        "reference": view.reference,
        "tax_id": view.tax_id,
        "country_code": view.country,
        "language": view.language,
        "company": view.company,
        "create_time": "create_date",
        "update_time": "write_date",
    }
    return {name: path for name, path in named.items() if path}


class _CustomerFields(Schema):
    """What a filter over customers may name."""

    def __init__(self, known: dict[str, tuple[ModelField, ...]], *, archivable: bool) -> None:
        super().__init__({})
        self.paths: dict[Path, tuple[ModelField, ...]] = {}
        self._known = known
        self._archivable = archivable

    def find(self, path: Path) -> Ref | None:
        """Returns the driver's field behind a field of the contract; None if there is none."""
        if path == (ARCHIVED,) and self._archivable:
            return Ref(path, Field(Kind.BOOL, "erp"))
        hops = self._known.get(".".join(path), ())
        kind = kind_of(hops[-1]) if hops else None
        if kind is None:
            return None
        own = tuple(hop.field for hop in hops)
        self.paths[own] = hops
        return Ref(own, Field(kind, "erp"))


async def select_customers(view: CustomerView, schema: ModelSchema, schemas: SchemaSource, filter: str) -> Selector:
    """Returns which customers a filter over the contract's fields selects; archived ones if it asks for them.

    Raises:
        Invalid: If it is wrong or names a field that this ERP's customers do not have (FILTER_INVALID).
        SutlerError: If the schema of a related model cannot be had.
    """
    known: dict[str, tuple[ModelField, ...]] = {}
    for name, path in field_paths(view).items():
        known[name] = await _hops(path, schema, schemas)
    fields = _CustomerFields(known, archivable=view.active in schema.fields)
    parsed = parse(filter, fields)
    root = _told(parsed.root, view.active)
    if root == parsed.root:
        return Selector(filter=parsed, paths=fields.paths)
    paths = fields.paths | {(view.active,): (schema.fields[view.active],)}
    return Selector(filter=Filter(parsed.text, root), paths=paths, archived=True)


def order_customers(view: CustomerView, schema: ModelSchema, text: str) -> tuple[Order, ...]:
    """Parses ``order_by`` over the contract's fields, as an order over the driver's; the id always comes last.

    Raises:
        Invalid: If a field is unknown or has no order (ORDER_BY_INVALID).
    """
    paths = field_paths(view)
    sortable: Collection[str] = {
        name for name, path in paths.items() if path == "id" or (path in schema.fields and schema.fields[path].sortable)
    }
    return tuple(Order(paths[one.field], one.descending) for one in parse_order_by(text, sortable, [Order("id")]))


async def _hops(path: str, schema: ModelSchema, schemas: SchemaSource) -> tuple[ModelField, ...]:
    """Returns the fields along a path; none if this ERP does not have one of them, or it ends at a relation."""
    hops: list[ModelField] = []
    for step in path.split("."):
        known = (await schemas(hops[-1].relation) if hops else schema).fields.get(step)
        if known is None:
            return ()
        hops.append(known)
    return () if hops[-1].related else tuple(hops)


def _told(node: Node, active: str) -> Node:
    """Returns the filter with ``archived`` in the ERP's words: not active."""
    match node:
        case And(terms) | Or(terms):
            return type(node)(tuple(_told(term, active) for term in terms))
        case Not(term):
            return Not(_told(term, active))
        case Compare(ref, Op.EQ, value) if ref.path == (ARCHIVED,):
            return replace(node, ref=Ref((active,), ref.field), value=not value, type=Type.BOOL)
    return node
