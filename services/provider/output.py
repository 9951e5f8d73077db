"""The output of machines, as callers read it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Stream(IntEnum):
    """One of the outputs of a machine; the numbers of the contract."""

    STDOUT = 1
    STDERR = 2


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of output.

    Attributes:
        data: The bytes.
        offset: How many bytes came before them since the machine was first started.
    """

    data: bytes
    offset: int
