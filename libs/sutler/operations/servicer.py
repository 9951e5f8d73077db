"""The RPCs about operations: mixed into each servicer that has operations, and google.longrunning.Operations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.longrunning import operations_pb2 as lro
from google.longrunning import operations_pb2_grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.rpc.status_pb2 import Status

from sutler.context import current
from sutler.errors import Cancelled, Internal, Unavailable, invalid
from sutler.filtering import Field, Kind, Schema, parse
from sutler.operations import records
from sutler.operations.model import Operation, State
from sutler.paging import Pager, fitting, page_size
from sutler.status import to_status
from sutler.store import Database, Transaction
from sutler.tails import GATHER_SECONDS, changed
from sutler.type.v1.operation_pb2 import OperationMetadata, WatchOperationRequest, WatchOperationResponse
from sutler.watch import CHECKPOINT_SECONDS, with_final_status
from sutler.wire import seconds, timestamp

_STATES = {f"STATE_{state.name}": int(state) for state in State}

FILTER = Schema(
    {
        "name": Field(Kind.STRING, "name", required=True),
        "done": Field(Kind.BOOL, "ended", required=True),
        "metadata.state": Field(Kind.ENUM, "state", values=_STATES, required=True),
        "metadata.progress_percent": Field(Kind.INT, "progress", required=True),
        "metadata.step": Field(Kind.STRING, "step", required=True),
        "metadata.start_time": Field(Kind.TIME, "start_time", required=True),
        "metadata.update_time": Field(Kind.TIME, "update_time", required=True),
        "metadata.end_time": Field(Kind.TIME, "ended_at"),
        "metadata.target": Field(Kind.STRING, "target", required=True),
        "metadata.method": Field(Kind.STRING, "method", required=True),
        "metadata.creator": Field(Kind.STRING, "creator", required=True),
        "metadata.attempt": Field(Kind.INT, "attempt", required=True),
        "metadata.correlation_id": Field(Kind.STRING, "correlation_id", required=True),
    }
)
"""What ListOperations can filter on: the fields of an operation and of its metadata."""

MAX_WAIT_SECONDS = 600.0
DEADLINE_MARGIN_SECONDS = 0.25
"""How long before the caller's deadline a wait ends, so that the answer arrives in time."""

RECHECK_SECONDS = 5.0

SHARED = "google.longrunning.Operations"


def shared(servicer: Any) -> dict[str, tuple[Callable[[Any, Any], None], Any]]:
    """Returns google.longrunning.Operations, answered by a service's own servicer, for ``Service.servicers``.

    It stands on the service's own port only: behind one gateway nobody could say whose operations are meant. Its
    methods need the permissions of the service's own methods of the same names.
    """
    return {SHARED: (operations_pb2_grpc.add_OperationsServicer_to_server, servicer)}


@dataclass(frozen=True, slots=True)
class OperationBook:
    """What the RPCs need.

    Attributes:
        area: The API; names begin with ``<area>Operations/``.
        database: Where operations are stored.
        pager: Makes page tokens.
        shutdown: Set when the server stops.
        on_cancel: Called after a cancel was stored, with the operation.
    """

    area: str
    database: Database
    pager: Pager
    shutdown: asyncio.Event
    on_cancel: Callable[[Operation], Awaitable[None]] | None = None


def to_pb(operation: Operation) -> lro.Operation:
    """Returns an operation as the API shows it."""
    message = lro.Operation(name=operation.name, done=operation.state.ended)
    metadata = OperationMetadata(
        state=int(operation.state),  # type: ignore[arg-type]
        progress_percent=operation.progress,
        step=operation.step,
        start_time=timestamp(operation.start_time),
        update_time=timestamp(operation.update_time),
        target=operation.target,
        method=operation.method,
        creator=operation.creator,
        attempt=operation.attempt,
        correlation_id=operation.correlation_id,
    )
    if operation.end_time:
        metadata.end_time.CopyFrom(timestamp(operation.end_time))
    if operation.state is State.SUCCEEDED:
        message.response.CopyFrom(AnyMessage.FromString(operation.response))
    elif operation.state.ended:
        message.error.CopyFrom(Status.FromString(operation.error) if operation.error else _end(operation))
    elif operation.error:
        metadata.last_error.CopyFrom(Status.FromString(operation.error))
    message.metadata.Pack(metadata)
    return message


