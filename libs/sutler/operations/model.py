"""What an operation is, and how its state may move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class State(IntEnum):
    """The states of an operation, by the numbers of ``sutler.type.v1.OperationMetadata.State``."""

    PENDING = 1
    RUNNING = 2
    CANCELLING = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


MOVES: dict[State, frozenset[State]] = {
    State.PENDING: frozenset((State.RUNNING, State.CANCELLING, State.SUCCEEDED, State.FAILED, State.CANCELLED)),
    State.RUNNING: frozenset((State.RUNNING, State.CANCELLING, State.SUCCEEDED, State.FAILED, State.CANCELLED)),
    State.CANCELLING: frozenset((State.CANCELLING, State.SUCCEEDED, State.FAILED, State.CANCELLED)),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""Every allowed move. A restart takes a RUNNING operation to RUNNING again, with the next attempt."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        name: ``<area>Operations/<uuid>``.
        tenant: Whose it is.
        method: The RPC that began it, such as ``CreateResource``.
        target: The name of the thing that it works on.
        state: Where it stands.
        progress: 0 to 100.
        step: What is being done, for people.
        work: What the runner needs to carry it out, JSON-able.
        principal: Who asked for it, as :func:`sutler.auth.encode_principal` writes it.
        creator: The subject of that principal.
        correlation_id: Ties log lines, traces and errors together.
        attempt: How often it was begun.
        fence: The fencing number of its present holder.
        start_time: Seconds since 1970.
        update_time: Seconds since 1970.
        end_time: Seconds since 1970; 0 while it goes on.
        response: A serialised ``google.protobuf.Any``; empty unless it succeeded.
        error: A serialised ``google.rpc.Status``: of its end, or of the last attempt while it goes on.
    """

    name: str
    tenant: str
    method: str
    target: str
    state: State = State.PENDING
    progress: int = 0
    step: str = ""
    work: Mapping[str, Any] = field(default_factory=dict)
    principal: str = ""
    creator: str = ""
    correlation_id: str = ""
    attempt: int = 0
    fence: int = 0
    start_time: float = 0.0
    update_time: float = 0.0
    end_time: float = 0.0
    response: bytes = b""
    error: bytes = b""
