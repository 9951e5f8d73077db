"""Groups of records: what to group by, what to compute, in which order; shared by the methods that answer groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.erp.sandbox.errors import BadValue
from services.erp.sandbox.orm.columns import column_sql
from services.erp.sandbox.orm.conditions import visible
from services.erp.sandbox.orm.domain import parse
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.ordering import order_sql
from services.erp.sandbox.orm.periods import check_period, following, utc_start, zone_name
from services.erp.sandbox.orm.reading import display_names
from services.erp.sandbox.orm.values import to_answer
from services.erp.sandbox.schema.fields import Field
from services.erp.sandbox.schema.models import Model

FUNCTIONS: Mapping[str, str] = {
    "sum": "SUM({})",
    "avg": "AVG({})",
    "min": "MIN({})",
    "max": "MAX({})",
    "count": "COUNT({})",
    "count_distinct": "COUNT(DISTINCT {})",
}
COUNT = "__count"
Group = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """One thing to group by: `spec` is what the caller wrote, `sql` yields the value that makes the group."""

    spec: str
    name: str
    field: Field
    period: str
    zone: str
    sql: str

    def limits(self, first: str) -> tuple[str, str]:
        """Return where the period that begins with `first` begins and ends, in UTC for moments."""
        end = following(first, self.period)
        if self.field.type == "date":
            return first, end
        return utc_start(first, self.zone), utc_start(end, self.zone)


def key_of(env: Env, model: Model, spec: str) -> Key:
    """Return what `field` or `field:period` groups by; BadValue for lists of records and unknown periods."""
    name, _, period = spec.partition(":")
    field = model.field(name)
    if field.to_many:
        raise BadValue(f"Cannot convert {model.name}.{name} to SQL because it is not stored")
    column = column_sql(env, model, name, "t")
    if field.type not in ("date", "datetime"):
        return Key(spec, name, field, "", "", column)
    period = check_period(period or "month")
    zone = zone_name(env.context.get("tz") or "UTC") if field.type == "datetime" else "UTC"
    return Key(spec, name, field, period, zone, f"bucket({column}, '{period}', '{zone}')")


def computed(env: Env, model: Model, name: str, function: str) -> str:
    """Return the SQL of an aggregate over a field; least and greatest moments are cut to seconds, as in reads."""
    column = column_sql(env, model, name, "t")
    if model.field(name).type == "datetime":
        column = f"substr({column}, 1, 19)"
    return FUNCTIONS[function].format(column)


def rows(
    env: Env,
    model: Model,
    domain: Any,
    keys: Sequence[Key],
    aggregates: Mapping[str, str],
    order: str | None,
    limit: int | None,
    offset: int | None,
) -> list[tuple[Any, ...]]:
    """Return a row for each group: the keys, then the aggregates, which are given as SQL by name."""
    where = visible(env, model, parse(env.registry, model, domain), "t")
    columns = [key.sql for key in keys] + list(aggregates.values())
    sql = f"SELECT {', '.join(columns)} FROM {model.table} t WHERE {where.text}"
    if not keys:
        return env.rows(sql, where.params)
    ordering = _order(env, model, keys, aggregates, order)
    sql += f" GROUP BY {', '.join(key.sql for key in keys)} ORDER BY {ordering} LIMIT ? OFFSET ?"
    return env.rows(sql, (*where.params, limit or -1, offset or 0))


def names_of(env: Env, keys: Sequence[Key], found: Sequence[tuple[Any, ...]]) -> dict[str, dict[Any, str]]:
    """Return the names of the records behind the keys that are relations, by spec and id."""
    return {
        key.spec: display_names(env, env.model(key.field.relation), [row[index] for row in found if row[index]])
        for index, key in enumerate(keys)
        if key.field.type == "many2one"
    }


def plain(key: Key, value: Any, names: Mapping[str, Mapping[Any, str]]) -> tuple[Any, list[Any]]:
    """Return what is shown for a key that is no period, and the term that finds its records."""
    answer: Any = False if value is None else to_answer(key.field, value)
    shown = [value, names[key.spec].get(value, "")] if key.spec in names and answer else answer
    return shown, [key.name, "=", answer]


def conjunction(terms: Sequence[list[Any]]) -> list[Any]:
    """Join lists of domain tokens with AND."""
    return ["&"] * (len(terms) - 1) + [token for term in terms for token in term]


def number(value: Any) -> Any:
    """Return an aggregate as it is sent: false for none, floats without the noise of adding them."""
    return False if value is None else round(value, 10) if isinstance(value, float) else value


def _order(env: Env, model: Model, keys: Sequence[Key], aggregates: Mapping[str, str], order: str | None) -> str:
    terms = []
    for part in (order or ",".join(key.spec for key in keys)).split(","):
        name, _, way = part.strip().partition(" ")
        down = way.strip().lower() == "desc"
        key = next((key for key in keys if name in (key.spec, key.name)), None)
        if key is not None and key.field.type == "many2one" and not down:
            terms.append(order_sql(env, model, key.name, "t"))
        elif key is not None or name in aggregates or name == COUNT:
            column = key.sql if key is not None else aggregates.get(name, "COUNT(*)")
            terms.append(f"{column} {'DESC NULLS FIRST' if down else 'ASC NULLS LAST'}")
        else:
            raise BadValue(f"Order term {part.strip()!r} is not a valid aggregate nor valid groupby")
    return ", ".join(terms)
