"""Conditions in SQL: what a domain's tree means for the rows of a table.

The rules about empty values are those of Odoo 18: `!=`, `not in` and `not like` match empty fields; an empty number
counts as zero and an empty text as the empty text.
"""

from typing import Any

from services.erp.sandbox.errors import BadValue, UnknownKey
from services.erp.sandbox.orm import access
from services.erp.sandbox.orm.columns import column_sql
from services.erp.sandbox.orm.comparisons import compare
from services.erp.sandbox.orm.domain import (
    NEGATIVE,
    OPPOSITES,
    Constant,
    Junction,
    Leaf,
    Node,
    Not,
    Related,
    names_field,
    parse,
)
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.sql import FALSE, TRUE, Sql, joined, one_of
from services.erp.sandbox.schema.fields import Field
from services.erp.sandbox.schema.models import Model

TREE_OPERATORS = ("child_of", "parent_of")


def visible(env: Env, model: Model, node: Node, alias: str) -> Sql:
    """Return the condition for the rows that fulfil `node`, are active unless asked otherwise, and may be seen."""
    parts = [to_sql(env, model, node, alias)]
    if "active" in model.fields and env.context.get("active_test", True) and not names_field(node, "active"):
        parts.append(Sql(f"{alias}.active = 1"))
    rule = access.record_rule(env, model)
    if rule:
        parts.append(to_sql(env, model, parse(env.registry, model, rule), alias))
    return joined(" AND ", parts)


def selected(env: Env, model: Model, node: Node, alias: str, column: str = "id") -> Sql:
    """Return a subselect of `column` for the visible rows that fulfil `node`."""
    where = visible(env, model, node, alias)
    return Sql(f"SELECT {alias}.{column} FROM {model.table} {alias} WHERE {where.text}", where.params)


def to_sql(env: Env, model: Model, node: Node, alias: str) -> Sql:
    """Return the condition in SQL for the table that goes by `alias`."""
    match node:
        case Constant(value):
            return TRUE if value else FALSE
        case Not(inner):
            negated = to_sql(env, model, inner, alias)
            return Sql(f"NOT ({negated.text})", negated.params)
        case Junction(operator, nodes):
            parts = [to_sql(env, model, inner, alias) for inner in nodes]
            return joined(" AND " if operator == "&" else " OR ", parts)
        case Related(name, condition, negated):
            return _related(env, model, name, condition, negated, alias)
        case Leaf():
            return _leaf(env, model, node, alias)


def _related(env: Env, model: Model, name: str, condition: Node, negated: bool, alias: str) -> Sql:
    field = model.fields[name]
    if not field.to_many:
        records = _subselect(env, field, condition, alias)
        return _refers(column_sql(env, model, name, alias), records, negated)
    if field.only:
        condition = Junction("&", (parse(env.registry, env.model(field.relation), list(field.only)), condition))
    return _among(model, name, field, _linked(env, field, condition, alias), negated, alias)


def _leaf(env: Env, model: Model, leaf: Leaf, alias: str) -> Sql:
    field = model.fields[leaf.field]
    if leaf.field == "display_name":
        return to_sql(env, model, _by_name(env, model, leaf.operator, leaf.value), alias)
    if leaf.operator in TREE_OPERATORS:
        return _tree(env, model, leaf, field, alias)
    if field.to_many:
        return _to_many_leaf(env, model, leaf, field, alias)
    if field.type == "many2one" and _is_name(leaf.value):
        return _many2one_by_name(env, model, leaf, field, alias)
    if field.type == "binary" and (leaf.operator not in ("=", "!=") or leaf.value):
        return TRUE
    return compare(column_sql(env, model, leaf.field, alias), leaf, field)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list | tuple) and bool(value) and all(isinstance(item, str) for item in value)
    )


def _by_name(env: Env, model: Model, operator: str, value: Any) -> Node:
    parts = tuple(parse(env.registry, model, [(name, operator, value)]) for name in model.search_names)
    return Junction("&" if operator in NEGATIVE else "|", parts)


def _many2one_by_name(env: Env, model: Model, leaf: Leaf, field: Field, alias: str) -> Sql:
    operator = "in" if leaf.operator in ("<", ">", "<=", ">=") else leaf.operator
    if not isinstance(leaf.value, list | tuple):
        operator = {"in": "=", "not in": "!="}.get(operator, operator)
    negated = operator in NEGATIVE
    condition = Leaf("display_name", OPPOSITES[operator] if negated else operator, leaf.value)
    return _refers(column_sql(env, model, leaf.field, alias), _subselect(env, field, condition, alias), negated)


