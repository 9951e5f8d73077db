"""Values as bytes for keys: equal values give equal bytes in every process, different values different ones.

Each value is written as a letter for its type and then a content that tells where it ends, so no two values run into
each other, however they are nested. Nothing depends on ``hash()``, ``id()`` or the order of a set.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from hashlib import blake2b
from pathlib import PurePath
from typing import Any
from uuid import UUID

LARGE_BYTES = 65536
"""Buffers above this size stand in an encoding as their BLAKE2b-256."""
BLOCKING_BYTES = 1024 * 1024
"""Buffers above this size are not hashed where nothing may block."""


class WouldBlock(Exception):
    """A value takes too long for the event loop: encode it in a thread."""


class Unencodable(TypeError):
    """No key can be made of a value."""

    def __init__(self, value: object, name: str = "") -> None:
        kind = type(value)
        super().__init__(f"no key can be made of {name or f'a {kind.__module__}.{kind.__qualname__}'}")


class Sink(list[bytes]):
    """Takes the parts of an encoding.

    Attributes:
        blocking: Whether files may be read and large buffers hashed.
    """

    blocking = True


class BriefSink(Sink):
    """A sink where nothing may block."""

    blocking = False


Writer = Callable[[Any, Sink], None]


def encode(value: object, *, blocking: bool = True) -> bytes:
    """Returns the bytes of a value.

    Args:
        value: None, numbers, text, bytes, dates, times, UUIDs, enums, paths (by the content of the file), containers,
            dataclasses, pydantic models, arrays and frames of numpy, pandas and polars, and whatever has a method
            ``__cache_key__`` that returns such a value.
        blocking: Whether files may be read and large buffers hashed.

    Raises:
        Unencodable: If it is, or holds, anything else.
        WouldBlock: If it takes long, and may not.
        OSError: If a file cannot be read.
    """
    sink = Sink() if blocking else BriefSink()
    try:
        write(value, sink)
    except RecursionError:
        raise Unencodable(value) from None
    return b"".join(sink)


def write(value: Any, sink: Sink) -> None:
    """Writes any value."""
    writer = WRITERS.get(type(value))
    if writer is None:
        from sutler.client.cache.encoding_objects import write_object  # here, as it needs this module

        writer = write_object
    writer(value, sink)


def write_buffer(kind: bytes, data: Any, sink: Sink) -> None:
    """Writes bytes behind a letter.

    Args:
        kind: The letter.
        data: Anything with contiguous memory.
        sink: Where to.
    """
    size = memoryview(data).nbytes
    if size <= LARGE_BYTES:
        sink.append(b"%b%d:" % (kind, size))
        sink.append(bytes(data))
        return
    if size > BLOCKING_BYTES and not sink.blocking:
        raise WouldBlock
    sink.append(b"%b%d#" % (kind, size))
    sink.append(blake2b(data, digest_size=32).digest())


def module_of(named: Any) -> str:
    """Returns the module of a function or class: the program's own one by its file, as whoever imports it calls it."""
    module = str(named.__module__)
    if module not in ("__main__", "__mp_main__"):  # the second one is the same in processes that multiprocessing starts
        return module
    main = vars(sys.modules.get(module))
    if main.get("__spec__") is not None:
        return str(main["__spec__"].name)
    return PurePath(main["__file__"]).stem if main.get("__file__") else "__main__"


def write_named(kind: bytes, cls: type, sink: Sink) -> None:
    """Writes the full name of a class behind a letter."""
    sink.append(kind)
    _text(f"{module_of(cls)}.{cls.__qualname__}", sink)


def write_items(kind: bytes, items: Iterable[Any], count: int, sink: Sink) -> None:
    """Writes values in their order behind a letter and their number."""
    sink.append(b"%b%d:" % (kind, count))
    for item in items:
        write(item, sink)


def write_mapping(value: Mapping[Any, Any], sink: Sink) -> None:
    """Writes a mapping; the order of its keys does not count."""
    rows = sorted((_apart(key, sink), _apart(item, sink)) for key, item in value.items())
    sink.append(b"{%d:" % len(rows))
    for key, item in rows:
        sink.append(key)
        sink.append(item)


def _apart(value: Any, sink: Sink) -> bytes:
    part = type(sink)()
    write(value, part)
    return b"".join(part)


def _unordered(kind: bytes) -> Writer:
    def write_set(value: Any, sink: Sink) -> None:
        sink.append(b"%b%d:" % (kind, len(value)))
        sink.extend(sorted(_apart(item, sink) for item in value))

    return write_set


def _text(value: str, sink: Sink) -> None:
    data = value.encode("utf-8", "surrogatepass")
    if len(data) > LARGE_BYTES:
        write_buffer(b"s", data, sink)
        return
    sink.append(b"s%d:" % len(data))
    sink.append(data)


def _float(value: float, sink: Sink) -> None:
    sink.append(b"d" + struct.pack(">d", value if value == value else float("nan")))


def _complex(value: complex, sink: Sink) -> None:
    sink.append(b"j")
    _float(value.real, sink)
    _float(value.imag, sink)


def _datetime(value: datetime | time, sink: Sink) -> None:
    """Writes the wall time, and of its zone the offset, the name and, for a zone of a database, the key."""
    kind = b"T" if isinstance(value, datetime) else b"h"
    zone = value.tzinfo
    told = None if zone is None else (value.tzname(), getattr(zone, "key", None))
    write_items(kind, (value.isoformat(), value.fold, told), 3, sink)


def _fields(kind: bytes, *names: str) -> Writer:
    def write_fields(value: Any, sink: Sink) -> None:
        write_items(kind, (getattr(value, name) for name in names), len(names), sink)

    return write_fields


WRITERS: dict[type, Writer] = {
    type(None): lambda _, sink: sink.append(b"n"),
    bool: lambda value, sink: sink.append(b"t" if value else b"f"),
    int: lambda value, sink: sink.append(b"i%x;" % value),
    float: _float,
    complex: _complex,
    str: _text,
    bytes: lambda value, sink: write_buffer(b"b", value, sink),
    bytearray: lambda value, sink: write_buffer(b"B", value, sink),
    Decimal: lambda value, sink: write_items(b"D", (str(value),), 1, sink),
    Fraction: _fields(b"q", "numerator", "denominator"),
    datetime: _datetime,
    time: _datetime,
    date: _fields(b"a", "year", "month", "day"),
    timedelta: _fields(b"l", "days", "seconds", "microseconds"),
    UUID: _fields(b"u", "int"),
    tuple: lambda value, sink: write_items(b"(", value, len(value), sink),
    list: lambda value, sink: write_items(b"[", value, len(value), sink),
    dict: write_mapping,
    set: _unordered(b"<"),
    frozenset: _unordered(b"|"),
    range: _fields(b"r", "start", "stop", "step"),
    slice: _fields(b":", "start", "stop", "step"),
    type(Ellipsis): lambda _, sink: sink.append(b"."),
}
"""How values of exactly these types are written; all others are for :mod:`sutler.client.cache.encoding_objects`."""
