"""Exports and imports on the wire."""

from __future__ import annotations

from google.rpc.status_pb2 import Status
from sutler.erp.v1 import erp_pb2
from sutler.wire import from_value

from services.erp.exporting import Chunk, Export
from services.erp.records import Record
from services.erp.wanting import Wanted
from services.erp.wire import records


def export(request: erp_pb2.ExportRecordsRequest) -> Export:
    """Returns what is to be exported."""
    return Export(
        wanted=Wanted(
            model=request.model,
            fields=tuple(request.fields),
            binaries=request.include_binaries,
            context=records.call_context(request),
            max_staleness=0,
        ),
        filter=request.filter,
        domain=tuple(from_value(one) for one in request.domain.values),
        archived=request.show_archived,
        chunk_size=request.chunk_size,
        resume_token=request.resume_token,
    )


def encoded(one: Record) -> tuple[erp_pb2.Record, int]:
    """Returns a record and its size in bytes."""
    message = records.record(one)
    return message, message.ByteSize()


def exported(chunk: Chunk[erp_pb2.Record]) -> erp_pb2.ExportRecordsResponse:
    """Returns one message of an export; the one without records says that it is complete."""
    return erp_pb2.ExportRecordsResponse(
        records=chunk.records,
        resume_token=chunk.resume_token,
        exported_count=chunk.position.count,
        total_size=chunk.position.total,
        status=None if chunk.records else Status(),
    )
