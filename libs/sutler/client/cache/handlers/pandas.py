"""The handlers of pandas' frames and series: Arrow or Parquet, with index and data types."""

from __future__ import annotations

from sys import modules
from typing import Any

from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.handlers.base import ARROW, PARQUET, Buffer, CacheHandler, Encoded

UNNAMED = b"sutler.unnamed"


class PandasHandler(CacheHandler):
    """Frames as an Arrow file, or as a Parquet file, which is smaller and slower. Reads both.

    Args:
        parquet: Writes Parquet.
    """

    data_type = "pandas"

    def __init__(self, *, parquet: bool = False) -> None:
        self.content_type = PARQUET if parquet else ARROW

    def can_handle(self, value: object) -> bool:
        """See the base class."""
        pandas = modules.get("pandas")
        return pandas is not None and type(value) is pandas.DataFrame

    def encode(self, value: Any) -> Encoded:
        """See the base class."""
        table = _table(value)
        return Encoded((self._bytes(table),), {"rows": len(value), "columns": [str(name) for name in value.columns]})

    def decode(self, data: Buffer, entry: CacheEntry) -> Any:
        """See the base class."""
        return self._read(data, entry).to_pandas()

    def copy(self, value: Any) -> Any:
        """See the base class."""
        return value.copy(deep=True)

    def _bytes(self, table: Any) -> memoryview:
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        if self.content_type == PARQUET:
            from pyarrow import parquet

            parquet.write_table(table, sink)
        else:
            with pa.ipc.new_file(sink, table.schema) as file:
                file.write_table(table)
        return memoryview(sink.getvalue())

    @staticmethod
    def _read(data: Buffer, entry: CacheEntry) -> Any:
        import pyarrow as pa

        if entry.content_type == PARQUET:
            from pyarrow import parquet

            return parquet.read_table(pa.BufferReader(data))
        return pa.ipc.open_file(pa.py_buffer(data)).read_all()


class PandasSeriesHandler(PandasHandler):
    """Series as a file of one column."""

    data_type = "pandas-series"

    def can_handle(self, value: object) -> bool:
        """See the base class."""
        pandas = modules.get("pandas")
        return pandas is not None and type(value) is pandas.Series

    def encode(self, value: Any) -> Encoded:
        """See the base class."""
        table = _table(value.to_frame())
        if value.name is None:
            table = table.replace_schema_metadata({**table.schema.metadata, UNNAMED: b"1"})
        return Encoded((self._bytes(table),), {"rows": len(value), "dtype": str(value.dtype)})

    def decode(self, data: Buffer, entry: CacheEntry) -> Any:
        """See the base class."""
        table = self._read(data, entry)
        series = table.to_pandas().iloc[:, 0]
        return series.rename(None) if UNNAMED in table.schema.metadata else series


def _table(frame: Any) -> Any:
    """Returns a frame as an Arrow table.

    Raises:
        TypeError: If a column would come back as another type.
    """
    import pyarrow as pa

    if frame.columns.inferred_type == "mixed-integer":
        raise TypeError("the names of the frame's columns are of several types; make them text")
    try:
        table = pa.Table.from_pandas(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise TypeError(f"Arrow does not take this frame: {error}") from error
    back = table.schema.empty_table().to_pandas()
    if not back.columns.equals(frame.columns) or back.columns.names != frame.columns.names:
        raise TypeError("the names of the frame's columns would not come back from Arrow as they are")
    for place, (kind, column) in enumerate(zip(frame.dtypes, frame.columns, strict=True)):
        stored = table.schema.field(place).type
        if pa.types.is_dictionary(stored) and kind.name == "category":
            continue  # the categories come with the values, an empty table has none
        nested = kind.kind == "O" and pa.types.is_nested(stored)
        if nested or back.dtypes.iloc[place] != kind:
            raise TypeError(
                f"column {column!r} of type {kind} would not come back from Arrow as it is; "
                "convert it to a type of its own, such as 'str' or 'Int64', or register a handler"
            )
    if back.index.nlevels != frame.index.nlevels or list(back.index.names) != list(frame.index.names):
        raise TypeError("the index would not come back from Arrow as it is; reset it before")
    return table
