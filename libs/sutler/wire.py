"""Protobuf's open and well-known types to plain Python and back: what every servicer translates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import NullValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

MAX_EXACT = 2**53
"""Whole numbers up to here survive JSON; larger ones travel as strings."""


def from_struct(struct: Struct) -> dict[str, Any]:
    """Returns a Struct as a dict; whole numbers come as int."""
    return {key: from_value(value) for key, value in struct.fields.items()}


def from_value(value: Value) -> Any:
    """Returns a Value as plain JSON data; an unset one as None, whole numbers as int."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= MAX_EXACT else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return from_struct(value.struct_value)
    if kind == "list_value":
        return [from_value(item) for item in value.list_value.values]
    return None


def to_struct(values: Mapping[str, Any]) -> Struct:
    """Returns a mapping as a Struct. Raises TypeError for what JSON does not know."""
    struct = Struct()
    put_struct(struct, values)
    return struct


def put_struct(struct: Struct, values: Mapping[str, Any]) -> None:
    """Puts a mapping into a Struct, in place: two to four times as fast as to copy one. Raises as :func:`to_struct`."""
    fields = struct.fields
    for key, value in values.items():
        _put(fields[key], value)


def to_value(value: Any) -> Value:
    """Returns plain JSON data as a Value; whole numbers beyond 2^53 become strings.

    Raises:
        TypeError: For what JSON does not know.
    """
    made = Value()
    _put(made, value)
    return made


def _put(target: Value, value: Any) -> None:
    if isinstance(value, str):
        target.string_value = value
    elif value is None:
        target.null_value = NullValue.NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int) and abs(value) > MAX_EXACT:
        target.string_value = str(value)
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, dict | Mapping):
        target.struct_value.SetInParent()
        put_struct(target.struct_value, value)
    elif isinstance(value, list | tuple):
        target.list_value.SetInParent()
        for item in value:
            _put(target.list_value.values.add(), item)
    else:
        raise TypeError(f"{type(value).__name__} is not JSON data")


def put_timestamp(target: Timestamp, seconds: float) -> None:
    """Sets a Timestamp, in place, to a time in seconds since 1970, to the microsecond."""
    micros = round(seconds * 1_000_000)
    target.seconds, target.nanos = micros // 1_000_000, micros % 1_000_000 * 1000


def timestamp(seconds: float) -> Timestamp:
    """Returns a time in seconds since 1970 as a Timestamp, to the microsecond."""
    micros = round(seconds * 1_000_000)
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def seconds(time: Timestamp | Duration) -> float:
    """Returns a Timestamp as seconds since 1970, or a Duration as seconds."""
    return time.seconds + time.nanos / 1e9


def put_duration(target: Duration, length: float) -> None:
    """Sets a Duration, in place, to a length in seconds, to the microsecond; not for negative ones."""
    micros = round(length * 1_000_000)
    target.seconds, target.nanos = micros // 1_000_000, micros % 1_000_000 * 1000


def duration(length: float) -> Duration:
    """Returns a length in seconds as a Duration, to the microsecond."""
    micros = round(abs(length) * 1_000_000)
    sign = -1 if length < 0 else 1
    return Duration(seconds=sign * (micros // 1_000_000), nanos=sign * (micros % 1_000_000 * 1000))


def encoded_field(number: int, value: bytes) -> bytes:
    """Returns a field of a message as it is on the wire: a serialised message, a string or bytes.

    Serialised fields one after the other are a serialised message (https://protobuf.dev/programming-guides/encoding).

    Args:
        number: Its number in the contract.
        value: What it holds.
    """
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
