"""`read_group`: counts and sums by fields, and by hour, day, week … or year in the caller's time zone."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from services.erp.sandbox.errors import UserError
from services.erp.sandbox.orm import access, groups
from services.erp.sandbox.orm.domain import explicit
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.groups import FUNCTIONS, Group, Key
from services.erp.sandbox.orm.periods import label
from services.erp.sandbox.schema.models import Model

AGGREGATE = re.compile(r"(?P<name>\w+)(?::(?P<function>\w+)(?:\((?P<field>\w+)\))?)?")


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
    keys = [groups.key_of(env, model, spec) for spec in (specs[:1] if lazy else specs)]
    count = f"{keys[0].name}_count" if lazy and keys else groups.COUNT
    aggregates = {count: "COUNT(*)", **_aggregates(env, model, fields, {key.name for key in keys})}
    rows = groups.rows(env, model, domain, keys, aggregates, orderby, limit, offset)
    names = groups.names_of(env, keys, rows)
    rest = {"__context": {"group_by": specs[1:]}} if lazy and len(specs) > 1 else {}
    return [_group(keys, list(aggregates), row, names, domain) | rest for row in rows]


def _aggregates(env: Env, model: Model, specs: Sequence[str], grouped: set[str]) -> dict[str, str]:
    result = {}
    for spec in specs:
        found = AGGREGATE.fullmatch(spec)
        if not found:
            raise UserError(f"Invalid field specification {spec!r}.")
        name = found["field"] or found["name"]
        field = None if spec == groups.COUNT else model.field(name)
        summed = field is not None and field.number and name != "id" and field.declared_stored
        function = found["function"] or ("sum" if summed else None)
        if field is None or function is None or name in grouped:
            continue
        if function not in FUNCTIONS:
            raise UserError(f"Invalid aggregation function {function!r}.")
        result[found["name"]] = groups.computed(env, model, name, function)
    return result


def _group(
    keys: Sequence[Key], aggregates: list[str], row: tuple[Any, ...], names: Mapping[str, dict[Any, str]], domain: Any
) -> Group:
    group: Group = {}
    terms = [explicit(domain)] if domain else []
    ranges: Group = {}
    for key, value in zip(keys, row, strict=False):
        if key.period and value is not None:
            start, end = key.limits(value)
            group[key.spec] = label(value, key.period)
            ranges[key.spec] = {"from": start, "to": end}
            terms.append(["&", [key.name, ">=", start], [key.name, "<", end]])
            continue
        if key.period:
            ranges[key.spec] = False
        group[key.spec], term = groups.plain(key, value, names)
        terms.append([term])
    for name, value in zip(aggregates, row[len(keys) :], strict=True):
        group[name] = groups.number(value)
    group["__domain"] = groups.conjunction(terms)
    return group | ({"__range": ranges} if ranges else {})
