"""Rows of usage as a list that can be ordered and paged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sutler.filtering import Field, Kind, Schema
from sutler.paging import Order

from services.provider.cost.money import Money
from services.provider.cost.prices import PriceType
from services.provider.cost.spans import MICROS
from services.provider.cost.usage import Dimension, Usage

_TEXTS = tuple(dimension.field for dimension in Dimension if dimension is not Dimension.PRICE_TYPE)
_COUNTS = ("machine_count", "peak_machine_count", "started_machine_count")
_SPANS = ("machine_duration", "unpriced_machine_duration")
_COSTS = ("cost", "reference_cost")

SCHEMA = Schema(
    {
        **{field: Field(Kind.TIME, field) for field in ("start_time", "end_time", "price_time")},
        **{field: Field(Kind.STRING, field) for field in (*_TEXTS, "currency")},
        "price_type": Field(Kind.ENUM, "price_type", values={f"PRICE_TYPE_{p.name}": int(p) for p in PriceType}),
        **{field: Field(Kind.INT, field) for field in _COUNTS},
        **{field: Field(Kind.DURATION, field) for field in _SPANS},
        **{field: Field(Kind.STRING, field) for field in _COSTS},
    }
)
"""What rows can be ordered by; amounts as texts of one length, because they may not fit into 64 bits."""

BY_TIME = (Order("start_time"), *(Order(dimension.field) for dimension in Dimension), Order("currency"))


def item(row: Usage) -> Mapping[str, Any]:
    """Returns the fields of a row."""
    values = {dimension.field: value for dimension, value in row.values.items()}
    if Dimension.PRICE_TYPE in row.values:
        values["price_type"] = PriceType[row.values[Dimension.PRICE_TYPE]]  # type: ignore[assignment]
    fields: dict[str, Any] = {
        **values,
        "start_time": row.start / MICROS,
        "end_time": row.end / MICROS,
        "price_time": row.price_time,
        "currency": row.currency,
        "machine_count": row.machine_count,
        "peak_machine_count": row.peak_machine_count,
        "started_machine_count": row.started_machine_count,
        "machine_duration": row.duration / MICROS,
        "unpriced_machine_duration": row.unpriced_duration / MICROS,
        "cost": sortable(row.cost),
        "reference_cost": sortable(row.reference_cost),
    }
    return fields


def sortable(amount: Money | None) -> str | None:
    """Returns an amount as a text that orders as amounts do; None stays None."""
    return None if amount is None else f"{amount.total:040d}"
