"""Groups as Odoo makes them: ``read_group`` (8 to 18) and ``formatted_read_group`` (19), told in one form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutler.errors import Unimplemented

from services.erp.aggregates import DatePart, Function

COUNT = "__count"
Column = tuple[str, str]
"""What Odoo computes: one of its functions, over a field."""

FUNCTIONS = {
    Function.COUNT: "count",
    Function.COUNT_DISTINCT: "count_distinct",
    Function.SUM: "sum",
    Function.AVG: "avg",
    Function.MIN: "min",
    Function.MAX: "max",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What Odoo is asked for.

    Attributes:
        domain: Which records.
        specs: What to group by, such as ``state`` or ``date_order:month``.
        columns: What to compute.
        order: A spec, a column or ``__count``, and whether it falls.
        offset: How many groups to leave out.
        limit: The most groups; all if 0.
    """

    domain: Sequence[Any]
    specs: Sequence[str]
    columns: Sequence[Column]
    order: Sequence[tuple[str | Column, bool]]
    offset: int = 0
    limit: int = 0

    def ordered(self, name: Callable[[Column], str], count: str) -> str:
        """Returns the order as Odoo takes it, with the names that a method gives to columns and to the count."""
        terms = []
        for what, falls in self.order:
            shown = name(what) if isinstance(what, tuple) else count if what == COUNT else what
            terms.append(f"{shown} {'desc' if falls else 'asc'}")
        return ", ".join(terms)


@dataclass(frozen=True, slots=True)
class Answer:
    """One group as Odoo tells it.

    Attributes:
        keys: By spec: false for none, ``[id, name]`` for relations, for a part of a date where it begins.
        values: By column; false where no record has a value.
        count: How many records there are.
    """

    keys: Mapping[str, Any]
    values: Mapping[Column, Any]
    count: int


@dataclass(frozen=True, slots=True)
class Form:
    """One of Odoo's methods: its name, what it takes, and what its answer means."""

    method: str
    named: Callable[[Question], dict[str, Any]]
    answer: Callable[[Question, Mapping[str, Any]], Answer]


def _read_group(question: Question) -> dict[str, Any]:
    names = _names(question)
    order = {"orderby": question.ordered(lambda column: names[column], "n")} if question.order else {}
    fields = [f"{names[column]}:{column[0]}({column[1]})" for column in question.columns]
    return {"fields": [*fields, "n:count(id)"], "groupby": list(question.specs), "lazy": False} | order


def _of_read_group(question: Question, row: Mapping[str, Any]) -> Answer:
    names = _names(question)
    keys = {spec: _begins(spec, row) if ":" in spec else row[spec] for spec in question.specs}
    for column, name in names.items():
        if name not in row:
            raise Unimplemented(
                f"this version of Odoo computes nothing over a field that it groups by: {column[1]}",
                metadata={"method": "AggregateRecords", "field": column[1]},
            )
    return Answer(keys, {column: row[name] for column, name in names.items()}, int(row.get(COUNT) or 0))


def _names(question: Question) -> dict[Column, str]:
    return {column: f"a{index}" for index, column in enumerate(question.columns)}


def _begins(spec: str, row: Mapping[str, Any]) -> Any:
    """Returns where a part of a date begins; before Odoo 14 only the domain of the group tells."""
    if not row[spec]:
        return False
    told = (row.get("__range") or {}).get(spec)
    if told:
        return told["from"]
    field = spec.partition(":")[0]
    bounds = [term[2] for term in row["__domain"] if isinstance(term, list) and term[:2] == [field, ">="]]
    return bounds[-1]


def _formatted(question: Question) -> dict[str, Any]:
    order = {"order": question.ordered(_spec, COUNT)} if question.order else {}
    return {"groupby": list(question.specs), "aggregates": [*map(_spec, question.columns), COUNT]} | order


def _of_formatted(question: Question, row: Mapping[str, Any]) -> Answer:
    keys = {spec: row[spec][0] if ":" in spec and row[spec] else row[spec] for spec in question.specs}
    return Answer(keys, {column: row.get(_spec(column)) for column in question.columns}, int(row.get(COUNT) or 0))


def _spec(column: Column) -> str:
    return f"{column[1]}:{column[0]}"


READ_GROUP = Form("read_group", _read_group, _of_read_group)
FORMATTED = Form("formatted_read_group", _formatted, _of_formatted)


def spec_of(field: str, part: DatePart, *, dated: bool) -> str:
    """Returns what Odoo groups by. A whole date is its day; weeks begin on another day in each language, so days are
    asked for and joined.

    Args:
        field: The field.
        part: The part of a date or moment.
        dated: Whether the field is a date or moment.
    """
    if not dated:
        return field
    whole = part in (DatePart.UNSPECIFIED, DatePart.WEEK)
    return f"{field}:{'day' if whole else part.value.lower()}"
