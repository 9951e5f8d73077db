"""Frames and series of polars as bytes for keys: by names, data types and values."""

from __future__ import annotations

from typing import Any

import polars as pl

from sutler.client.cache.encoding import Sink, Unencodable, write, write_items
from sutler.client.cache.encoding_arrays import write_array


def write_polars(value: Any, sink: Sink) -> None:
    """Writes a frame, a series or a data type.

    Raises:
        Unencodable: If it is anything else of polars: a lazy frame has no value before it is collected.
    """
    if isinstance(value, pl.DataFrame):
        write_items(b"R", (value.height,), 1, sink)
        write_items(b"[", value.get_columns(), value.width, sink)
    elif isinstance(value, pl.Series):
        sink.append(b"L")
        write((value.name, _described(value.dtype)), sink)
        _values(value, sink)
    elif isinstance(value, pl.DataType) or (isinstance(value, type) and issubclass(value, pl.DataType)):
        sink.append(b"M")
        write(_described(value), sink)
    else:
        raise Unencodable(value)


def _values(series: Any, sink: Sink) -> None:
    """Writes which values are missing, and then all; of what is nested, level by level."""
    kind = series.dtype
    write_array(series.is_null().to_numpy(), sink)
    if isinstance(kind, pl.Struct):
        for field in kind.fields:
            _values(series.struct.field(field.name), sink)
    elif isinstance(kind, pl.Array):
        _values(series.arr.to_list(), sink)
    elif isinstance(kind, pl.List):
        write_array(series.list.len().fill_null(0).to_numpy(), sink)
        _values(series.explode(), sink)
    elif kind.is_temporal():
        write_array(series.to_physical().fill_null(0).to_numpy(), sink)
    elif (kind.is_integer() or kind.is_float()) and kind not in WIDE:
        write_array(series.fill_null(0).to_numpy(), sink)
    else:
        write_items(b"[", series.to_list(), len(series), sink)


def _described(kind: Any) -> Any:
    """Returns a data type with all that belongs to it; its text would leave some out."""
    name = str(kind.base_type())
    if isinstance(kind, type):
        return name
    more = {key: _part(value) for key, value in vars(kind).items() if not key.startswith("_")}
    return name, more


def _part(value: Any) -> Any:
    if isinstance(value, pl.Series):
        return value.to_list()
    if isinstance(value, pl.Field):
        return value.name, _described(value.dtype)
    if isinstance(value, pl.DataType) or (isinstance(value, type) and issubclass(value, pl.DataType)):
        return _described(value)
    if isinstance(value, (list, tuple)):
        return [_part(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


WIDE = tuple(getattr(pl, name) for name in ("Int128", "UInt128") if hasattr(pl, name))
"""Whole numbers that numpy does not have."""
