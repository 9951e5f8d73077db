"""Figures over groups of records: what is asked for, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sutler.paging import Order

COUNT = "count"
"""What groups can be ordered by besides aliases: how many records they have."""


class DatePart(StrEnum):
    """Which part of a date or moment makes a group; the names are those of the contract."""

    UNSPECIFIED = "UNSPECIFIED"
    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"


class Function(StrEnum):
    """How values become one; the names are those of the contract."""

    COUNT = "COUNT"
    COUNT_DISTINCT = "COUNT_DISTINCT"
    SUM = "SUM"
    AVG = "AVG"
    MIN = "MIN"
    MAX = "MAX"


@dataclass(frozen=True, slots=True)
class Grouping:
    """What to group records under.

    Attributes:
        field: A field of the model.
        part: Which part of a date or moment makes a group, in the time zone of the context; weeks begin on Monday.
        alias: The key in the answer.
    """

    field: str
    part: DatePart
    alias: str


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What to compute over a group.

    Attributes:
        function: How values become one.
        field: A field of the model; empty only where records are counted.
        alias: The key in the answer.
    """

    function: Function
    field: str
    alias: str


@dataclass(frozen=True, slots=True)
class Aggregation:
    """What is asked for. Aliases are unique; an alias ``count`` hides the count of records in the order.

    Attributes:
        groupings: Outermost first; one group over all if empty.
        aggregates: What to compute; the count of records always comes.
        order: By aliases and ``count``.
    """

    groupings: Sequence[Grouping]
    aggregates: Sequence[Aggregate]
    order: Sequence[Order]


@dataclass(frozen=True, slots=True)
class Group:
    """One group of records.

    Attributes:
        keys: The values that make it, by alias: dates on which a part begins, moments for hours.
        values: What was computed, by alias: exact numbers as strings, None where no record has a value.
        count: How many records it has.
        domain: The ERP's own raw domain of its records.
    """

    keys: Mapping[str, Any]
    values: Mapping[str, Any] = field(default_factory=dict)
    count: int = 0
    domain: Sequence[Any] = ()
