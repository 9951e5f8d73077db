"""Streams of imports, as clients feed them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.wire import to_struct

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN

CREATED = erp_pb2.RowResult.OUTCOME_CREATED
UPDATED = erp_pb2.RowResult.OUTCOME_UPDATED
UNCHANGED = erp_pb2.RowResult.OUTCOME_UNCHANGED


def new_import_id() -> str:
    return f"i{uuid.uuid4().hex[:12]}"


def opening(import_id: str, model: str = "res.partner", **more: Any) -> erp_pb2.ImportRecordsRequest:
    return erp_pb2.ImportRecordsRequest(connection=MAIN, model=model, import_id=import_id, **more)


def chunk(
    first: int, rows: Iterable[Mapping[str, Any]], external_ids: Iterable[str] = ()
) -> erp_pb2.ImportRecordsRequest:
    made = [erp_pb2.RecordInput(values=to_struct(values)) for values in rows]
    for row, external_id in zip(made, external_ids, strict=False):
        row.external_id = external_id
    return erp_pb2.ImportRecordsRequest(first_index=first, rows=made)


def partners(mark: str, first: int, count: int) -> list[dict[str, Any]]:
    return [{"name": f"{mark} {index}", "ref": mark} for index in range(first, first + count)]


def in_erp(sandbox: SandboxProcess, mark: str) -> list[str]:
    found = sandbox.call("res.partner", "search_read", [["ref", "=", mark]], fields=["name"], order="id")
    return [one["name"] for one in found]


async def get_import(client: Sutler, import_id: str) -> erp_pb2.Import:
    return await client.erp.GetImport(erp_pb2.GetImportRequest(name=f"{MAIN}/imports/{import_id}"))


class Stream:
    """One stream: each message is sent when the test says so."""

    def __init__(self, client: Sutler, first: erp_pb2.ImportRecordsRequest) -> None:
        self._queue: asyncio.Queue[erp_pb2.ImportRecordsRequest | None] = asyncio.Queue()
        self._queue.put_nowait(first)
        self.call = client.erp.ImportRecords(self._messages())
        self._answers = aiter(self.call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._answers.aclose()  # type: ignore[attr-defined]

    async def answer(self) -> erp_pb2.ImportRecordsResponse:
        return await anext(self._answers)

    async def send(self, message: erp_pb2.ImportRecordsRequest) -> erp_pb2.ImportRecordsResponse:
        self._queue.put_nowait(message)
        return await self.answer()

    async def end(self) -> list[erp_pb2.ImportRecordsResponse]:
        self._queue.put_nowait(None)
        return [one async for one in self._answers]

    async def _messages(self) -> AsyncIterator[erp_pb2.ImportRecordsRequest]:
        while (message := await self._queue.get()) is not None:
            yield message


async def run(
    client: Sutler, *messages: erp_pb2.ImportRecordsRequest, metadata: Mapping[str, str] | None = None
) -> list[erp_pb2.ImportRecordsResponse]:
    """Sends messages without waiting for answers, and returns all answers."""

    async def sent() -> AsyncIterator[erp_pb2.ImportRecordsRequest]:
        for message in messages:
            yield message

    return [one async for one in client.erp.ImportRecords(sent(), metadata=metadata)]
