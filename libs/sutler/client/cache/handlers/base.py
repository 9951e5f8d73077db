"""What a handler of a type of values is."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sutler.client.cache.entries import CacheEntry

Buffer = bytes | bytearray | memoryview

ARROW = "application/vnd.apache.arrow.file"
PARQUET = "application/vnd.apache.parquet"


class ValueUnreadable(ValueError):
    """A stored value cannot be read: its type is unknown or not allowed here, or its bytes are not of that type."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value as bytes.

    Attributes:
        chunks: The bytes, one after the other.
        metadata: What is worth knowing of the value, as JSON data; becomes part of the entry's metadata.
    """

    chunks: tuple[Buffer, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return sum(memoryview(chunk).nbytes for chunk in self.chunks)

    def joined(self) -> bytes:
        """Returns the bytes in one piece."""
        return b"".join(self.chunks)


class CacheHandler(ABC):
    """Turns values of one type into bytes and back.

    Attributes:
        content_type: The media type of the bytes.
        executable: Whether decoding can run code that the bytes hold. Such values are only written to and read from
            caches that sign.
        quick: Whether both ways take no longer than a copy in memory; all others run in a thread.
    """

    content_type: str = "application/octet-stream"
    executable: bool = False
    quick: bool = False

    @property
    @abstractmethod
    def data_type(self) -> str:
        """The name under which entries say what wrote them: a letter, then letters, digits, ``.``, ``_`` or ``-``."""

    @abstractmethod
    def can_handle(self, value: object) -> bool:
        """Returns whether :meth:`encode` takes this value, and :meth:`decode` gives an equal one of the same type."""

    @abstractmethod
    def encode(self, value: Any) -> Encoded:
        """Returns a value as bytes.

        Raises:
            TypeError: If the value would not come back as it is; says why, and what to do.
        """

    @abstractmethod
    def decode(self, data: Buffer, entry: CacheEntry) -> Any:
        """Returns the value that bytes stand for. The caller shares it with others: it may be read-only.

        Args:
            data: What :meth:`encode` gave.
            entry: The entry, mostly without its metadata: what decoding needs belongs into the bytes.

        Raises:
            Exception: If the bytes are not what ``encode`` gives.
        """

    def copy(self, value: Any) -> Any:
        """Returns a value of its own, which its caller may change, from one that :meth:`decode` gave."""
        return copy.deepcopy(value)
