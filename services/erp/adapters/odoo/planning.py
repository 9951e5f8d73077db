"""How figures over groups of records are got from Odoo, and what its answers mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from services.erp.adapters.odoo.domains import Domain, all_of
from services.erp.adapters.odoo.grouping import COUNT, FUNCTIONS, Answer, Column, Question, spec_of
from services.erp.adapters.odoo.joining import Part
from services.erp.adapters.odoo.periods import first_day, in_utc, next_day, next_hour
from services.erp.adapters.odoo.reading import to_rfc3339, to_value
from services.erp.aggregates import COUNT as BY_COUNT
from services.erp.aggregates import Aggregate, Aggregation, DatePart, Function, Group, Grouping
from services.erp.schemas import FieldType, ModelField, ModelSchema

DATED = frozenset({FieldType.DATE, FieldType.DATETIME})
EXACT = frozenset({FieldType.MONETARY, FieldType.DECIMAL})
COUNTS = frozenset({Function.COUNT, Function.COUNT_DISTINCT})


@dataclass(frozen=True, slots=True)
class Plan:
    """How what is asked for is got.

    Attributes:
        schema: The model.
        wanted: What is asked for.
        domain: Which records.
        zone: Where days begin.
        joins: Whether groups are joined here, of smaller ones.
    """

    schema: ModelSchema
    wanted: Aggregation
    domain: Domain
    zone: ZoneInfo
    joins: bool

    def question(self, offset: int, limit: int) -> Question:
        """Returns what Odoo is asked for; in any order if groups are joined."""
        columns = list(dict.fromkeys(column for one in self.wanted.aggregates for column in self._columns(one)))
        specs = list(dict.fromkeys(self._spec(one) for one in self.wanted.groupings))
        order = [] if self.joins or not specs else self._order()
        return Question(self.domain, specs, columns, order, offset, limit)

    def part(self, answer: Answer) -> Part:
        """Returns the group, or the part of one, that Odoo tells."""
        keys, terms = {}, [self.domain] if self.domain else []
        for grouping in self.wanted.groupings:
            keys[grouping.alias], term = self._key(grouping, answer.keys[self._spec(grouping)])
            terms.append(term)
        return Part(keys, all_of(terms) if terms else [], dict(answer.values), answer.count)

    def group(self, part: Part) -> Group:
        """Returns a whole group."""
        values = {one.alias: self._value(one, part) for one in self.wanted.aggregates}
        return Group(part.keys, values, part.count, part.domain)

    def exact(self) -> frozenset[str]:
        """Returns the aliases whose values are exact numbers, in texts."""
        fields = self.schema.fields
        computed = [one for one in self.wanted.aggregates if one.function not in COUNTS]
        return frozenset(one.alias for one in computed if fields[one.field].type in EXACT)

    def _spec(self, grouping: Grouping) -> str:
        return spec_of(grouping.field, grouping.part, dated=self.schema.fields[grouping.field].type in DATED)

    def _columns(self, one: Aggregate) -> list[Column]:
        if not one.field:
            return []
        if self.joins and one.function is Function.AVG:
            return [("sum", one.field), ("count", one.field)]
        return [(FUNCTIONS[one.function], one.field)]

    def _order(self) -> list[tuple[str | Column, bool]]:
        known: dict[str, str | Column] = {BY_COUNT: COUNT}
        for one in self.wanted.aggregates:
            known[one.alias] = next(iter(self._columns(one)), COUNT)
        known |= {one.alias: self._spec(one) for one in self.wanted.groupings}
        terms: dict[str | Column, bool] = {}
        for term in self.wanted.order:
            terms.setdefault(known[term.field], term.descending)
        return list(terms.items())

    def _key(self, grouping: Grouping, raw: Any) -> tuple[Any, Domain]:
        """Returns a key in the gateway's form, and the term that finds its records."""
        known = self.schema.fields[grouping.field]
        if known.type not in DATED or not raw:
            plain = raw[0] if isinstance(raw, list) else raw
            return to_value(known.type, raw), [[known.field, "=", plain]]
        if grouping.part is DatePart.HOUR:
            return to_rfc3339(raw[:19]), _between(known.field, raw[:19], next_hour(raw))
        day = first_day(raw, grouping.part, self.zone)
        last = next_day(day, grouping.part)
        if known.type is FieldType.DATE:
            return day.isoformat(), _between(known.field, day.isoformat(), last.isoformat())
        return day.isoformat(), _between(known.field, in_utc(day, self.zone), in_utc(last, self.zone))

    def _value(self, one: Aggregate, part: Part) -> Any:
        told = [part.values.get(column) for column in self._columns(one)]
        if one.function in COUNTS:
            return int(told[0] or 0) if told else part.count
        if len(told) == 2:
            told = [told[0] / told[1] if told[0] is not None and told[1] else None]
        return _typed(self.schema.fields[one.field], one.function, told[0])


def _typed(known: ModelField, function: Function, raw: Any) -> Any:
    if raw is None or raw is False:
        return None
    if function is Function.AVG and known.type is FieldType.INTEGER:
        return float(raw)
    return to_value(known.type, raw)


def _between(field: str, start: str, end: str) -> Domain:
    return ["&", [field, ">=", start], [field, "<", end]]
