"""Usage as messages."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sutler.provider.v1 import provider_pb2 as pb
from sutler.wire import seconds

from services.provider.cost.counting import window
from services.provider.cost.spans import MICROS
from services.provider.cost.usage import Dimension, Usage, Window
from services.provider.wire.amounts import amount
from services.provider.wire.times import stamp


def asked(message: pb.GetUsageRequest, *, now: float, keep: float) -> Window:
    """Returns the time that a request wants summed up; raises Invalid and OutOfRange."""
    return window(
        seconds(message.start_time) if message.HasField("start_time") else None,
        seconds(message.end_time) if message.HasField("end_time") else None,
        seconds(message.interval) if message.HasField("interval") else 0.0,
        now=now,
        keep=keep,
    )


def dimensions(message: pb.GetUsageRequest) -> list[Dimension]:
    """Returns what a request wants told apart."""
    return [Dimension(value) for value in message.dimensions]


def to_message(row: Usage) -> pb.UsageRow:
    """Returns a row of usage as the API shows it."""
    values = {d.field: value for d, value in row.values.items() if d is not Dimension.PRICE_TYPE}
    message = pb.UsageRow(
        **values,  # type: ignore[arg-type]
        start_time=_time(row.start),
        end_time=_time(row.end),
        machine_count=row.machine_count,
        peak_machine_count=row.peak_machine_count,
        started_machine_count=row.started_machine_count,
        machine_duration=_length(row.duration),
        unpriced_machine_duration=_length(row.unpriced_duration),
        cost=amount(row.cost),
        reference_cost=amount(row.reference_cost),
        price_time=stamp(row.price_time),
    )
    if Dimension.PRICE_TYPE in row.values:
        message.price_type = pb.PriceType.Value(f"PRICE_TYPE_{row.values[Dimension.PRICE_TYPE]}")
    return message


def _time(micros: int) -> Timestamp:
    return Timestamp(seconds=micros // MICROS, nanos=micros % MICROS * 1000)


def _length(micros: int) -> Duration:
    return Duration(seconds=micros // MICROS, nanos=micros % MICROS * 1000)
