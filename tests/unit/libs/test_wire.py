from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import (
    MAX_EXACT,
    duration,
    encoded_field,
    from_struct,
    from_value,
    seconds,
    timestamp,
    to_struct,
    to_value,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
NUMBERS = st.integers(-MAX_EXACT, MAX_EXACT) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | TEXTS | NUMBERS
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))


@settings(max_examples=300)
@given(JSON)
def test_json_data_come_back_as_they_were(value: Any) -> None:
    assert from_value(Value.FromString(to_value(value).SerializeToString())) == value


@given(st.dictionaries(TEXTS, JSON, max_size=4))
def test_objects_come_back_as_they_were(value: dict[str, Any]) -> None:
    assert from_struct(Struct.FromString(to_struct(value).SerializeToString())) == value


@pytest.mark.parametrize("value", [0, 1, -1, MAX_EXACT, -MAX_EXACT, True, False, 0.5, 1e300])
def test_types_come_back_too(value: Any) -> None:
    assert type(from_value(to_value(value))) is type(value)


@pytest.mark.parametrize("value", [1.0, -0.0, 2.0**53])
def test_whole_doubles_come_as_int(value: float) -> None:
    assert type(from_value(Value(number_value=value))) is int


@pytest.mark.parametrize("value", [MAX_EXACT + 1, -MAX_EXACT - 1, 2**63, 10**40])
def test_larger_whole_numbers_travel_as_text(value: int) -> None:
    assert from_value(to_value(value)) == str(value)


def test_no_value_is_none() -> None:
    assert from_value(Value()) is None


def test_tuples_are_lists() -> None:
    assert from_value(to_value((1, (2,)))) == [1, [2]]


@pytest.mark.parametrize("value", [b"x", Decimal("1.5"), datetime(2026, 1, 1, tzinfo=UTC), object(), {1, 2}, {1: 2}])
def test_what_json_does_not_know_is_refused(value: Any) -> None:
    for wrapped in (value, [value], {"a": value}):
        with pytest.raises(TypeError):
            to_value(wrapped)


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_times_to_the_microsecond(micros: int) -> None:
    stamp = Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)
    found = timestamp(seconds(stamp))
    assert 0 <= found.nanos < 1_000_000_000
    # A double holds microseconds until the year 2112; further away it is off by what it cannot hold.
    assert math.isclose(seconds(found), micros / 1e6, rel_tol=1e-15, abs_tol=1e-6)
    if abs(micros) < 4_480_000_000_000_000:
        assert found == stamp


@given(st.integers(-(10**15), 10**15))
def test_durations_to_the_microsecond(micros: int) -> None:
    found = duration(micros / 1e6)
    assert found.ToMicroseconds() == micros
    assert found.seconds * found.nanos >= 0
    assert math.isclose(seconds(found), micros / 1e6)


@pytest.mark.parametrize(("length", "expected"), [(-0.5, (0, -500_000_000)), (-1.5, (-1, -500_000_000)), (0.0, (0, 0))])
def test_negative_durations(length: float, expected: tuple[int, int]) -> None:
    found = duration(length)
    assert (found.seconds, found.nanos) == expected
    assert seconds(found) == length
    assert Duration.FromString(found.SerializeToString()) == found


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
@pytest.mark.parametrize("field", ["name", "stack"])
def test_a_field_is_encoded_as_protobuf_does(field: str, length: int) -> None:
    """``stack`` has a number above 15, so that its tag takes two bytes."""
    number = pb.Resource.DESCRIPTOR.fields_by_name[field].number
    assert (number > 15) is (field == "stack")
    encoded = encoded_field(number, b"x" * length)
    assert pb.Resource.FromString(encoded) == pb.Resource(**{field: "x" * length})
    assert not length or encoded == pb.Resource(**{field: "x" * length}).SerializeToString()
