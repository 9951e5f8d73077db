"""Writes objects: small ones by one request, large ones in parts."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from sutler.errors import SutlerError

log = structlog.get_logger("sutler.cache")

PART = 8 << 20
MAX_PART = 64 << 20
GROWS_AFTER = 1000
"""Every so many parts the next ones are twice as large: S3 takes 10,000, which are some 500 GB then."""

Request = Callable[..., Coroutine[Any, Any, Any]]


class PartWriter:
    """Takes the bytes of one object. While a part is sent, the next one gathers: two are in memory at most.

    Args:
        call: Sends a request, given the name of the client's method and its arguments; raises what callers are told.
        uploads: The ids of uploads that this process is at.
    """

    def __init__(self, call: Request, uploads: set[str]) -> None:
        self._call = call
        self._uploads = uploads
        self._gathered: list[bytes] = []
        self._size = 0
        self._upload = ""
        self._etags: list[str] = []
        self._sending: asyncio.Task[None] | None = None
        self._finished = False

    async def write(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._gathered.append(data)
        self._size += len(data)
        if self._size >= min(MAX_PART, PART << len(self._etags) // GROWS_AFTER):
            await self._sent()
            self._sending = asyncio.create_task(self._send(self._taken()))

    async def finish(self) -> None:
        """Makes the object visible."""
        await self._sent()
        body = self._taken()
        if not self._upload:
            await self._call("put_object", Body=body, ContentMD5=await _md5(body))
        else:
            if body:
                await self._send(body)
            parts = [{"ETag": etag, "PartNumber": number} for number, etag in enumerate(self._etags, 1)]
            await self._call("complete_multipart_upload", UploadId=self._upload, MultipartUpload={"Parts": parts})
        self._finished = True

    async def end(self) -> None:
        """Takes back what is not finished; what cannot be now, is when it is old."""
        if self._sending is not None:
            await asyncio.gather(self._sending, return_exceptions=True)
        if self._upload and not self._finished:
            try:
                await self._call("abort_multipart_upload", UploadId=self._upload)
            except SutlerError as error:
                log.warning("cache.upload_left_behind", error=str(error))
        self._uploads.discard(self._upload)

    def _taken(self) -> bytes:
        body = b"".join(self._gathered)
        self._gathered.clear()
        self._size = 0
        return body

    async def _send(self, body: bytes) -> None:
        if not self._upload:
            self._upload = (await self._call("create_multipart_upload"))["UploadId"]
            self._uploads.add(self._upload)
        number = len(self._etags) + 1
        answer = await self._call(
            "upload_part", UploadId=self._upload, PartNumber=number, Body=body, ContentMD5=await _md5(body)
        )
        self._etags.append(answer["ETag"])

    async def _sent(self) -> None:
        if self._sending is not None:
            await asyncio.wait([self._sending])
            self._sending.result()


async def _md5(body: bytes) -> str:
    digest = await asyncio.to_thread(lambda: hashlib.md5(body, usedforsecurity=False).digest())
    return base64.b64encode(digest).decode()
