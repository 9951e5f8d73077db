"""An example of a handler that a program brings: intervals, as two numbers of 8 bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sutler.client.cache import CacheEntry, CacheHandler, Encoded


@dataclass(frozen=True)
class Interval:
    """From one number to another."""

    low: float
    high: float


class IntervalHandler(CacheHandler):
    """Intervals; filters reach ``metadata.length``."""

    data_type = "interval"
    content_type = "application/x-interval"
    quick = True

    def can_handle(self, value: object) -> bool:
        """Takes intervals only."""
        return type(value) is Interval

    def encode(self, value: Interval) -> Encoded:
        """Returns the two ends, and what to know of them."""
        return Encoded((struct.pack("<2d", value.low, value.high),), {"length": value.high - value.low})

    def decode(self, data: bytes | bytearray | memoryview, entry: CacheEntry) -> Interval:
        """Returns the interval. Raises struct.error if that is no interval."""
        return Interval(*struct.unpack("<2d", data))

    def copy(self, value: Interval) -> Interval:
        """Returns the interval itself, as nobody can change it."""
        return value
