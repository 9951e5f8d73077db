"""Waiting for operations, with progress."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.longrunning.operations_pb2 import Operation
from google.protobuf import symbol_database
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from sutler.errors import Unavailable, Unimplemented
from sutler.status import from_status
from sutler.type.v1.operation_pb2 import OperationMetadata, WatchOperationRequest

MAX_FAILURES = 8
"""How often in a row a watch may break before :func:`wait` gives up."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an operation is.

    Attributes:
        percent: 0 to 100.
        step: What is being done, for people.
        state: The name of the state, such as ``RUNNING``.
    """

    percent: int
    step: str
    state: str


def unpack(packed: AnyMessage) -> Message:
    """Returns the message inside an Any, whatever contract it is from.

    Raises:
        Unimplemented: If this client does not know the message's type.
    """
    try:
        kind: type[Message] = symbol_database.Default().GetSymbol(packed.TypeName())
    except KeyError as error:
        name = packed.TypeName()
        raise Unimplemented(f"this client is too old to know {name}", metadata={"type": name}) from error
    return kind.FromString(packed.value)


def progress(operation: Operation) -> Progress:
    """Returns how far an operation is, from its metadata."""
    metadata = OperationMetadata()
    operation.metadata.Unpack(metadata)
    state = OperationMetadata.State.Name(metadata.state).removeprefix("STATE_")
    return Progress(metadata.progress_percent, metadata.step, state)


def result(operation: Operation) -> Message:
    """Returns the response of an ended operation.

    Raises:
        SutlerError: The error that it ended with.
    """
    if operation.HasField("error"):
        raise from_status(operation.error)
    return unpack(operation.response)


async def wait(stub: Any, operation: Operation, on_progress: Callable[[Progress], None] | None) -> Message:
    """Follows an operation until it is done, over broken connections too, and returns its response.

    Args:
        stub: The stub of the service that owns it.
        operation: What the call answered.
        on_progress: Called for every change.

    Raises:
        SutlerError: The error that the operation ended with.
    """
    failures = 0
    while not operation.done:
        try:
            async for update in stub.WatchOperation(WatchOperationRequest(name=operation.name)):
                if not update.HasField("operation"):
                    continue  # the last message before an error holds its status only
                operation, failures = update.operation, 0
                if on_progress:
                    on_progress(progress(operation))
                if operation.done:
                    break
        except Unavailable:
            if failures >= MAX_FAILURES:
                raise
        if not operation.done:
            failures += 1
            await asyncio.sleep(random.uniform(0, min(5.0, 0.1 * 2**failures)))
    return result(operation)
