"""Figures over groups of records on the wire."""

from __future__ import annotations

from sutler.erp.v1 import erp_pb2
from sutler.wire import to_struct, to_value

from services.erp.aggregates import Aggregate, DatePart, Function, Group, Grouping
from services.erp.wire.plain import enum_name

PARTS = erp_pb2.Grouping.DatePart.DESCRIPTOR
FUNCTIONS = erp_pb2.Aggregate.Function.DESCRIPTOR


def groupings(request: erp_pb2.AggregateRecordsRequest) -> list[Grouping]:
    """Returns what to group records under."""
    return [
        Grouping(one.field, DatePart(enum_name(PARTS, one.date_part)), one.alias or one.field)
        for one in request.groupings
    ]


def aggregates(request: erp_pb2.AggregateRecordsRequest) -> list[Aggregate]:
    """Returns what to compute."""
    return [Aggregate(Function(enum_name(FUNCTIONS, one.function)), one.field, one.alias) for one in request.aggregates]


def group(one: Group) -> erp_pb2.RecordGroup:
    """Returns one group."""
    return erp_pb2.RecordGroup(
        keys=to_struct(one.keys),
        values=to_struct(one.values),
        count=one.count,
        domain=to_value(list(one.domain)).list_value,
    )
