"""Exports and imports on the wire."""

from __future__ import annotations

from google.rpc.status_pb2 import Status
from sutler.erp.v1 import erp_pb2
from sutler.wire import from_struct, from_value, timestamp

from services.erp.creating import NewRecord
from services.erp.exports.exporting import Chunk, Export
from services.erp.imports import faults
from services.erp.imports.model import Import, ImportSpec, Mode, Outcome, RowResult
from services.erp.imports.running import Progress, Rows
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


def opening(request: erp_pb2.ImportRecordsRequest) -> ImportSpec:
    """Returns what the first message of an import says.

    Raises:
        Invalid: If it lacks something (IMPORT_INVALID).
    """
    missing = [name for name in ("connection", "model", "import_id") if not getattr(request, name)]
    if missing:
        raise faults.first_lacks(missing)
    return ImportSpec(
        model=request.model,
        mode=Mode.UPSERT if request.mode == erp_pb2.Import.MODE_UPSERT else Mode.CREATE,
        key_fields=tuple(request.key_fields),
        max_failed_rows=request.max_failed_rows,
        validate_only=request.validate_only,
        context=records.call_context(request),
    )


def rows(request: erp_pb2.ImportRecordsRequest) -> Rows:
    """Returns the rows of a message."""
    found = [NewRecord(values=from_struct(one.values), external_id=one.external_id) for one in request.rows]
    return Rows(request.first_index, found)


def progress(one: Progress) -> erp_pb2.ImportRecordsResponse:
    """Returns the answer to one message of an import; that of one that has ended says so."""
    return erp_pb2.ImportRecordsResponse(
        progress=import_(one.now),
        results=[
            _result(one.now.spec.model, index, result)
            for index, result in enumerate(one.results, start=one.first_index)
        ],
        status=Status() if one.now.state.ended else None,
    )


def import_(one: Import) -> erp_pb2.Import:
    """Returns an import."""
    return erp_pb2.Import(
        name=one.name,
        uid=one.uid,
        create_time=timestamp(one.create_time),
        update_time=timestamp(one.update_time),
        etag=one.etag,
        model=one.spec.model,
        mode=erp_pb2.Import.Mode.Value(f"MODE_{one.spec.mode}"),
        key_fields=one.spec.key_fields,
        state=erp_pb2.Import.State.Value(f"STATE_{one.state}"),
        error=Status.FromString(one.error) if one.error else None,
        end_time=timestamp(one.end_time) if one.end_time is not None else None,
        next_index=one.next_index,
        created_count=one.created_count,
        updated_count=one.updated_count,
        unchanged_count=one.unchanged_count,
        failed_count=one.failed_count,
        failed_rows=[_result(one.spec.model, index, result) for index, result in one.failed_rows],
        validate_only=one.spec.validate_only,
        creator=one.creator,
        correlation_id=one.correlation_id,
    )


def _result(model: str, index: int, one: RowResult) -> erp_pb2.RowResult:
    message = erp_pb2.RowResult(index=index)
    if one.outcome is Outcome.FAILED:
        message.status.ParseFromString(one.error)
        return message
    message.outcome = erp_pb2.RowResult.Outcome.Value(f"OUTCOME_{one.outcome}")
    message.record.CopyFrom(erp_pb2.Record(model=model, id=one.record_id, external_id=one.external_id))
    return message
