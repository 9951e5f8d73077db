"""Handlers: every value comes back as it was, or is refused; the registry does what it says at once."""

import math
import pickle
import re
import subprocess
import sys
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from polars.testing import assert_frame_equal, assert_series_equal
from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.handlers import Buffer, CacheHandler, Encoded, Handlers, ValueUnreadable
from sutler.client.cache.handlers.pandas import PandasHandler, PandasSeriesHandler
from sutler.client.cache.handlers.polars import PolarsHandler, PolarsSeriesHandler

from tests.unit.client_cache.test_keys import VALUES, same
from tests.unit.client_cache.values import Colour, Point

NOON = datetime(2026, 3, 1, 12)
PLAIN: list[tuple[Any, str]] = [
    (b"", "bytes"),
    (b"\0x", "bytes"),
    ("", "text"),
    ("é", "text"),
    (None, "json"),
    (True, "json"),
    (2**64 - 1, "json"),
    (-0.0, "json"),
    ([], "json"),
    ({"a": [1, 1.0, None, {"b": "x"}]}, "json"),
    ("\ud800", "msgpack"),
    (math.nan, "msgpack"),
    (2**64, "msgpack"),
    (-(2**200), "msgpack"),
    ((), "msgpack"),
    ((1, (2, [3])), "msgpack"),
    ({1: 2, "1": 3, (1, 2): 4, None: 5}, "msgpack"),
    ({1, 2}, "msgpack"),
    (frozenset([1, frozenset([2])]), "msgpack"),
    ([b"x", "x"], "msgpack"),
    (1 + 2j, "msgpack"),
    (Decimal("1.00"), "msgpack"),
    (Fraction(1, 3), "msgpack"),
    (NOON, "msgpack"),
    (NOON.replace(tzinfo=UTC), "msgpack"),
    (NOON.replace(tzinfo=ZoneInfo("Europe/Berlin"), fold=1), "msgpack"),
    (date(2026, 3, 1), "msgpack"),
    (time(12, 30, tzinfo=UTC), "msgpack"),
    (timedelta(days=-1, microseconds=1), "msgpack"),
    (UUID(int=5), "msgpack"),
]


def round_trip(value: Any, handlers: Handlers | None = None) -> tuple[str, Any]:
    """Returns the data type and the value that comes back, as a copy of its own."""
    handlers = handlers or Handlers()
    writer = handlers.writer(value)
    encoded = writer.encode(value)
    assert len(encoded.joined()) == encoded.size
    entry = CacheEntry("k", data_type=writer.data_type, content_type=writer.content_type, signed=True)
    reader = handlers.reader(entry)
    return writer.data_type, reader.copy(reader.decode(encoded.joined(), entry))


@pytest.mark.parametrize(("value", "data_type"), PLAIN, ids=repr)
def test_plain_values_come_back(value: Any, data_type: str) -> None:
    found, back = round_trip(value)
    assert found == data_type
    assert same(back, value) and repr(back) == repr(value)


@given(VALUES)
def test_whatever_is_nested_comes_back(value: Any) -> None:
    assert same(round_trip(value)[1], value)


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.random.default_rng(1).random((3, 4))),
        np.arange(10)[::3],
        np.array([]),
        np.zeros((0, 3), "f4"),
        np.array(5),
        np.array(["a", "éé"]),
        np.array([(1, 2.0)], [("a", "i4"), ("b", ">f8")]),
        np.array([(1,)], [("ключ", "i4")]),
        np.array(["2026-03-01", "NaT"], "M8[ns]"),
        np.array([True, False]),
        np.array([1], ">u2"),
        np.array([np.nan, np.inf]),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_come_back_and_can_be_changed(array: Any) -> None:
    data_type, back = round_trip(array)
    assert (data_type, back.dtype, back.shape) == ("numpy", array.dtype, array.shape)
    np.testing.assert_array_equal(back, array)
    assert (back.flags.writeable and back.flags.f_contiguous is array.flags.f_contiguous) or array.base is not None
    if back.size:
        back[...] = back.flat[0]


