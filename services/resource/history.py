"""The log of revisions: one for each tenant, numbered in the order in which changes are committed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Change(IntEnum):
    """What happened to a resource, by the numbers of ``sutler.resource.v1.ResourceRevision.Kind``."""

    CREATED = 1
    UPDATED = 2
    PROGRESSED = 3
    DELETED = 4


class Cause(IntEnum):
    """What led to a change, by the numbers of ``sutler.resource.v1.ResourceRevision.Cause``."""

    REQUEST = 1
    OPERATION = 2
    EXPIRY = 3
    CASCADE = 4
    STACK = 5
    CANCEL = 6
    ABANDON = 7
    HANDLER = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """Why a revision came to be.

    Attributes:
        kind: What happened.
        cause: What led to it.
        actor: The principal that did it.
        origin: The resource or stack that led to it, where the cause says so.
        method: The RPC that began it.
        request_id: The request id of that call.
        operation: The operation that it belongs to.
        correlation_id: Ties log lines, traces and errors together.
    """

    kind: Change
    cause: Cause
    actor: str
    origin: str = ""
    method: str = ""
    request_id: str = ""
    operation: str = ""
    correlation_id: str = ""
