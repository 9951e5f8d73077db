"""Price tables as messages."""

from __future__ import annotations

from dataclasses import replace

from google.protobuf.field_mask_pb2 import FieldMask
from sutler.masks import merge
from sutler.provider.v1 import provider_pb2 as pb
from sutler.wire import seconds, timestamp

from services.provider.cost.prices import PriceRow, PriceTable, PriceType, Source
from services.provider.declaring import Update, etag
from services.provider.wire.amounts import amount, from_amount
from services.provider.wire.times import span, stamp


def from_message(message: pb.PriceTable, tenant: str, name: str, uid: str) -> PriceTable:
    """Returns a price table as a caller wrote it."""
    return PriceTable(
        tenant=tenant,
        name=name,
        uid=uid,
        provider=message.provider,
        display_name=message.display_name,
        source=Source(message.source) if message.source else None,
        rows=tuple(_row(row) for row in message.rows),
        effective_time=seconds(message.effective_time) if message.HasField("effective_time") else None,
        refresh_interval=seconds(message.refresh_interval) if message.HasField("refresh_interval") else None,
    )


def merged(
    stored: PriceTable | None, wanted: pb.PriceTable, mask: FieldMask | None, how: Update, uid: str
) -> PriceTable:
    """Returns a price table as an update makes it, or creates it; ``uid`` is that of a new one."""
    if stored is None:
        return from_message(wanted, how.tenant, how.name, uid)
    message = merge(to_message(stored), wanted, mask, below="price_table")
    changed = from_message(message, how.tenant, how.name, stored.uid)
    return replace(changed, create_time=stored.create_time, revision=stored.revision)


def to_message(table: PriceTable) -> pb.PriceTable:
    """Returns a price table as the API shows it."""
    message = pb.PriceTable(
        name=table.name,
        display_name=table.display_name,
        provider=table.provider,
        source=int(table.source or 0),  # type: ignore[arg-type]
        rows=[_row_message(row) for row in table.rows],
        effective_time=stamp(table.effective_time),
        refresh_interval=span(table.refresh_interval),
    )
    if table.revision:
        message.uid = table.uid
        message.etag = etag(table)
        message.create_time.CopyFrom(timestamp(table.create_time))
        message.update_time.CopyFrom(timestamp(table.update_time))
    return message


def _row(message: pb.PriceRow) -> PriceRow:
    return PriceRow(
        machine_type=message.machine_type,
        hourly_price=from_amount(message.hourly_price),
        region=message.region,
        zone=message.zone,
        price_type=PriceType(message.price_type) if message.price_type else None,
        effective_time=seconds(message.effective_time) if message.HasField("effective_time") else None,
        vcpus=message.vcpus,
        memory_bytes=message.memory_bytes,
    )


def _row_message(row: PriceRow) -> pb.PriceRow:
    return pb.PriceRow(
        machine_type=row.machine_type,
        hourly_price=amount(row.hourly_price),
        region=row.region,
        zone=row.zone,
        price_type=int(row.price_type or 0),  # type: ignore[arg-type]
        effective_time=stamp(row.effective_time),
        vcpus=row.vcpus,
        memory_bytes=row.memory_bytes,
    )
