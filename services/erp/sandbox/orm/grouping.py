"""`read_group`: counts and sums by fields, and by day, week, month, quarter or year in the caller's time zone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.erp.sandbox.errors import BadValue, UserError
from services.erp.sandbox.orm import access
from services.erp.sandbox.orm.columns import column_sql
from services.erp.sandbox.orm.conditions import visible
from services.erp.sandbox.orm.domain import explicit, parse
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.ordering import order_sql
from services.erp.sandbox.orm.periods import check_period, following, label, utc_start, zone_name
from services.erp.sandbox.orm.reading import display_names
from services.erp.sandbox.orm.values import to_answer
from services.erp.sandbox.schema.fields import Field
from services.erp.sandbox.schema.models import Model

AGGREGATE = re.compile(r"(?P<name>\w+)(?::(?P<function>\w+)(?:\((?P<field>\w+)\))?)?")
FUNCTIONS = {
    "sum": "SUM({})",
    "avg": "AVG({})",
    "min": "MIN({})",
    "max": "MAX({})",
    "count": "COUNT({})",
    "count_distinct": "COUNT(DISTINCT {})",
}
Group = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Key:
    """One thing to group by."""

    spec: str
    name: str
    field: Field
    period: str
    zone: str
    sql: str


def read_group(
    env: Env,
    model: Model,
    domain: Any,
    fields: Sequence[str],
    groupby: str | Sequence[str],
    offset: int = 0,
    limit: int | None = None,
    orderby: str | None = None,
    lazy: bool = True,
) -> list[Group]:
    """Return one object per group: its keys, the count, the aggregates of `fields`, and the domain of its records.

    `lazy` groups by the first of `groupby` only and names the rest under `__context`.
    """
    access.check(env, model, "read")
    specs = [groupby] if isinstance(groupby, str) else list(groupby)
    keys = [_key(env, model, spec) for spec in (specs[:1] if lazy else specs)]
    count = f"{keys[0].name}_count" if lazy and keys else "__count"
    aggregates = {count: "COUNT(*)", **_aggregates(env, model, fields, {key.name for key in keys})}
    where = visible(env, model, parse(env.registry, model, domain), "t")
    columns = [key.sql for key in keys] + list(aggregates.values())
    sql = f"SELECT {', '.join(columns)} FROM {model.table} t WHERE {where.text}"
    if keys:
        order = _order(env, model, keys, aggregates, orderby)
        sql += f" GROUP BY {', '.join(key.sql for key in keys)} ORDER BY {order} LIMIT ? OFFSET ?"
    params = (*where.params, limit or -1, offset or 0) if keys else where.params
    rows = env.rows(sql, params)
    rest = {"__context": {"group_by": specs[1:]}} if lazy and len(specs) > 1 else {}
    names = {
        key.spec: display_names(env, env.model(key.field.relation), [row[index] for row in rows if row[index]])
        for index, key in enumerate(keys)
        if key.field.type == "many2one"
    }
    return [_group(keys, list(aggregates), row, names, domain) | rest for row in rows]


def _key(env: Env, model: Model, spec: str) -> _Key:
    name, _, period = spec.partition(":")
    field = model.field(name)
    if field.to_many:
        raise BadValue(f"Cannot convert {model.name}.{name} to SQL because it is not stored")
    column = column_sql(env, model, name, "t")
    if field.type not in ("date", "datetime"):
        return _Key(spec, name, field, "", "", column)
    period = check_period(period or "month")
    zone = zone_name(env.context.get("tz") or "UTC") if field.type == "datetime" else "UTC"
    return _Key(spec, name, field, period, zone, f"bucket({column}, '{period}', '{zone}')")


def _aggregates(env: Env, model: Model, specs: Sequence[str], grouped: set[str]) -> dict[str, str]:
    result = {}
    for spec in specs:
        found = AGGREGATE.fullmatch(spec)
        if not found:
            raise UserError(f"Invalid field specification {spec!r}.")
        name = found["field"] or found["name"]
        field = None if spec == "__count" else model.field(name)
        summed = field is not None and field.number and name != "id" and field.declared_stored
        function = found["function"] or ("sum" if summed else None)
        if field is None or function is None or name in grouped:
            continue
        if function not in FUNCTIONS:
            raise UserError(f"Invalid aggregation function {function!r}.")
        result[found["name"]] = FUNCTIONS[function].format(column_sql(env, model, name, "t"))
    return result


def _order(env: Env, model: Model, keys: list[_Key], aggregates: dict[str, str], orderby: str | None) -> str:
    terms = []
    for part in (orderby or ",".join(key.spec for key in keys)).split(","):
        name, _, way = part.strip().partition(" ")
        down = way.strip().lower() == "desc"
        key = next((key for key in keys if name in (key.spec, key.name)), None)
        if key is not None and key.field.type == "many2one" and not down:
            terms.append(order_sql(env, model, key.name, "t"))
        elif key is not None or name in aggregates or name == "__count":
            column = key.sql if key is not None else aggregates.get(name, "COUNT(*)")
            terms.append(f"{column} {'DESC NULLS FIRST' if down else 'ASC NULLS LAST'}")
        else:
            raise BadValue(f"Order term {part.strip()!r} is not a valid aggregate nor valid groupby")
    return ", ".join(terms)


def _group(
    keys: list[_Key], aggregates: list[str], row: tuple[Any, ...], names: dict[str, dict[Any, str]], domain: Any
) -> Group:
    group: Group = {}
    terms = [explicit(domain)] if domain else []
    ranges: Group = {}
    for key, value in zip(keys, row, strict=False):
        if key.period and value is not None:
            start, end = _limits(key, value)
            group[key.spec] = label(value, key.period)
            ranges[key.spec] = {"from": start, "to": end}
            terms.append(["&", [key.name, ">=", start], [key.name, "<", end]])
            continue
        if key.period:
            ranges[key.spec] = False
        answer: Any = False if value is None else to_answer(key.field, value)
        group[key.spec] = [value, names[key.spec].get(value, "")] if key.spec in names and answer else answer
        terms.append([[key.name, "=", answer]])
    for name, value in zip(aggregates, row[len(keys) :], strict=True):
        group[name] = False if value is None else round(value, 10) if isinstance(value, float) else value
    group["__domain"] = ["&"] * (len(terms) - 1) + [token for term in terms for token in term]
    return group | ({"__range": ranges} if ranges else {})


def _limits(key: _Key, first: str) -> tuple[str, str]:
    end = following(first, key.period)
    if key.field.type == "date":
        return first, end
    return utc_start(first, key.zone), utc_start(end, key.zone)