ARRAYS_IN_THREADS = """
import gc, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.handlers.arrays import NumpyHandler

sys.setswitchinterval(1e-6)
gc.callbacks.append(lambda *_: None)  # so that threads change places within numpy's reader
gc.set_threshold(10)
handler = NumpyHandler()
encoded = [handler.encode(array).joined() for array in (np.arange(10.0), np.zeros(3, [("a", "f8")]))]
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda number: handler.decode(encoded[number % 2], CacheEntry("k")), range(1200)))
"""


def test_arrays_are_read_by_many_threads() -> None:
    subprocess.run([sys.executable, "-c", ARRAYS_IN_THREADS], check=True, timeout=60)


def test_a_shared_array_cannot_be_changed() -> None:
    handlers = Handlers()
    writer = handlers.writer(np.arange(3))
    shared = writer.decode(writer.encode(np.arange(3)).joined(), CacheEntry("k", data_type="numpy"))
    with pytest.raises(ValueError, match="read-only"):
        shared[0] = 1


@pytest.mark.parametrize("value", [np.float64(1.5), np.int8(1), np.datetime64("2026-03-01"), np.str_("x"), np.str_("")])
def test_scalars_of_numpy_keep_their_type(value: Any) -> None:
    _, back = round_trip(value)
    assert type(back) is type(value) and back.dtype == value.dtype and back == value


def test_a_dict_of_arrays_and_frames_comes_back_as_one() -> None:
    value: dict[str, Any] = {"a": np.arange(3), "b": (pd.DataFrame({"x": [1]}), [pl.Series("y", [1])])}
    data_type, back = round_trip(value)
    assert data_type == "msgpack" and list(back) == ["a", "b"] and type(back["b"]) is tuple
    np.testing.assert_array_equal(back["a"], value["a"])
    pd.testing.assert_frame_equal(back["b"][0], value["b"][0])
    assert_series_equal(back["b"][1][0], value["b"][1][0])
    assert list(round_trip({"a": np.arange(3)})[1]) == ["a"]
    back["a"][0] = 5


FRAMES = [
    pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [1.5, np.nan]}),
    pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="k")),
    pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["i", None])),
    pd.DataFrame([[1, 2.0]]),
    pd.DataFrame([[1, 2.0]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
    pd.DataFrame({"a": pd.Categorical(["x", "y"], ["y", "x"], ordered=True), "b": pd.array([1, None], "Int64")}),
    pd.DataFrame({"t": pd.to_datetime(["2026-03-01T00:00:00.000000001", None]), "d": pd.to_timedelta(["1s", None])}),
    pd.DataFrame({"t": pd.to_datetime(["2026-03-01"]).tz_localize("Asia/Tokyo")}, index=pd.RangeIndex(5, 6)),
    pd.DataFrame({"p": pd.period_range("2026-03", periods=2, freq="M"), "i": pd.interval_range(0, 2)}),
    pd.DataFrame({"d": [Decimal("1.0"), Decimal("2.5")], "o": [date(2026, 3, 1), None]}),
    pd.DataFrame(),
]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: "-".join(map(str, frame.dtypes)))
def test_frames_of_pandas_come_back(frame: pd.DataFrame) -> None:
    data_type, back = round_trip(frame)
    assert data_type == "pandas"
    pd.testing.assert_frame_equal(back, frame, check_freq=False)
    if frame.size:
        back.iloc[0, 0] = back.iloc[-1, 0]


@pytest.mark.parametrize("name", [None, "x", 0, ("a", 1)])
def test_series_of_pandas_come_back(name: Any) -> None:
    series = pd.Series([1.5, np.nan], index=["a", "b"], name=name)
    data_type, back = round_trip(series)
    assert data_type == "pandas-series"
    pd.testing.assert_series_equal(back, series)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"o": pd.Series([1, "x"], dtype=object)}),
        pd.DataFrame({"o": pd.Series([1, 2], dtype=object)}),
        pd.DataFrame({"o": [[1], [2]]}),
        pd.DataFrame({"o": [{"a": 1}, {"b": 2}]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame([[1, 2]], columns=["a", 1]),
        pd.DataFrame({"o": [Point(1)]}),
    ],
    ids=["mixed", "objects", "lists", "dicts", "twice", "names", "classes"],
)
def test_a_frame_that_would_come_back_different_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(TypeError):
        round_trip(frame)


