"""Data types: the ways in which programs turn values into bytes, and how many entries each has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sutler.filtering import Field, Kind, Schema
from sutler.paging import Order

from services.cache.backends import Backends
from services.cache.ports import Catalogue


@dataclass(frozen=True, slots=True)
class DataType:
    """A way to turn values into bytes.

    Attributes:
        name: As entries have it.
        description: How the bytes are made.
        content_types: The media types that it writes.
        builtin: Whether the clients of this project write it.
        executable: Whether reading a value can run code.
        entry_count: How many entries of the tenant have it.
    """

    name: str
    description: str = ""
    content_types: tuple[str, ...] = ()
    builtin: bool = False
    executable: bool = False
    entry_count: int = 0

    def item(self) -> Mapping[str, Any]:
        """Returns what lists filter and order by."""
        return {
            "data_type": self.name,
            "description": self.description,
            "content_types": list(self.content_types),
            "builtin": self.builtin,
            "executable": self.executable,
            "entry_count": self.entry_count,
        }


_PARQUET = "application/vnd.apache.parquet"
_ARROW = "application/vnd.apache.arrow.file"


def _builtin(name: str, description: str, *content_types: str, executable: bool = False) -> DataType:
    return DataType(name, description, content_types, builtin=True, executable=executable)


BUILTIN = (
    _builtin("bytes", "The bytes as they are.", "application/octet-stream"),
    _builtin("text", "Text in UTF-8, without a byte order mark.", "text/plain; charset=utf-8"),
    _builtin("json", "One JSON value (RFC 8259) in UTF-8.", "application/json"),
    _builtin("msgpack", "One MessagePack value, with extension types of the Python client.", "application/msgpack"),
    _builtin("numpy", "One array in NumPy's .npy format, without pickled objects.", "application/x-npy"),
    _builtin("pandas", "A DataFrame as Parquet or Arrow file, by content type, with its index.", _PARQUET, _ARROW),
    _builtin("pandas-series", "A Series as a table of one column, as pandas writes it.", _PARQUET, _ARROW),
    _builtin("polars", "A DataFrame as Parquet or Arrow file, by content type.", _PARQUET, _ARROW),
    _builtin("polars-series", "A Series as a table of one column, as polars writes it.", _PARQUET, _ARROW),
    _builtin("pickle", "Any Python object, as pickle writes it.", "application/x-python-pickle", executable=True),
    _builtin("dill", "Any Python object, as dill writes it.", "application/x-python-dill", executable=True),
)
"""What the clients of this project write."""

DATA_TYPES = Schema(
    {
        "data_type": Field(Kind.STRING, "data_type", required=True),
        "description": Field(Kind.STRING, "description"),
        "content_types": Field(Kind.STRING_LIST, "content_types"),
        "builtin": Field(Kind.BOOL, "builtin", required=True),
        "executable": Field(Kind.BOOL, "executable", required=True),
        "entry_count": Field(Kind.INT, "entry_count", required=True),
    }
)
"""The fields of a data type."""

DATA_TYPE_ORDER = (Order("data_type"),)


class DataTypes:
    """Lists data types.

    Args:
        catalogue: Knows which caches were deleted.
        backends: Where entries are.
    """

    def __init__(self, catalogue: Catalogue, backends: Backends) -> None:
        self._catalogue = catalogue
        self._backends = backends

    async def find(self, tenant: str) -> list[DataType]:
        """Returns those that the clients of this project write, and all others that entries of a tenant have, by name.

        Raises:
            Unavailable: If a backend does not answer.
        """
        counts: Counter[str] = Counter()
        gone = frozenset(await self._catalogue.gone(tenant))
        for backend in self._backends.all_metadata().values():
            counts.update(await backend.data_types(tenant, gone))
        known = {each.name: each for each in BUILTIN} | {name: DataType(name) for name in counts if name not in _NAMES}
        return [replace(known[name], entry_count=counts[name]) for name in sorted(known)]


_NAMES = frozenset(each.name for each in BUILTIN)
