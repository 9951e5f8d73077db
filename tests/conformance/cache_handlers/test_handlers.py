"""The suite for handlers over all that come with the client, and over the example of one that others write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sutler.client.cache import CacheHandler, Handlers
from sutler.client.cache.handlers.pandas import PandasHandler
from sutler.client.cache.handlers.polars import PolarsHandler
from sutler.testing.cache_handlers import CacheHandlerTests

from tests.conformance.cache_handlers.intervals import Interval, IntervalHandler
from tests.unit.client_cache.values import Point

FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=pd.Index(["k", "l"], name="n"))
TABLE = pl.DataFrame({"a": [1, None], "b": [["x"], []]})
BUILT_IN: dict[str, Sequence[Any]] = {
    "bytes": [b"", b"\0" * 100_000],
    "text": ["", "é" * 1000],
    "json": [None, {}, {"b": [1, 1.5, "x"], "a": None}],
    "msgpack": [(), {1: {2}}, 2**100, [np.float64(1.5)]],
    "numpy": [np.arange(6).reshape(2, 3), np.array([]), np.asfortranarray(np.ones((2, 3)))],
    "pandas": [FRAME, pd.DataFrame()],
    "pandas-series": [FRAME["b"], pd.Series([], dtype="f8")],
    "polars": [TABLE, pl.DataFrame()],
    "polars-series": [TABLE["b"], pl.Series([], dtype=pl.Int8)],
    "pickle": [Point(1), [Point(2)]],
    "dill": [Point(1), [Point(2)]],
}


class TestBuiltIn(CacheHandlerTests):
    @pytest.fixture(params=BUILT_IN)
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def handler(self, name: str) -> CacheHandler:
        return built_in(name)

    @pytest.fixture
    def values(self, name: str) -> Sequence[Any]:
        return BUILT_IN[name]

    @pytest.fixture
    def others(self, name: str) -> Sequence[Any]:
        return [value for other in BUILT_IN if other != name for value in BUILT_IN[other] if not both(name, other)]

    def same(self, one: Any, other: Any) -> bool:
        return same(one, other)


class TestParquet(CacheHandlerTests):
    @pytest.fixture(params=[PandasHandler, PolarsHandler])
    def handler(self, request: pytest.FixtureRequest) -> CacheHandler:
        made: CacheHandler = request.param(parquet=True)
        return made

    @pytest.fixture
    def values(self, handler: CacheHandler) -> Sequence[Any]:
        return BUILT_IN[handler.data_type]

    def same(self, one: Any, other: Any) -> bool:
        return same(one, other)


class TestExample(CacheHandlerTests):
    @pytest.fixture
    def handler(self) -> CacheHandler:
        return IntervalHandler()

    @pytest.fixture
    def values(self) -> Sequence[Any]:
        return [Interval(0.0, 1.0), Interval(-1.5, -1.5)]


def built_in(name: str) -> CacheHandler:
    handlers = Handlers(executable=[name] if name in ("pickle", "dill") else ())
    [value, *_] = BUILT_IN[name]
    return handlers.writer(value)


def both(name: str, other: str) -> bool:
    """Whether a handler may take the values of another one, which stands before it."""
    return (name == "msgpack" and other in ("json", "bytes", "text")) or {name, other} <= {"json", "text"}


def same(one: Any, other: Any) -> bool:
    return bool(one.equals(other)) if hasattr(one, "equals") else bool(np.array_equal(one, other))


def test_all_built_in_handlers_are_tested() -> None:
    assert {each.name for each in Handlers(executable=["pickle", "dill"]).list_handlers()} == set(BUILT_IN)
