"""Values that keys are made of in tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl


class Colour(Enum):
    RED = 1
    BLUE = 2


class Text(str):
    __slots__ = ()


@dataclass(frozen=True)
class Point:
    x: int
    y: object = None


class Pair(NamedTuple):
    x: int
    y: int


class Connection:
    """Says itself what it is."""

    def __init__(self, host: str) -> None:
        self.host = host

    def __cache_key__(self) -> object:
        return self.host


NOON = datetime(2026, 3, 1, 12)
DIFFERENT: list[object] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**100,
    1.0,
    0.0,
    -0.0,
    float("nan"),
    float("inf"),
    1 + 0j,
    "",
    "1",
    "a",
    "é",
    "\ud800",
    b"",
    b"1",
    bytearray(b"1"),
    Decimal("1"),
    Decimal("1.0"),
    Fraction(1, 2),
    Text("a"),
    (),
    [],
    {},
    set(),
    frozenset(),
    (1,),
    [1],
    [[1], 2],
    [[1, 2]],
    ["1", "2"],
    ["12"],
    {1},
    {1: 2},
    {2: 1},
    {"a": "1|b:str:2"},
    {"a": "1", "b": "2"},
    range(3),
    range(4),
    slice(1, 2),
    ...,
    date(2026, 3, 1),
    NOON,
    NOON.replace(microsecond=1),
    NOON.replace(tzinfo=UTC),
    NOON.replace(fold=1),
    NOON.replace(tzinfo=ZoneInfo("Europe/Berlin")),
    NOON.replace(tzinfo=ZoneInfo("Europe/Paris")),
    NOON.replace(tzinfo=timezone(timedelta(hours=1))),
    time(12),
    timedelta(seconds=1),
    UUID(int=1),
    int,
    str,
    Point,
    Colour.RED,
    Colour.BLUE,
    Point(1),
    Point(1, 2),
    Pair(1, 2),
    (1, 2),
    {"x": 1, "y": 2},
    Connection("a"),
    Connection("b"),
    "x" * 100_000,
    "y" * 100_000,
    b"x" * 100_000,
]
"""No two of these may have one key."""


def arrays() -> list[object]:
    """Arrays, series and frames, no two of which may have one key."""
    times = pd.to_datetime(["2026-03-01T00:00:00.000000001", None])
    nested = {"x": [1, 2]}
    return [
        np.array([1, 2]),
        np.array([2, 1]),
        np.array([1.0, 2.0]),
        np.array([1, 2], "i4"),
        np.array([1, 2], ">i8"),
        np.array([[1, 2]]),
        np.array([[1], [2]]),
        np.array([]),
        np.array([np.nan]),
        np.array(["a", "b"]),
        np.array([1, "1"], object),
        np.array([1, 1], object),
        np.array(1),
        np.int64(1),
        np.float64(1.0),
        np.float32(1.0),
        np.datetime64("2026-03-01"),
        np.datetime64("2026-03-01", "ns"),
        np.dtype("i8"),
        np.dtype("f8"),
        np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        np.array([(1, 2.0)], [("a", "i4"), ("c", "f8")]),
        np.arange(100_000),
        np.arange(100_000)[::-1],
        np.zeros(0, "U"),
        np.array([], "i4"),
        np.array(["a"], np.dtypes.StringDType()),
        pd.Series([1, 2]),
        pd.Series([1, 2], name="x"),
        pd.Series([1, 2], index=[1, 2]),
        pd.Series([1.0, np.nan]),
        pd.Series([1, None], dtype="Int64"),
        pd.Series([1, 0], dtype="Int64"),
        pd.Series(["a", "b"]),
        pd.Series(["b", "a"]),
        pd.Series(["a", None]),
        pd.Series(["a", "b"], dtype="category"),
        pd.Series(["a", "b"], dtype=object),
        pd.Series(pd.Categorical(["a", "b"], ["b", "a"])),
        pd.Series(pd.Categorical(["a", "b"], ordered=True)),
        pd.Series(times),
        pd.Series(times).dt.tz_localize("UTC"),
        pd.Series(times).dt.tz_localize("Asia/Tokyo"),
        pd.Series(times + pd.Timedelta("1ns")),
        pd.Series([(1, 2)]),
        pd.Series([[1, 2]]),
        pd.Timestamp("2026-03-01"),
        pd.Timestamp("2026-03-01", tz="UTC"),
        pd.Timedelta("1s"),
        pd.NA,
        pd.NaT,
        pd.Period("2026-03"),
        pd.Interval(0, 1),
        pd.Interval(0, 1, "left"),
        pd.Index([1, 2]),
        pd.CategoricalDtype(["a"]),
        pd.DataFrame({"a": [1, 2]}),
        pd.DataFrame({"b": [1, 2]}),
        pd.DataFrame({"a": [1, 2]}, index=["x", "y"]),
        pd.DataFrame({"a": [1], "b": [2]}),
        pd.DataFrame({"b": [2], "a": [1]}),
        pd.DataFrame([[1, 2]]),
        pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, 2), (1, 3)])),
        pd.DataFrame({"a": [1, 2]}, index=pd.Index([0, 1], name="n")),
        pl.Series([1, 2]),
        pl.Series("x", [1, 2]),
        pl.Series([1.0, 2.0]),
        pl.Series([1, None]),
        pl.Series([1, 0]),
        pl.Series(["a", "b"]),
        pl.Series([b"a", b"b"]),
        pl.Series([[1], [2]]),
        pl.Series([[1, 2], []]),
        pl.Series([[1], [2, None]]),
        pl.Series([1, 2]).cast(pl.Datetime("ns")),
        pl.Series([1, 3]).cast(pl.Datetime("ns")),
        pl.Series([1, 2]).cast(pl.Datetime("us")),
        pl.Series([1, 2]).cast(pl.Datetime("us", "UTC")),
        pl.Series(["a", "b"], dtype=pl.Categorical),
        pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])),
        pl.Series(["a", "b"], dtype=pl.Enum(["a", "b", "c"])),
        pl.Series([Decimal(1)], dtype=pl.Decimal(9, 2)),
        pl.Series([Decimal(1)], dtype=pl.Decimal(9, 1)),
        pl.Series([{"a": 1}]),
        pl.Series([{"b": 1}]),
        pl.Series([None]),
        pl.DataFrame(nested),
        pl.DataFrame({"y": [1, 2]}),
        pl.DataFrame({"x": [1], "y": [2]}),
        pl.DataFrame({"y": [2], "x": [1]}),
        pl.DataFrame(),
        pl.DataFrame({"x": []}),
        pl.Int8,
        pl.Int16,
        pl.Series(["x" * 40 + str(n) for n in range(100)]),
        pl.Series(["x" * 40 + str(n + (n == 50)) for n in range(100)]),
        pl.Series([1], dtype=pl.Int128),
    ]
