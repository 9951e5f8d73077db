"""The handler of nested Python data: MessagePack, with types of our own for what it does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from reprlib import repr
from sys import modules
from typing import TYPE_CHECKING, Any

import msgpack

from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.handlers.base import Buffer, CacheHandler, Encoded, ValueUnreadable
from sutler.client.cache.handlers.extensions import EXTENSIONS, NESTED, SCALAR, unpacked, unpacked_scalar

if TYPE_CHECKING:
    from sutler.client.cache.handlers.registry import Handlers

LEAVES = frozenset({type(None), bool, int, float, str, bytes}) | frozenset(EXTENSIONS)
MAX_LEVELS = 100


class MsgpackHandler(CacheHandler):
    """Plain data however nested: beyond JSON also bytes, tuples, sets, dicts with any keys, whole numbers of any size,
    complex, Decimal, Fraction, dates, times, UUIDs, scalars of numpy, and in between values of other handlers, such as
    a dict of arrays.

    Args:
        handlers: Where the other handlers are.
    """

    data_type = "msgpack"
    content_type = "application/msgpack"

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def can_handle(self, value: object) -> bool:
        """See the base class."""
        own = type(value) in CONTAINERS or type(value) in LEAVES or _is_scalar(value)
        return own and self._plain(value, MAX_LEVELS)

    def _plain(self, value: Any, levels: int) -> bool:
        kind = type(value)
        if kind in CONTAINERS:
            return levels > 0 and all(self._plain(item, levels - 1) for item in CONTAINERS[kind](value))
        if kind in LEAVES:
            return EXTENSIONS[kind].exact(value) if kind in EXTENSIONS else True
        return _is_scalar(value) or self._handlers.nested(value) is not None

    def unfit(self, value: Any, place: str = "value", levels: int = MAX_LEVELS) -> str:
        """Returns what in a value no handler takes, and where it is; empty if there is no such thing."""
        kind = type(value)
        if kind not in CONTAINERS:
            return "" if self._plain(value, levels) else f"the {kind.__module__}.{kind.__qualname__} at {place}"
        if not levels:
            return f"data that are nested more than {MAX_LEVELS} levels deep, or hold themselves"
        inside = ((item, where, levels - 1) for item, where in _places(value, place))
        return next(filter(None, (self.unfit(*one) for one in inside)), "")

    def encode(self, value: Any) -> Encoded:
        """See the base class."""
        packed = msgpack.packb(value, default=self._extension, strict_types=True, unicode_errors="surrogatepass")
        return Encoded((packed,))

    def _extension(self, value: Any) -> Any:
        kind = type(value)
        if kind in CONTAINERS:
            return msgpack.ExtType(CODES[kind], self.encode(list(value)).joined())
        if kind in EXTENSIONS:
            extension = EXTENSIONS[kind]
            return msgpack.ExtType(extension.code, self.encode(extension.parts(value)).joined())
        if _is_scalar(value):
            return msgpack.ExtType(SCALAR, msgpack.packb([value.dtype.str, value.tobytes()]))
        handler = self._handlers.nested(value)
        if handler is None:
            raise TypeError(f"no handler takes a {kind.__module__}.{kind.__qualname__}")
        encoded = handler.encode(value)
        told = [handler.data_type, handler.content_type, dict(encoded.metadata), encoded.joined()]
        return msgpack.ExtType(NESTED, msgpack.packb(told))

    def decode(self, data: Buffer, entry: CacheEntry) -> Any:
        """See the base class."""
        return msgpack.unpackb(
            data,
            ext_hook=partial(self._value, entry),
            strict_map_key=False,
            timestamp=3,
            unicode_errors="surrogatepass",
        )

    def _value(self, entry: CacheEntry, code: int, data: bytes) -> Any:
        if code == NESTED:
            data_type, content_type, metadata, inner = msgpack.unpackb(data)
            part = CacheEntry(
                entry.key,
                entry.etag,
                data_type,
                content_type,
                metadata=metadata,
                size_bytes=len(inner),
                signed=entry.signed,
            )
            handler = self._handlers.reader(part)
            return handler.copy(handler.decode(inner, part))
        if code == SCALAR:
            return unpacked_scalar(*msgpack.unpackb(data))
        parts = self.decode(data, entry)
        if code in KINDS:
            return KINDS[code](parts)
        try:
            return unpacked(code, parts)
        except KeyError:
            raise ValueUnreadable(f"MessagePack type {code} of entry {entry.key!r} is not one of ours") from None

    def copy(self, value: Any) -> Any:
        """See the base class."""
        kind = type(value)
        if kind in (list, tuple):
            return kind(self.copy(item) for item in value)
        if kind is dict:
            return {key: self.copy(item) for key, item in value.items()}
        if kind is set:
            return set(value)
        if kind in LEAVES or kind is frozenset:
            return value
        return super().copy(value)


def _is_scalar(value: Any) -> bool:
    numpy = modules.get("numpy")
    return (
        numpy is not None and isinstance(value, numpy.generic) and not value.dtype.hasobject and value.dtype.char != "T"
    )


def _places(value: Any, place: str) -> Iterator[tuple[Any, str]]:
    """Yields what a container holds, and where that is."""
    if type(value) is dict:
        yield from ((key, f"a key of {place}") for key in value)
        yield from ((item, f"{place}[{repr(key)}]") for key, item in value.items())
    elif type(value) in (list, tuple):
        yield from ((item, f"{place}[{index}]") for index, item in enumerate(value))
    else:
        yield from ((item, f"an item of {place}") for item in value)


def _both(value: dict[Any, Any]) -> list[Any]:
    return [*value.keys(), *value.values()]


CONTAINERS: dict[type, Callable[[Any], Any]] = {list: iter, tuple: iter, set: iter, frozenset: iter, dict: _both}
"""The containers that may be nested, and what gives their items."""
CODES: dict[type, int] = {tuple: 1, set: 2, frozenset: 3}
"""Containers that MessagePack does not know, and their types there."""
KINDS = {code: kind for kind, code in CODES.items()}
"""The same, the other way round."""