def _end(operation: Operation) -> Status:
    """Returns the error of an operation that ended without one."""
    cancelled = operation.state is State.CANCELLED
    error = Cancelled("the operation was cancelled") if cancelled else Internal("the operation failed")
    area = operation.name.partition("Operations/")[0]
    return to_status(error, f"{area}.sutler.dev", operation.correlation_id)


class OperationsServicer:
    """GetOperation, ListOperations, CancelOperation, WaitOperation and WatchOperation.

    Args:
        book: Where the operations are.
    """

    def __init__(self, book: OperationBook) -> None:
        self._book = book

    async def GetOperation(self, request: lro.GetOperationRequest, context: Any) -> lro.Operation:
        return to_pb(await self._get(request.name))

    async def ListOperations(self, request: lro.ListOperationsRequest, context: Any) -> lro.ListOperationsResponse:
        tenant, size = current().tenant, page_size(request)
        if request.name not in ("", f"{self._book.area}Operations"):
            raise invalid("name", f"must be empty or {self._book.area}Operations")
        condition, values = parse(request.filter, FILTER).sql(self._book.database.dialect)
        after = self._book.pager.position(tenant, "ListOperations", request)

        start, name = after or (float("inf"), "")

        def read(tx: Transaction) -> list[Operation]:
            rows = tx.all(
                f"SELECT {records.COLUMNS} FROM (SELECT operations.*, NULLIF(end_time, 0) AS ended_at FROM operations) "
                f"AS found WHERE tenant = ? AND start_time <= ? AND (start_time < ? OR name < ?) AND ({condition}) "
                "ORDER BY start_time DESC, name DESC LIMIT ?",
                (tenant, start, start, name, *values, size + 1),
            )
            return [records.from_row(row) for row in rows]

        found = await self._book.database.scan(read)
        shown = [to_pb(operation) for operation in found[:size]]
        shown = shown[: fitting(message.ByteSize() for message in shown)]
        answer = lro.ListOperationsResponse(operations=shown)
        if len(found) > len(shown):
            last = found[len(shown) - 1]
            position = [last.start_time, last.name]
            answer.next_page_token = self._book.pager.token(tenant, "ListOperations", request, position)
        return answer

    async def CancelOperation(self, request: lro.CancelOperationRequest, context: Any) -> Empty:
        tenant = current().tenant
        operation = await self._book.database.write(lambda tx: records.request_cancel(tx, tenant, request.name))
        if self._book.on_cancel and not operation.state.ended:
            await self._book.on_cancel(operation)
        return Empty()

    async def WaitOperation(self, request: lro.WaitOperationRequest, context: Any) -> lro.Operation:
        wanted = seconds(request.timeout) if request.HasField("timeout") else MAX_WAIT_SECONDS
        if wanted < 0:
            raise invalid("timeout", "must not be negative")
        ends = time.monotonic() + min(wanted, MAX_WAIT_SECONDS)
        deadline = current().deadline
        if deadline is not None:
            ends = min(ends, deadline - DEADLINE_MARGIN_SECONDS)
        changes, shutdown = self._book.database.changes, self._book.shutdown
        while True:
            seen = changes.generation
            operation = await self._get(request.name)
            left = ends - time.monotonic()
            if operation.state.ended or left <= 0 or shutdown.is_set():
                return to_pb(operation)
            await changed(changes, shutdown, seconds=min(left, RECHECK_SECONDS), since=seen)

    def WatchOperation(self, request: WatchOperationRequest, context: Any) -> AsyncIterator[WatchOperationResponse]:
        return with_final_status(
            self._book.area, self._watch(request.name), lambda status: WatchOperationResponse(status=status)
        )

    async def _watch(self, name: str) -> AsyncIterator[WatchOperationResponse]:
        told: Operation | None = None
        told_at = 0.0
        changes, shutdown = self._book.database.changes, self._book.shutdown
        while True:
            seen = changes.generation
            operation = await self._get(name)
            if operation != told or time.monotonic() - told_at >= CHECKPOINT_SECONDS:
                yield WatchOperationResponse(operation=to_pb(operation))
                told, told_at = operation, time.monotonic()
            if operation.state.ended:
                return
            if shutdown.is_set():
                raise Unavailable("the server is stopping; watch again elsewhere", reason="SHUTTING_DOWN")
            left = told_at + CHECKPOINT_SECONDS - time.monotonic()
            await changed(changes, shutdown, seconds=max(0.0, left), since=seen, gather=GATHER_SECONDS)

    async def _get(self, name: str) -> Operation:
        tenant = current().tenant
        return await self._book.database.read(lambda tx: records.get(tx, tenant, name))
