"""Protobuf's open and well-known types to plain Python and back: what every servicer translates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, NullValue, Struct, Value
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
    return Struct(fields={key: to_value(value) for key, value in values.items()})


def to_value(value: Any) -> Value:
    """Returns plain JSON data as a Value; whole numbers beyond 2^53 become strings.

    Raises:
        TypeError: For what JSON does not know.
    """
    if value is None:
        return Value(null_value=NullValue.NULL_VALUE)
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, str):
        return Value(string_value=value)
    if isinstance(value, int) and abs(value) > MAX_EXACT:
        return Value(string_value=str(value))
    if isinstance(value, int | float):
        return Value(number_value=value)
    if isinstance(value, dict | Mapping):
        return Value(struct_value=to_struct(value))
    if isinstance(value, list | tuple):
        return Value(list_value=ListValue(values=[to_value(item) for item in value]))
    raise TypeError(f"{type(value).__name__} is not JSON data")


def timestamp(seconds: float) -> Timestamp:
    """Returns a time in seconds since 1970 as a Timestamp, to the microsecond."""
    micros = round(seconds * 1_000_000)
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def seconds(time: Timestamp | Duration) -> float:
    """Returns a Timestamp as seconds since 1970, or a Duration as seconds."""
    return time.seconds + time.nanos / 1e9


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
