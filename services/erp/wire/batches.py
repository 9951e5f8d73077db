"""Batches on the wire."""

from __future__ import annotations

from sutler.erp.v1 import erp_pb2
from sutler.wire import from_struct

from services.erp.batches.batching import Batched, Deletion, RowUpdate, Updates
from services.erp.batches.upserting import Upserted, Upsertion
from services.erp.creating import NewRecord
from services.erp.wire.records import call_context, record


def updates(request: erp_pb2.BatchUpdateRecordsRequest) -> Updates:
    """Returns what is to change of which records."""
    return Updates(
        model=request.model,
        rows=tuple(RowUpdate(id=one.id, values=from_struct(one.values), etag=one.etag) for one in request.rows),
        fields=tuple(request.fields),
        context=call_context(request),
        validate_only=request.validate_only,
    )


def deletion(request: erp_pb2.BatchDeleteRecordsRequest) -> Deletion:
    """Returns which records are to go."""
    return Deletion(
        model=request.model,
        ids=tuple(request.ids),
        allow_missing=request.allow_missing,
        context=call_context(request),
        validate_only=request.validate_only,
    )


def upsertion(request: erp_pb2.UpsertRecordsRequest) -> Upsertion:
    """Returns the records as they shall be."""
    return Upsertion(
        model=request.model,
        rows=tuple(NewRecord(values=from_struct(one.values), external_id=one.external_id) for one in request.rows),
        key_fields=tuple(request.key_fields),
        archived=request.show_archived,
        fields=tuple(request.fields),
        context=call_context(request),
        validate_only=request.validate_only,
    )


def updated(one: Batched) -> erp_pb2.BatchUpdateRecordsResponse:
    """Returns changed records in the order of their rows."""
    return erp_pb2.BatchUpdateRecordsResponse(
        records=[record(each) for each in one.records], transaction=one.transaction
    )


def upserted(one: Upserted) -> erp_pb2.UpsertRecordsResponse:
    """Returns what became of each row."""
    return erp_pb2.UpsertRecordsResponse(
        results=[
            erp_pb2.RowResult(
                index=index, outcome=erp_pb2.RowResult.Outcome.Value(f"OUTCOME_{outcome}"), record=record(each)
            )
            for index, (outcome, each) in enumerate(one.rows)
        ],
        transaction=one.transaction,
    )
