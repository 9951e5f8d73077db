"""Records, models and searches on the wire."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from sutler.context import current
from sutler.erp.v1 import erp_pb2
from sutler.status import to_status
from sutler.wire import (
    duration,
    from_struct,
    from_value,
    put_duration,
    put_struct,
    put_timestamp,
    seconds,
    to_value,
)

from services.erp.batches.batching import Batched
from services.erp.catalogue import Kept
from services.erp.connections import ErpContext
from services.erp.creating import Creation, NewRecord
from services.erp.records import DataSource, Origin, Record
from services.erp.schemas import Model, ModelField, ModelRights, ModelSchema
from services.erp.searching import Search
from services.erp.wanting import Wanted
from services.erp.wire import connections
from services.erp.wire.plain import fill
from services.erp.writing import Answer, Invocation, Write

DOMAIN = "erp.sutler.dev"

_ORIGINS = {one: erp_pb2.DataSource.Origin.Value(f"ORIGIN_{one}") for one in Origin}


def record(one: Record) -> erp_pb2.Record:
    """Returns a record."""
    message = erp_pb2.Record(
        model=one.model,
        id=one.id,
        external_id=one.external_id,
        display_name=one.display_name[:4096],
        etag=one.etag,
    )
    message.values.SetInParent()
    put_struct(message.values, one.values)
    if one.create_time is not None:
        put_timestamp(message.create_time, one.create_time)
    if one.update_time is not None:
        put_timestamp(message.update_time, one.update_time)
    if one.source is not None:
        put_source(message.source, one.source)
    return message


def put_source(target: erp_pb2.DataSource, one: DataSource) -> None:
    """Sets, in place, where an answer comes from."""
    target.origin = _ORIGINS[one.origin]
    put_timestamp(target.read_time, one.read_time)
    put_duration(target.age, max(0.0, time.time() - one.read_time))
    target.stale = one.stale
    if one.error is not None:
        target.error.CopyFrom(to_status(one.error, DOMAIN, current().correlation_id))


def source(one: DataSource) -> erp_pb2.DataSource:
    """Returns where an answer comes from."""
    message = erp_pb2.DataSource()
    put_source(message, one)
    return message


def kept_source(kept: Kept[Any]) -> erp_pb2.DataSource:
    """Returns where something that the gateway remembers comes from."""
    origin = Origin.ERP if kept.fresh else Origin.NEAR_CACHE
    return source(DataSource(origin=origin, read_time=kept.read_time, stale=kept.error is not None, error=kept.error))


def model(one: Model) -> erp_pb2.Model:
    """Returns a model."""
    return fill(erp_pb2.Model(), one)


def rights(one: ModelRights) -> erp_pb2.ModelRights:
    """Returns what a user may do with a model."""
    return fill(erp_pb2.ModelRights(), one)


def description(
    kept: Kept[ModelSchema], fields: Iterable[ModelField], allowed: ModelRights, title: Model
) -> erp_pb2.DescribeModelResponse:
    """Returns a model with fields and rights."""
    return erp_pb2.DescribeModelResponse(
        model=model(title),
        fields=[fill(erp_pb2.ModelField(), one) for one in fields],
        rights=rights(allowed),
        source=kept_source(kept),
    )


def call_context(request: Any) -> ErpContext | None:
    """Returns the context of a request; None if it has none."""
    return connections.context(request.context) if request.HasField("context") else None


def staleness(request: Any) -> float | None:
    """Returns the greatest age in seconds that a request allows; None if it leaves that to the policies."""
    options = request.read_options
    return seconds(options.max_staleness) if options.HasField("max_staleness") else None


def wanted(request: Any) -> Wanted:
    """Returns what a request wants to know of records."""
    return Wanted(
        model=request.model,
        fields=tuple(getattr(request, "fields", ())),
        binaries=getattr(request, "include_binaries", False),
        context=call_context(request),
        max_staleness=staleness(request),
        allow_stale=request.read_options.allow_stale,
    )


def search(request: Any, limit: int, after: list[Any] | None) -> Search:
    """Returns which records a request looks for."""
    return Search(
        filter=request.filter,
        domain=tuple(from_value(one) for one in request.domain.values),
        archived=request.show_archived,
        order_by=getattr(request, "order_by", ""),
        limit=limit,
        total=getattr(request, "include_total", False),
        after=(str(after[0]), int(after[1])) if after else None,
    )


def update(request: erp_pb2.UpdateRecordRequest) -> Write:
    """Returns what is to change of a record."""
    return Write(
        model=request.model,
        id=request.id,
        values=from_struct(request.values),
        etag=request.etag,
        fields=tuple(request.fields),
        context=call_context(request),
        validate_only=request.validate_only,
    )


def deletion(request: erp_pb2.DeleteRecordRequest) -> Write:
    """Returns which record is to go."""
    return Write(
        model=request.model,
        id=request.id,
        etag=request.etag,
        allow_missing=request.allow_missing,
        context=call_context(request),
        validate_only=request.validate_only,
    )


def creation(request: erp_pb2.CreateRecordRequest) -> Creation:
    """Returns the one record that is to be created."""
    row = NewRecord(values=from_struct(request.values), external_id=request.external_id)
    return _creation(request, (row,), batch=False)


def creations(request: erp_pb2.BatchCreateRecordsRequest) -> Creation:
    """Returns the records that are to be created."""
    rows = tuple(NewRecord(values=from_struct(one.values), external_id=one.external_id) for one in request.rows)
    return _creation(request, rows, batch=True)


def _creation(request: Any, rows: tuple[NewRecord, ...], *, batch: bool) -> Creation:
    return Creation(
        model=request.model,
        rows=rows,
        fields=tuple(request.fields),
        context=call_context(request),
        validate_only=request.validate_only,
        batch=batch,
    )


def invocation(request: erp_pb2.CallMethodRequest) -> Invocation:
    """Returns which method is to be called."""
    return Invocation(
        model=request.model,
        method=request.method,
        ids=tuple(request.record_ids),
        positional=tuple(from_value(one) for one in request.positional.values),
        named=from_struct(request.named),
        context=call_context(request),
        validate_only=request.validate_only,
    )


def answer(one: Answer) -> erp_pb2.CallMethodResponse:
    """Returns what a method answered."""
    return erp_pb2.CallMethodResponse(result=to_value(one.result), latency=duration(one.latency))


def created_one(batch: Batched) -> erp_pb2.Record:
    """Returns the only new record."""
    return record(batch.records[0])


def created(batch: Batched) -> erp_pb2.BatchCreateRecordsResponse:
    """Returns new records in the order of their rows."""
    return erp_pb2.BatchCreateRecordsResponse(
        records=[record(one) for one in batch.records], transaction=batch.transaction
    )
