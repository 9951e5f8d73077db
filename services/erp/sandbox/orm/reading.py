"""Reading fields of records: one query for the columns, one per relation, never one per record."""

from collections.abc import Iterable, Sequence
from typing import Any

from services.erp.sandbox.orm import access, searching
from services.erp.sandbox.orm.columns import column_sql
from services.erp.sandbox.orm.conditions import visible
from services.erp.sandbox.orm.domain import parse
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.ordering import order_sql
from services.erp.sandbox.orm.sql import one_of
from services.erp.sandbox.orm.values import human_size, to_answer
from services.erp.sandbox.schema.fields import Field
from services.erp.sandbox.schema.models import Model

Record = dict[str, Any]


def read(
    env: Env, model: Model, ids: Sequence[int], names: Sequence[str] | None, *, pairs: bool = True
) -> list[Record]:
    """Return the records in the order of `ids`; ids that do not exist are left out.

    A many2one is `[id, name]`, or the bare id without `pairs`; a missing value is false. AccessError if a record rule
    hides one of the records.
    """
    wanted = list(dict.fromkeys(["id", *access.readable(env, model, names)]))
    plain = [name for name in wanted if not model.fields[name].to_many]
    listed = one_of(ids)
    columns = ", ".join(column_sql(env, model, name, "t") for name in plain)
    sql = f"SELECT {columns} FROM {model.table} t WHERE t.id IN {listed.text}"
    rows = {row[0]: dict(zip(plain, row, strict=True)) for row in env.rows(sql, listed.params)}
    if access.record_rule(env, model):
        access.refuse_records(env, model, "read", sorted(rows.keys() - searching.allowed(env, model, ids)))
    loaded = {name: _column(env, model.fields[name], [row[name] for row in rows.values()], pairs) for name in plain}
    lists = {name: linked_ids(env, model, name, list(rows)) for name in wanted if model.fields[name].to_many}
    positions = {identifier: position for position, identifier in enumerate(rows)}
    return [
        {
            name: loaded[name][positions[identifier]] if name in loaded else lists[name].get(identifier, [])
            for name in wanted
        }
        for identifier in ids
        if identifier in rows
    ]


def _column(env: Env, field: Field, stored: list[Any], pairs: bool) -> list[Any]:
    if field.type == "many2one":
        if not pairs:
            return [value or False for value in stored]
        names = display_names(env, env.model(field.relation), (value for value in stored if value))
        return [[value, names.get(value, "")] if value else False for value in stored]
    if field.type == "binary" and env.context.get("bin_size"):
        return [human_size(value) if value else False for value in stored]
    return [to_answer(field, value) for value in stored]


def display_names(env: Env, model: Model, ids: Iterable[int]) -> dict[int, str]:
    """Return the names under which records are shown, whoever may see them."""
    listed = one_of(dict.fromkeys(ids))
    sql = f"SELECT t.id, {column_sql(env, model, 'display_name', 't')} FROM {model.table} t WHERE t.id IN {listed.text}"
    return {identifier: name or "" for identifier, name in env.rows(sql, listed.params)}


def linked_ids(env: Env, model: Model, name: str, ids: Sequence[int]) -> dict[int, list[int]]:
    """Return the ids in a one2many or many2many field for each record, in the order of the related model."""
    field = model.fields[name]
    comodel = env.model(field.relation)
    scoped = env.with_context(**field.context)
    where = visible(scoped, comodel, parse(env.registry, comodel, list(field.only)), "t")
    sorting = order_sql(scoped, comodel, None, "t")
    listed = one_of(ids)
    if field.type == "one2many":
        owner = f"t.{comodel.column(field.inverse)}"
        source = f"{comodel.table} t"
    else:
        owner = "p.here"
        source = f"{model.pairs_table(name)} p JOIN {comodel.table} t ON t.id = p.there"
    condition = f"{owner} IN {listed.text} AND ({where.text})"
    sql = f"SELECT {owner}, t.id FROM {source} WHERE {condition} ORDER BY {sorting}"
    result: dict[int, list[int]] = {}
    for here, there in env.rows(sql, (*listed.params, *where.params)):
        result.setdefault(here, []).append(there)
    return result
