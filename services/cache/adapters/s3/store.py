"""The byte store in a bucket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from botocore.exceptions import ClientError
from sutler.backends import ByteStore
from sutler.errors import Unavailable

from services.cache.adapters.s3.client import Connection
from services.cache.adapters.s3.failures import ABSENT, PAST_THE_END, code_of, told
from services.cache.adapters.s3.options import S3Options
from services.cache.adapters.s3.writing import PartWriter

PIECE = 1 << 20
GROUP = 500


class S3Bytes(ByteStore):
    """Objects in a bucket. See :class:`sutler.backends.ByteStore`.

    Ages are told by the clock of S3. Needs the rights to get, put, delete and list objects, and to list and abort
    uploads; without the right to list, S3 does not tell a missing object from a refusal.

    Args:
        options: Where and as whom.
    """

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._connection = Connection(options)
        self._uploads: set[str] = set()

    @asynccontextmanager
    async def writer(self, name: str) -> AsyncIterator[PartWriter]:
        """Opens a new object."""
        writer = PartWriter(partial(self._call, Key=self._key(name)), self._uploads)
        try:
            yield writer
        finally:
            await asyncio.shield(writer.end())

    async def read(self, name: str, offset: int, length: int) -> bytes | None:
        """Returns bytes of an object."""
        with told():
            body = await self._body(name, offset, offset + length)
            if not body:
                return None if body is None else b""
            async with body:
                return bytes(await body.read())

    async def stream(self, name: str, offset: int, length: int) -> AsyncGenerator[bytes]:
        """Yields bytes of an object by one request; begins another one where that breaks off."""
        end, begun = offset + length, -1
        while offset < end:
            try:
                with told():
                    body = await self._body(name, offset, end)
                    if not body:
                        return
                    async with body:
                        async for piece in body.iter_chunks(PIECE):
                            yield piece
                            offset += len(piece)
                return
            except Unavailable:
                if offset == begun:
                    raise
                begun = offset

    async def delete(self, name: str) -> None:
        """Removes an object."""
        await self._call("delete_object", Key=self._key(name))

    async def older(self, seconds: float) -> AsyncIterator[Sequence[str]]:
        """Yields names of objects that are old enough.

        What came in parts is dated by the beginning of its upload, so that is older by as long as an upload may take.
        """
        async for page in self._pages("list_objects_v2"):
            now = _date(page)
            names = [
                item["Key"].removeprefix(self._options.prefix)
                for item in page.get("Contents", ())
                if _age(now, item["LastModified"]) > seconds + (self._options.upload_seconds if _in_parts(item) else 0)
            ]
            if names:
                yield names

    async def tidy(self) -> None:
        """Aborts uploads of others that are older than an upload may be."""
        async for page in self._pages("list_multipart_uploads"):
            now = _date(page)
            for upload in page.get("Uploads", ()):
                old = _age(now, upload["Initiated"]) > self._options.upload_seconds
                if old and upload["UploadId"] not in self._uploads:
                    await self._call("abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])

    async def health(self) -> None:
        """Returns if the bucket answers."""
        await self._call("head_bucket")

    async def close(self) -> None:
        """Ends all connections."""
        await self._connection.close()

    async def _call(self, method: str, **arguments: Any) -> Any:
        with told():
            client = await self._connection.client()
            return await getattr(client, method)(Bucket=self._options.bucket, **arguments)

    async def _body(self, name: str, offset: int, end: int) -> Any:
        """Returns the open body of a part of an object; no bytes if it ends before, None if there is none."""
        client = await self._connection.client()
        try:
            answer = await client.get_object(
                Bucket=self._options.bucket, Key=self._key(name), Range=f"bytes={offset}-{end - 1}"
            )
        except ClientError as error:
            if code_of(error) in ABSENT:
                return None
            if code_of(error) in PAST_THE_END:
                return b""
            raise
        return answer["Body"]

    async def _pages(self, method: str) -> AsyncIterator[Any]:
        with told():
            client = await self._connection.client()
            pages = client.get_paginator(method).paginate(
                Bucket=self._options.bucket, Prefix=self._options.prefix, PaginationConfig={"PageSize": GROUP}
            )
            async for page in pages:
                yield page

    def _key(self, name: str) -> str:
        return self._options.prefix + name


def _date(answer: Any) -> datetime:
    """Returns the time by the clock of S3."""
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])


def _age(now: datetime, then: datetime) -> float:
    return (now - then).total_seconds()


def _in_parts(item: Any) -> bool:
    return "-" in item["ETag"]