def test_frames_may_be_parquet() -> None:
    handlers = Handlers()
    for kind in (PandasHandler, PandasSeriesHandler, PolarsHandler, PolarsSeriesHandler):
        handlers.register_handler(kind(parquet=True), priority=0, name=f"parquet-{kind.__name__}")
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=pd.Index(["k", "l"], name="n"))
    assert handlers.writer(frame).encode(frame).joined()[:4] == b"PAR1"
    pd.testing.assert_frame_equal(round_trip(frame, handlers)[1], frame)
    pd.testing.assert_series_equal(round_trip(frame["a"].rename(None), handlers)[1], frame["a"].rename(None))
    other = pl.DataFrame({"a": [1, None], "b": ["x", "y"]})
    assert handlers.writer(other).encode(other).joined()[:4] == b"PAR1"
    assert_frame_equal(round_trip(other, handlers)[1], other)
    assert_series_equal(round_trip(other["b"], handlers)[1], other["b"])


def test_frames_and_series_of_polars_come_back() -> None:
    frame = pl.DataFrame(
        {
            "a": [1, None],
            "b": ["x", None],
            "c": [[1, 2], []],
            "d": [{"q": 1}, {"q": None}],
            "e": pl.Series([1, 2]).cast(pl.Datetime("ns", "UTC")),
            "f": pl.Series(["x", "y"], dtype=pl.Categorical),
            "g": pl.Series(["x", "y"], dtype=pl.Enum(["x", "y", "z"])),
            "h": pl.Series([Decimal("1.5"), None], dtype=pl.Decimal(9, 2)),
        }
    )
    data_type, back = round_trip(frame)
    assert data_type == "polars" and back.schema == frame.schema
    assert_frame_equal(back, frame)
    for name in frame.columns:
        data_type, series = round_trip(frame[name])
        assert data_type == "polars-series"
        assert_series_equal(series, frame[name])
    with pytest.raises(TypeError):
        round_trip(pl.DataFrame({"o": pl.Series([Point(1)], dtype=pl.Object)}))


@pytest.mark.parametrize(
    "value", [Point(1), Colour.RED, [Colour.RED], object(), bytearray(b"x"), np.array([1, "x"], object)]
)
def test_what_no_handler_takes_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="no handler takes"):
        Handlers().writer(value)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [1, Point(1)]}, "Point at value['a'][1]"),
        ({"a": {Point(1): 1}}, "Point at a key of value['a']"),
        ((0, {"s": {Colour.RED}}), "Colour at an item of value[1]['s']"),
        ({"a": OrderedDict(b=1)}, "collections.OrderedDict at value['a']"),
        ([Handlers], "at value[0]"),
    ],
)
def test_what_is_refused_inside_a_value_is_named_with_its_place(value: Any, where: str) -> None:
    with pytest.raises(TypeError, match=re.escape(where)):
        Handlers().writer(value)


def test_loops_are_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(TypeError, match="hold themselves"):
        Handlers().writer(loop)


@pytest.mark.parametrize("name", ["pickle", "dill"])
def test_pickle_and_dill_are_off_until_switched_on_and_signed(name: str) -> None:
    handlers = Handlers(executable=[name])
    assert round_trip(Point(1, Colour.RED), handlers) == (name, Point(1, Colour.RED))
    assert round_trip([Point(1)], handlers) == (name, [Point(1)])
    with pytest.raises(ValueUnreadable, match="not signed"):
        handlers.reader(CacheEntry("k", data_type=name))
    with pytest.raises(ValueUnreadable, match="executable"):
        Handlers().reader(CacheEntry("k", data_type=name, signed=True))
    with pytest.raises(ValueError, match="pickles"):
        Handlers(executable=["pickles"])


