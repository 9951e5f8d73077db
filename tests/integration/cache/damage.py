"""Damage made by hand, and runs of VerifyCache."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from google.longrunning import operations_pb2 as lro
from google.protobuf.duration_pb2 import Duration
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler

from tests.integration.cache.calls import Shelf
from tests.integration.cache.places import Place

ENDS_SECONDS = 55.0


@contextmanager
def database(place: Place) -> Iterator[Any]:
    """Runs statements in the database of a server, behind its back."""
    if place.data.startswith("sqlite:///"):
        path = place.data.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as raw:
            yield lambda sql, *params: raw.execute(sql, params).fetchall()
        return
    url, _, schema = place.data.partition("?schema=")
    with psycopg.connect(url, autocommit=True, options=f"-c search_path={schema}") as connection:
        yield lambda sql, *params: _fetched(connection.execute(sql.replace("?", "%s"), params))


def _fetched(cursor: Any) -> list[Any]:
    return cursor.fetchall() if cursor.description else []


async def verify(shelf: Shelf, **fields: Any) -> pb.VerifyCacheResponse:
    """Runs a verification to its end."""
    operation = await shelf.client.cache.VerifyCache(pb.VerifyCacheRequest(name=shelf.name, **fields))
    ended = await ended_of(shelf.client, operation.name)
    assert ended.WhichOneof("result") == "response", ended
    answer = pb.VerifyCacheResponse()
    assert ended.response.Unpack(answer)
    return answer


async def ended_of(client: Sutler, name: str) -> lro.Operation:
    """Waits until an operation has ended; on a busy machine two thousand repairs take longer than one wait."""
    async with asyncio.timeout(ENDS_SECONDS):
        while True:
            wanted = lro.WaitOperationRequest(name=name, timeout=Duration(seconds=10))
            found = await client.cache.WaitOperation(wanted)
            if found.done:
                return found
