"""Values on their way out, piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator

from google.api.httpbody_pb2 import HttpBody
from sutler.cache.v1 import cache_pb2 as pb

from services.cache.entries import Entry
from services.cache.wire.entries import media_type, to_entry


async def to_chunks(
    request: pb.ReadBlobRequest, parts: AsyncIterator[Entry | bytes]
) -> AsyncIterator[pb.ReadBlobResponse]:
    """Yields the messages of ReadBlob: the entry is in the first, ``complete`` in the last."""
    offset, end, first = request.offset, 0, pb.ReadBlobResponse()
    async for part in parts:
        if isinstance(part, Entry):
            end = min(part.size, offset + request.limit) if request.limit else part.size
            first = pb.ReadBlobResponse(entry=to_entry(request.cache, part), offset=offset, complete=True)
            continue
        message, first = first, pb.ReadBlobResponse()
        message.offset, message.data = offset, part
        offset += len(part)
        message.complete = offset == end
        yield message
    if first.complete:  # nothing was asked for, or the value is empty
        yield first


async def to_bodies(parts: AsyncIterator[Entry | bytes]) -> AsyncIterator[HttpBody]:
    """Yields the messages of DownloadBlob; each tells the content type, for a gateway reads that of the first."""
    kind, sent = "", False
    async for part in parts:
        if isinstance(part, Entry):
            kind = media_type(part)
            continue
        sent = True
        yield HttpBody(content_type=kind, data=part)
    if not sent:
        yield HttpBody(content_type=kind)
