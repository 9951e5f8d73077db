"""Entries on their way out: domain to protobuf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import orjson
from google.protobuf.empty_pb2 import Empty
from google.rpc.status_pb2 import Status
from sutler.cache.v1 import cache_pb2 as pb
from sutler.context import current
from sutler.errors import NotFound, SutlerError
from sutler.status import to_status
from sutler.wire import duration, timestamp, to_struct, to_value

from services.cache.entries import MAX_INLINE_BYTES, Entry, Kind
from services.cache.forms import Form, View
from services.cache.leases import Lease
from services.cache.results import Result

DOMAIN = "cache.sutler.dev"
_VIEWS = {
    pb.ENTRY_VIEW_UNSPECIFIED: View.FULL,
    pb.ENTRY_VIEW_FULL: View.FULL,
    pb.ENTRY_VIEW_BASIC: View.BASIC,
    pb.ENTRY_VIEW_VALUE: View.VALUE,
}


def to_entry(cache: str, entry: Entry, view: View = View.BASIC) -> pb.Entry:
    """Returns an entry as the API shows it; with its value, if it was read and the view has it."""
    message = pb.Entry(etag=entry.etag)
    if view is not View.BASIC and entry.value is not None:
        _set_value(message, entry)
    elif entry.blob is not None and entry.size > MAX_INLINE_BYTES:
        message.blob.sha256 = entry.blob.sha256
    if entry.content_type:
        message.content_type = entry.content_type
    if entry.data_type:
        message.data_type = entry.data_type
    if entry.tags:
        message.tags.extend(entry.tags)
    if entry.ttl is not None:
        message.ttl.CopyFrom(duration(entry.ttl))
    if entry.expire_time is not None:
        message.expire_time.CopyFrom(timestamp(entry.expire_time))
    message.signature_verified = entry.verified
    if view is not View.VALUE:
        _describe(message, cache, entry)
    return message


def _describe(message: pb.Entry, cache: str, entry: Entry) -> None:
    message.cache = cache
    message.key = entry.key
    message.size_bytes = entry.size
    message.stored_size_bytes = entry.stored_size
    message.checksum = entry.checksum
    message.hit_count = entry.hit_count
    if entry.metadata != "{}":
        message.metadata.CopyFrom(to_struct(orjson.loads(entry.metadata)))
    if entry.access_time is not None:
        message.access_time.CopyFrom(timestamp(entry.access_time))
    message.create_time.CopyFrom(timestamp(entry.create_time))
    message.update_time.CopyFrom(timestamp(entry.update_time))


def _set_value(message: pb.Entry, entry: Entry) -> None:
    assert entry.value is not None
    if entry.kind is Kind.BYTES:
        message.inline_value = entry.value
    elif entry.kind is Kind.COUNTER:
        message.counter_value = int(entry.value)
    else:
        message.json_value.CopyFrom(to_value(orjson.loads(entry.value)))


def _entry_bytes(view: View) -> Callable[[str, Entry], bytes]:
    return lambda cache, entry: to_entry(cache, entry, view).SerializeToString()


def _row_bytes(view: View) -> Callable[[str, Entry], bytes]:
    return lambda cache, entry: _row(pb.EntryResult(entry=to_entry(cache, entry, view)))


def _row(result: pb.EntryResult) -> bytes:
    """Returns a response with one row: of several such the bytes, one after the other, are one with all rows."""
    return pb.BatchGetEntriesResponse(results=[result]).SerializeToString()


_ENTRIES = {number: Form(view, _entry_bytes(view)) for number, view in _VIEWS.items()}
_ROWS = {number: Form(view, _row_bytes(view)) for number, view in _VIEWS.items()}


def entry_form(view: pb.EntryView.ValueType, known_etag: str) -> Form:
    """Returns the form of the answer to GetEntry: the bytes of an Entry."""
    form = _ENTRIES[view]
    return replace(form, known_etag=known_etag) if known_etag else form


def row_form(view: pb.EntryView.ValueType) -> Form:
    """Returns the form of one row of the answer to BatchGetEntries: the bytes of an answer with this row alone."""
    return _ROWS[view]


def to_row(missing: NotFound) -> bytes:
    """Returns the row of a key without an entry, as :func:`row_form` gives the others."""
    return _row(pb.EntryResult(status=_status(missing)))


def to_result(cache: str, result: Result, view: View = View.BASIC) -> pb.EntryResult:
    """Returns what became of a row that gives no lease."""
    assert not isinstance(result, Lease)
    if isinstance(result, SutlerError):
        return pb.EntryResult(status=_status(result))
    return pb.EntryResult() if result is None else pb.EntryResult(entry=to_entry(cache, result, view))


def to_delete_result(result: Result) -> pb.DeleteEntryResult:
    """Returns what became of a row that was to be deleted."""
    if isinstance(result, SutlerError):
        return pb.DeleteEntryResult(status=_status(result))
    return pb.DeleteEntryResult(deleted=Empty())


def _status(error: SutlerError) -> Status:
    return to_status(error, DOMAIN, current().correlation_id)


def media_type(entry: Entry) -> str:
    """Returns what a plain HTTP body says that it is."""
    if entry.content_type:
        return entry.content_type
    return "application/octet-stream" if entry.kind is Kind.BYTES else "application/json"
