"""Objects as bytes for keys: enums, dataclasses, models, paths, subclasses of plain types."""

from __future__ import annotations

import dataclasses
import stat
import sys
from collections import OrderedDict
from collections.abc import Iterator
from enum import Enum
from hashlib import blake2b
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any

from sutler.client.cache.encoding import (
    WRITERS,
    Sink,
    Unencodable,
    WouldBlock,
    Writer,
    write,
    write_items,
    write_mapping,
    write_named,
)

READ_BYTES = 1024 * 1024


def write_object(value: Any, sink: Sink) -> None:
    """Writes a value of no plain type.

    Raises:
        Unencodable: If it is of a kind whose value nobody knows.
    """
    kind = type(value)
    own = getattr(kind, "__cache_key__", None)
    if own is not None:
        write_named(b"k", kind, sink)
        write(own(value), sink)
    elif isinstance(value, type):
        _class(value, sink)
    elif isinstance(value, Enum):
        write_named(b"e", kind, sink)
        write(value.name, sink)
        write(value.value, sink)
    elif dataclasses.is_dataclass(kind):
        write_named(b"@", kind, sink)
        write_mapping({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, sink)
    elif hasattr(kind, "__pydantic_fields__"):
        write_named(b"@", kind, sink)
        write_mapping({**vars(value), **(value.__pydantic_extra__ or {})}, sink)
    elif isinstance(value, PurePath):
        _path(value, sink)
    elif foreign := _foreign(kind):
        foreign(value, sink)
    else:
        _subclass(value, sink)


def _foreign(kind: type) -> Writer | None:
    """Returns how values of an array library are written; the library is loaded, or there would be no value."""
    library = kind.__module__.partition(".")[0]
    if library == "numpy":
        from sutler.client.cache.encoding_arrays import write_numpy

        return write_numpy
    if library == "pandas":
        from sutler.client.cache.encoding_pandas import write_pandas

        return write_pandas
    if library == "polars":
        from sutler.client.cache.encoding_polars import write_polars

        return write_polars
    return None


def _class(value: type, sink: Sink) -> None:
    module = sys.modules.get(value.__module__)
    found: Any = module
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    if found is not value:  # a class inside a function: others may have its name
        raise Unencodable(value)
    write_named(b"y", value, sink)


def _path(value: PurePath, sink: Sink) -> None:
    """Writes the content of a file, so that a changed file is another value and a moved one is not."""
    if not isinstance(value, Path):
        write_items(b"p", (str(value),), 1, sink)
        return
    if not sink.blocking:
        raise WouldBlock
    if not stat.S_ISREG(value.stat().st_mode):
        raise Unencodable(value, "a path that is no file")
    digest, size = blake2b(digest_size=32), 0
    with value.open("rb", buffering=0) as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
            size += len(chunk)
    sink.append(b"P%d#" % size + digest.digest())


def _subclass(value: Any, sink: Sink) -> None:
    """Writes an object of a class that builds on a plain type, with what it has beyond that."""
    kind = type(value)
    if kind is MappingProxyType:
        write_named(b"o", kind, sink)
        write_mapping(value, sink)
        return
    if kind is memoryview:
        write_items(b"v", (value.format, value.shape, value.tobytes()), 3, sink)
        return
    base = next((each for each in kind.__mro__ if each in WRITERS), None)
    if base is None:
        raise Unencodable(value)
    write_named(b"o", kind, sink)
    if isinstance(value, OrderedDict):
        write_items(b"w", value.items(), len(value), sink)
    else:
        WRITERS[base](value, sink)
    write_mapping(dict(_more(value, base)), sink)


def _more(value: Any, base: type) -> Iterator[tuple[str, Any]]:
    yield from getattr(value, "__dict__", {}).items()
    for each in type(value).__mro__:
        if each is base:
            return
        slots = each.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name, getattr(value, name)
