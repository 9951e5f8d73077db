"""`formatted_read_group`: groups as Odoo 19 answers them, each with the terms that find its records."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from services.erp.sandbox.errors import BadValue
from services.erp.sandbox.orm import access, groups
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.groups import COUNT, FUNCTIONS, Group, Key
from services.erp.sandbox.orm.periods import label
from services.erp.sandbox.schema.models import Model

AGGREGATE = re.compile(r"(?P<name>\w+):(?P<function>\w+)")


def formatted_read_group(
    env: Env,
    model: Model,
    domain: Any,
    groupby: Sequence[str] = (),
    aggregates: Sequence[str] = (),
    having: Any = (),
    offset: int = 0,
    limit: int | None = None,
    order: str | None = None,
) -> list[Group]:
    """Return one object per group: keys and aggregates by what the caller wrote, and `__extra_domain`.

    A period is `[start, label]`, a relation `[id, name]`. The sandbox knows no `having`: BadValue.
    """
    access.check(env, model, "read")
    if having:
        raise BadValue("the sandbox has no `having`")
    keys = [groups.key_of(env, model, spec) for spec in groupby]
    computed = {spec: _aggregate(env, model, spec) for spec in aggregates}
    found = groups.rows(env, model, domain, keys, computed or {COUNT: "COUNT(*)"}, order, limit, offset)
    names = groups.names_of(env, keys, found)
    return [_group(keys, list(computed), row, names) for row in found]


def _aggregate(env: Env, model: Model, spec: str) -> str:
    if spec == COUNT:
        return "COUNT(*)"
    found = AGGREGATE.fullmatch(spec)
    if not found or found["function"] not in FUNCTIONS:
        raise BadValue(f"Invalid aggregate specification {spec!r}")
    return groups.computed(env, model, found["name"], found["function"])


def _group(
    keys: Sequence[Key], aggregates: list[str], row: tuple[Any, ...], names: Mapping[str, dict[Any, str]]
) -> Group:
    group: Group = {}
    terms: list[list[Any]] = []
    for key, value in zip(keys, row, strict=False):
        if key.period and value is not None:
            start, end = key.limits(value)
            group[key.spec] = [start, label(value, key.period)]
            terms.append(["&", [key.name, ">=", start], [key.name, "<", end]])
            continue
        group[key.spec], term = groups.plain(key, value, names)
        terms.append([term])
    for name, value in zip(aggregates, row[len(keys) :], strict=False):
        group[name] = groups.number(value)
    return group | {"__extra_domain": groups.conjunction(terms)}
