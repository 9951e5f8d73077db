"""The RPCs that carry values of any size."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from google.api.httpbody_pb2 import HttpBody
from sutler.cache.v1 import cache_pb2 as pb
from sutler.context import current

from services.cache.changing import granted
from services.cache.servicer.work import Rpcs
from services.cache.wire.chunks import to_bodies, to_chunks
from services.cache.wire.entries import to_entry
from services.cache.wire.puts import parts_of


class BlobRpcs(Rpcs):
    """WriteBlob, ReadBlob and DownloadBlob."""

    async def WriteBlob(self, requests: AsyncIterator[pb.WriteBlobRequest], context: Any) -> pb.Entry:
        cache, result = await self._work.streams.write(current().tenant, parts_of(requests))
        return to_entry(cache, granted(result))

    def ReadBlob(self, request: pb.ReadBlobRequest, context: Any) -> AsyncIterator[pb.ReadBlobResponse]:
        return to_chunks(request, self._read(request))

    def DownloadBlob(self, request: pb.DownloadBlobRequest, context: Any) -> AsyncIterator[HttpBody]:
        return to_bodies(self._read(request))

    def _read(self, request: pb.ReadBlobRequest | pb.DownloadBlobRequest) -> Any:
        return self._work.reads.stream(
            current().tenant, request.cache, request.key, request.offset, request.limit, request.etag
        )