def _refers(column: str, records: Sql, negated: bool) -> Sql:
    if negated:
        return Sql(f"{column} NOT IN ({records.text}) OR {column} IS NULL", records.params)
    return Sql(f"{column} IN ({records.text})", records.params)


def _subselect(env: Env, field: Field, condition: Node, alias: str) -> Sql:
    """Select the ids behind a many2one; archived ones count too."""
    return selected(env.with_context(active_test=False), env.model(field.relation), condition, f"{alias}r")


def _linked(env: Env, field: Field, condition: Node, alias: str) -> Sql:
    """Select the ids (many2many) or owners (one2many) of the related records that fulfil the condition."""
    comodel = env.model(field.relation)
    scoped = env.with_context(**field.context)
    if field.type == "many2many":
        return selected(scoped, comodel, condition, f"{alias}r")
    owner = comodel.column(field.inverse)
    condition = Junction("&", (condition, Leaf(field.inverse, "!=", False)))
    return selected(scoped, comodel, condition, f"{alias}r", owner)


def _among(model: Model, name: str, field: Field, records: Sql, negated: bool, alias: str) -> Sql:
    word = "NOT " if negated else ""
    if field.type == "one2many":
        return Sql(f"{alias}.id {word}IN ({records.text})", records.params)
    pairs = model.pairs_table(name)
    text = f"{word}EXISTS (SELECT 1 FROM {pairs} p WHERE p.here = {alias}.id AND p.there IN ({records.text}))"
    return Sql(text, records.params)


def _to_many_leaf(env: Env, model: Model, leaf: Leaf, field: Field, alias: str) -> Sql:
    negated = leaf.operator in NEGATIVE
    comodel = env.model(field.relation)
    if leaf.value is False or leaf.value is None:
        records = _linked(env, field, Constant(True), alias) if field.type == "one2many" else _all_ids(comodel)
        return _among(model, leaf.field, field, records, not negated, alias)
    if isinstance(leaf.value, str):
        operator = OPPOSITES[leaf.operator] if negated else leaf.operator
        records = _linked(env, field, _by_name(env, comodel, operator, leaf.value), alias)
        return _among(model, leaf.field, field, records, negated, alias)
    listed = one_of(leaf.value if isinstance(leaf.value, list | tuple) else [leaf.value])
    owner = comodel.column(field.inverse) if field.type == "one2many" else "id"
    text = f"SELECT {owner} FROM {comodel.table} WHERE id IN {listed.text} AND {owner} IS NOT NULL"
    return _among(model, leaf.field, field, Sql(text, listed.params), negated, alias)


def _all_ids(model: Model) -> Sql:
    return Sql(f"SELECT id FROM {model.table}")


def _tree(env: Env, model: Model, leaf: Leaf, field: Field, alias: str) -> Sql:
    if not field.relational and leaf.field != "id":
        raise BadValue(f"Invalid leaf {(leaf.field, leaf.operator, leaf.value)!r}")
    same = leaf.field == "id" or (field.relation == model.name and field.type != "many2many")
    tree_model = model if same else env.model(field.relation)
    own = {"many2one": leaf.field, "one2many": field.inverse}.get(field.type) if same else None
    parent = own or tree_model.parent
    if not parent:
        raise UnknownKey("parent_id")
    start = _starting_points(env, tree_model, leaf.value, alias)
    # The children of a one2many's own tree are its owners: it is walked the other way round.
    down = (leaf.operator == "child_of") != (same and field.type == "one2many")
    step = ("n.id", f"n.{parent} = tree.id") if down else (f"n.{parent}", "n.id = tree.id")
    records = Sql(
        f"WITH RECURSIVE tree(id) AS ({start.text} UNION SELECT {step[0]} FROM {tree_model.table} n"
        f" JOIN tree ON {step[1]} WHERE {step[0]} IS NOT NULL) SELECT id FROM tree",
        start.params,
    )
    if same:
        return Sql(f"{alias}.id IN ({records.text})", records.params)
    if not field.to_many:
        return _refers(column_sql(env, model, leaf.field, alias), records, negated=False)
    if field.type == "one2many":
        owner = tree_model.column(field.inverse)
        records = Sql(f"SELECT {owner} FROM {tree_model.table} WHERE id IN ({records.text})", records.params)
    return _among(model, leaf.field, field, records, False, alias)


def _starting_points(env: Env, model: Model, value: Any, alias: str) -> Sql:
    if _is_name(value):
        names = [value] if isinstance(value, str) else value
        nodes = tuple(_by_name(env, model, "ilike", name) for name in names)
        return selected(env, model, Junction("|", nodes), f"{alias}s")
    ids = value if isinstance(value, list | tuple) else [value] if value else []
    where = one_of(ids)
    return Sql(f"SELECT id FROM {model.table} WHERE id IN {where.text}", where.params)
