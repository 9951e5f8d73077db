"""Puts and selections on their way in: protobuf to domain."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

from sutler.cache.v1 import cache_pb2 as pb
from sutler.errors import Violation, invalid_fields
from sutler.filtering import parse
from sutler.wire import seconds

from services.cache.entries import Kind, checksum
from services.cache.listing import ENTRIES
from services.cache.puts import ALWAYS, Condition, Content, Put
from services.cache.selectors import Selector
from services.cache.streaming import Header, Part, Trailer
from services.cache.wire.text import checked_text, json_text


def seed(request_id: str, row: int = 0) -> str:
    """Returns what tells a change from all others: the request and its row, or something random."""
    return f"{request_id.lower()}/{row}" if request_id else f"{random.getrandbits(128):032x}"


def to_put(key: str, entry: pb.Entry, condition: pb.PutCondition | None, source: str, path: str = "entry") -> Put:
    """Returns what to put; the value that is there stays if the entry has none.

    Args:
        key: Under which key.
        entry: What.
        condition: What must hold; None if nothing.
        source: Tells the change from all others: see :func:`seed`.
        path: Where in the request the entry is.

    Raises:
        Invalid: If a value or text is not one that can be stored.
    """
    return Put(
        key=key,
        content=_content(entry, path),
        reference=entry.blob.sha256 if entry.HasField("blob") else "",
        content_type=entry.content_type,
        data_type=entry.data_type,
        metadata=json_text(f"{path}.metadata", entry.metadata).decode() if entry.HasField("metadata") else "{}",
        tags=tuple(dict.fromkeys(checked_text(f"{path}.tags", tag) for tag in entry.tags)),
        ttl=seconds(entry.ttl) if entry.HasField("ttl") else None,
        expire_time=seconds(entry.expire_time) if entry.HasField("expire_time") else None,
        condition=_condition(condition),
        seed=source,
    )


def ttl_of(request: pb.TouchEntryRequest | pb.TouchEntryRow | pb.IncrementEntryRequest) -> float | None:
    """Returns the seconds that a request wants an entry to live; None if it does not say."""
    return seconds(request.ttl) if request.HasField("ttl") else None


def _content(entry: pb.Entry, path: str) -> Content | None:
    kind = entry.WhichOneof("value")
    if kind == "inline_value":
        return _bytes(Kind.BYTES, entry.inline_value)
    if kind == "json_value":
        return _bytes(Kind.JSON, json_text(f"{path}.json_value", entry.json_value))
    if kind == "counter_value":
        return _bytes(Kind.COUNTER, str(entry.counter_value).encode())
    return None


def _bytes(kind: Kind, value: bytes) -> Content:
    return Content(kind, len(value), checksum(value), value)


def _condition(condition: pb.PutCondition | None) -> Condition:
    if condition is None:
        return ALWAYS
    return Condition(condition.absent, condition.etag, condition.lease_token)


def _check_value(put: pb.PutEntryRequest | pb.PutEntryRow, path: str) -> None:
    """Checks what the contract says in words: a rule in CEL took a tenth of the time of a put."""
    if put.keep_value == put.entry.HasField("value"):
        text = (
            "must have no value if keep_value is set"
            if put.keep_value
            else "must have a value if keep_value is not set"
        )
        raise invalid_fields([Violation(path, text, "VALUE")])


def put_of(request: pb.PutEntryRequest) -> Put:
    """Returns what a request of PutEntry puts. Raises as :func:`to_put`."""
    _check_value(request, "entry")
    condition = request.condition if request.HasField("condition") else None
    return to_put(request.key, request.entry, condition, seed(request.request_id))


def puts_of(request: pb.BatchPutEntriesRequest) -> list[Put]:
    """Returns what a request of BatchPutEntries puts. Raises as :func:`to_put`."""
    for index, row in enumerate(request.rows):
        _check_value(row, f"rows[{index}].entry")
    return [
        to_put(
            row.key,
            row.entry,
            row.condition if row.HasField("condition") else None,
            seed(request.request_id, index),
            f"rows[{index}].entry",
        )
        for index, row in enumerate(request.rows)
    ]


async def parts_of(requests: AsyncIterator[pb.WriteBlobRequest]) -> AsyncIterator[Part]:
    """Yields the parts of a stream of WriteBlob. Raises as :func:`to_put`."""
    async for request in requests:
        kind = request.WhichOneof("part")
        if kind == "header":
            header = request.header
            condition = header.condition if header.HasField("condition") else None
            yield Header(header.cache, to_put(header.key, header.entry, condition, seed(header.request_id)))
        elif kind == "data":
            yield request.data
        else:
            yield Trailer(request.trailer.size_bytes, request.trailer.sha256)


def selector_of(request: pb.InvalidateEntriesRequest) -> Selector:
    """Returns which entries an invalidation means.

    Raises:
        Invalid: If the filter is wrong (FILTER_INVALID).
    """
    return Selector(
        keys=tuple(dict.fromkeys(request.keys)),
        tags=tuple(dict.fromkeys(checked_text("tags", tag) for tag in request.tags)),
        prefix=request.prefix,
        filter=parse(request.filter, ENTRIES) if request.filter else None,
        everything=request.all,
    )