def test_nested_bytes_cannot_bring_a_pickle_into_an_unsigned_entry() -> None:
    class Sly(CacheHandler):
        data_type = "pickle"

        def can_handle(self, value: object) -> bool:
            return isinstance(value, Point)

        def encode(self, value: Any) -> Encoded:
            return Encoded((pickle.dumps(value),))

        def decode(self, data: Buffer, entry: CacheEntry) -> Any:
            raise AssertionError

    sly = Handlers()
    sly.register_handler(Sly())
    data = sly.writer([Point(1)]).encode([Point(1)]).joined()
    entry = CacheEntry("k", data_type="msgpack")
    handlers = Handlers(executable=["pickle"])
    with pytest.raises(ValueUnreadable, match="not signed"):
        handlers.reader(entry).decode(data, entry)


class Points(CacheHandler):
    """Points as text."""

    data_type = "point"

    def can_handle(self, value: object) -> bool:
        return type(value) is Point

    def encode(self, value: Any) -> Encoded:
        return Encoded((str(value.x).encode(),), {"x": value.x})

    def decode(self, data: Buffer, entry: CacheEntry) -> Any:
        return Point(int(bytes(data)))


def test_a_registered_handler_is_used_by_the_next_call() -> None:
    handlers = Handlers(executable=["pickle"])
    assert handlers.writer(Point(1)).data_type == "pickle"
    handlers.register_handler(Points())
    assert round_trip(Point(1), handlers) == ("point", Point(1))
    assert [each.name for each in handlers.list_handlers()][-2:] == ["point", "pickle"]
    assert handlers.unregister_handler("point") is True
    assert handlers.unregister_handler("point") is False
    assert handlers.writer(Point(1)).data_type == "pickle"


def test_a_class_is_no_handler() -> None:
    with pytest.raises(TypeError, match="Points"):
        Handlers().register_handler(Points)  # type: ignore[arg-type]


def test_the_first_handler_that_takes_a_value_wins() -> None:
    class Everything(Points):
        data_type = "everything"

        def can_handle(self, value: object) -> bool:
            return True

    handlers = Handlers()
    handlers.register_handler(Everything(), name="last")
    assert handlers.writer(b"x").data_type == "bytes"
    handlers.register_handler(Everything(), priority=0, name="first")
    assert handlers.writer(b"x").data_type == "everything"
    listed = handlers.list_handlers()
    assert (listed[0].name, listed[0].priority, listed[0].is_builtin) == ("first", 0, False)
    assert (listed[-1].name, listed[1].is_builtin) == ("last", True)
    with pytest.raises(ValueError, match="unregister"):
        handlers.register_handler(Everything(), name="bytes")
    with pytest.raises(ValueError, match="priority"):
        handlers.register_handler(Everything(), priority=-1)


def test_built_in_handlers_can_be_removed() -> None:
    handlers = Handlers()
    assert handlers.unregister_handler("json") is True
    assert round_trip({"a": 1}, handlers) == ("msgpack", {"a": 1})
    with pytest.raises(ValueUnreadable):
        handlers.reader(CacheEntry("k", data_type="json"))


def test_what_others_wrote_is_read_by_its_content_type() -> None:
    handlers = Handlers()
    kinds = {"application/json": "json", "text/csv; charset=utf-8": "text", "": "bytes", "image/png": "bytes"}
    for content_type, data_type in kinds.items():
        assert handlers.reader(CacheEntry("k", content_type=content_type)).data_type == data_type


def test_no_library_is_loaded_to_look_at_a_value() -> None:
    program = (
        "import sys; from sutler.client.cache.handlers import Handlers\n"
        "Handlers(executable=['dill']).writer({'a': [1]}); Handlers().writer((1,))\n"
        "print({'numpy', 'pandas', 'polars', 'pyarrow', 'dill'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
