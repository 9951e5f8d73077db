"""Frames, series and indexes of pandas as bytes for keys: by data types, values, index and names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sutler.client.cache.encoding import Sink, Unencodable, write, write_items, write_named
from sutler.client.cache.encoding_arrays import write_array


def write_pandas(value: Any, sink: Sink) -> None:
    """Writes a frame, a series, an index, an array, a scalar or a data type.

    Raises:
        Unencodable: If it is anything else of pandas.
    """
    if value is pd.NA or value is pd.NaT:
        sink.append(b"G0" if value is pd.NA else b"G1")
        return
    kind = type(value)
    if isinstance(value, pd.DataFrame):
        write_named(b"F", kind, sink)
        _index(value.columns, sink)
        _index(value.index, sink)
        for place in range(value.shape[1]):
            _values(value.iloc[:, place], sink)
    elif isinstance(value, pd.Series):
        write_named(b"F", kind, sink)
        write(value.name, sink)
        _index(value.index, sink)
        _values(value, sink)
    elif isinstance(value, pd.Index):
        sink.append(b"I")
        _index(value, sink)
    elif isinstance(value, pd.api.extensions.ExtensionArray):
        sink.append(b"X")
        _values(pd.Series(value), sink)
    elif not _scalar(value, sink):
        raise Unencodable(value)


def _scalar(value: Any, sink: Sink) -> bool:
    if isinstance(value, pd.Timestamp):
        zone = getattr(value.tzinfo, "key", None)
        told: tuple[Any, ...] = (value.isoformat(), value.fold, value.unit, value.tzname(), zone)
    elif isinstance(value, pd.Timedelta):
        told = (value.unit, int(value.asm8.astype("int64")))
    elif isinstance(value, pd.Period):
        told = (value.freqstr, value.ordinal)
    elif isinstance(value, pd.Interval):
        told = (value.left, value.right, value.closed)
    elif isinstance(value, pd.api.extensions.ExtensionDtype):
        told = (str(value), _categories(value))
    else:
        return False
    write_named(b"G", type(value), sink)
    write_items(b"(", told, len(told), sink)
    return True


def _categories(kind: Any) -> Any:
    if not isinstance(kind, pd.CategoricalDtype):
        return None
    return kind.ordered, kind.categories


def _index(index: Any, sink: Sink) -> None:
    write_items(b"(", index.names, index.nlevels, sink)
    for level in range(index.nlevels):
        _values(index.get_level_values(level), sink)


def _values(values: Any, sink: Sink) -> None:
    """Writes one column: the name of its type, and its values in the form that is exact for that type."""
    kind = values.dtype
    write(str(kind), sink)
    if isinstance(kind, np.dtype):
        write_array(values.to_numpy(), sink)
    elif isinstance(kind, pd.CategoricalDtype):
        write(kind.ordered, sink)
        _index(kind.categories, sink)
        write_array(np.asarray(values.array.codes), sink)
    elif isinstance(kind, pd.DatetimeTZDtype):
        write_array(values.array.tz_convert("UTC").tz_localize(None).to_numpy(), sink)
    elif getattr(kind, "numpy_dtype", None) is not None and kind.numpy_dtype.kind in "biuf":
        missing = np.asarray(values.isna())
        write_array(missing, sink)
        write_array(values.to_numpy(dtype=kind.numpy_dtype, na_value=kind.numpy_dtype.type(0)), sink)
    else:
        items = values.astype(object)
        write_items(b"[", (_item(item) for item in items), len(items), sink)


def _item(item: Any) -> Any:
    return None if item is not None and pd.api.types.is_scalar(item) and pd.isna(item) else item
