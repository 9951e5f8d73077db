"""The types that our MessagePack has beyond the standard ones. The numbers are stored: they never change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

SCALAR = 13
"""A scalar of numpy: its data type and its bytes."""
NESTED = 20
"""A value of another handler: data type, content type, metadata, bytes."""


@dataclass(frozen=True, slots=True)
class Extension:
    """How values of one type are packed.

    Attributes:
        code: The number of the type.
        parts: Gives what stands for a value.
        value: Makes the value of that.
        exact: Returns whether it will be the same value.
    """

    code: int
    parts: Callable[[Any], Any]
    value: Callable[[Any], Any]
    exact: Callable[[Any], bool] = lambda _: True


def _zone(value: Any) -> str | None:
    return value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None


def _known_zone(value: Any) -> bool:
    zone = value.tzinfo
    if isinstance(zone, ZoneInfo):
        return zone.key is not None
    return zone is None or isinstance(zone, timezone)


def _moment(kind: Any, parts: Any) -> Any:
    text, fold, zone = parts
    value = kind.fromisoformat(text).replace(fold=fold)
    return value if zone is None else value.replace(tzinfo=ZoneInfo(zone))


def _whole(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


EXTENSIONS: dict[type, Extension] = {
    int: Extension(4, _whole, lambda data: int.from_bytes(data, "big", signed=True)),
    complex: Extension(5, lambda value: [value.real, value.imag], lambda parts: complex(*parts)),
    Decimal: Extension(6, str, Decimal),
    Fraction: Extension(7, lambda value: [value.numerator, value.denominator], lambda parts: Fraction(*parts)),
    datetime: Extension(
        8,
        lambda value: [value.isoformat(), value.fold, _zone(value)],
        lambda parts: _moment(datetime, parts),
        _known_zone,
    ),
    date: Extension(9, date.isoformat, date.fromisoformat),
    time: Extension(
        10, lambda value: [value.isoformat(), value.fold, _zone(value)], lambda parts: _moment(time, parts), _known_zone
    ),
    timedelta: Extension(
        11, lambda value: [value.days, value.seconds, value.microseconds], lambda parts: timedelta(*parts)
    ),
    UUID: Extension(12, lambda value: value.bytes, lambda data: UUID(bytes=data)),
}
"""How leaves are packed that MessagePack does not know; ``int`` only beyond 64 bits."""

_VALUES = {extension.code: extension.value for extension in EXTENSIONS.values()}


def unpacked(code: int, parts: Any) -> Any:
    """Returns a value from its parts.

    Raises:
        KeyError: If the type is none of ours.
    """
    return _VALUES[code](parts)


def unpacked_scalar(kind: str, data: bytes) -> Any:
    """Returns a scalar of numpy."""
    import numpy as np

    made = np.dtype(kind)  # without a size for an empty text
    return np.frombuffer(data, made)[0] if made.itemsize else np.zeros((), made)[()]
