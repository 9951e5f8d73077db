"""What makes a repeated request harmless: the record of its first answer, and the error that tells of a repeat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Once:
    """What the store needs to remember the answer of one request together with its change.

    Attributes:
        tenant: Whose request it is.
        method: The full method, ``/package.Service/Method``.
        request_id: The id that the caller chose.
        hash: The digest of the request, which tells a repeat from another request under the same id.
        encode: Makes the serialised answer from what the change returns.
    """

    tenant: str
    method: str
    request_id: str
    hash: bytes
    encode: Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class Remembered:
    """The first answer to a request.

    Attributes:
        hash: The digest of the request.
        answer: The serialised answer.
        expire_time: When it is forgotten, in epoch seconds.
    """

    hash: bytes
    answer: bytes
    expire_time: float


class RequestRepeated(Exception):
    """The request was answered before, maybe by another process: this change must not happen a second time.

    Raised inside a change, so that all of it is rolled back; the idempotency interceptor gives the first answer.

    Args:
        first: The record of the first answer.
    """

    def __init__(self, first: Remembered) -> None:
        super().__init__("the request was answered before")
        self.first = first
