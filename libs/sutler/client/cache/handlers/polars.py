"""The handlers of polars' frames and series: Arrow or Parquet."""

from __future__ import annotations

from io import BytesIO
from sys import modules
from typing import Any

from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.handlers.base import ARROW, PARQUET, Buffer, CacheHandler, Encoded


class PolarsHandler(CacheHandler):
    """Frames as an Arrow file, or as a Parquet file, which is smaller and slower. Reads both.

    Args:
        parquet: Writes Parquet.
    """

    data_type = "polars"

    def __init__(self, *, parquet: bool = False) -> None:
        self.content_type = PARQUET if parquet else ARROW

    def can_handle(self, value: object) -> bool:
        """See the base class."""
        polars = modules.get("polars")
        return polars is not None and type(value) is polars.DataFrame

    def encode(self, value: Any) -> Encoded:
        """See the base class."""
        return Encoded((self._bytes(value),), {"rows": value.height, "columns": value.columns})

    def decode(self, data: Buffer, entry: CacheEntry) -> Any:
        """See the base class."""
        import polars as pl

        file = BytesIO(data)
        return pl.read_parquet(file) if entry.content_type == PARQUET else pl.read_ipc(file)

    def copy(self, value: Any) -> Any:
        """See the base class."""
        return value.clone()

    def _bytes(self, frame: Any) -> memoryview:
        import polars as pl

        if any(kind == pl.Object for kind in frame.dtypes):
            raise TypeError("a column of Python objects has no form in Arrow; give it a type of its own")
        file = BytesIO()
        if self.content_type == PARQUET:
            frame.write_parquet(file)
        else:
            frame.write_ipc(file, compression="uncompressed")
        return file.getbuffer()


class PolarsSeriesHandler(PolarsHandler):
    """Series as a file of one column."""

    data_type = "polars-series"

    def can_handle(self, value: object) -> bool:
        """See the base class."""
        polars = modules.get("polars")
        return polars is not None and type(value) is polars.Series

    def encode(self, value: Any) -> Encoded:
        """See the base class."""
        return Encoded((self._bytes(value.to_frame()),), {"rows": len(value), "dtype": str(value.dtype)})

    def decode(self, data: Buffer, entry: CacheEntry) -> Any:
        """See the base class."""
        return super().decode(data, entry).to_series()
