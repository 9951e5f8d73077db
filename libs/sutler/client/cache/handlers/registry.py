"""Which handlers there are, and in which order they are asked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from threading import Lock

from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.handlers.arrays import NumpyHandler
from sutler.client.cache.handlers.base import CacheHandler, ValueUnreadable
from sutler.client.cache.handlers.packed import CONTAINERS, MsgpackHandler
from sutler.client.cache.handlers.pandas import PandasHandler, PandasSeriesHandler
from sutler.client.cache.handlers.pickles import DillHandler, PickleHandler
from sutler.client.cache.handlers.plain import BytesHandler, JsonHandler, TextHandler
from sutler.client.cache.handlers.polars import PolarsHandler, PolarsSeriesHandler

EXECUTABLE = {"pickle": PickleHandler, "dill": DillHandler}


@dataclass(frozen=True, slots=True)
class HandlerInfo:
    """One handler of a registry.

    Attributes:
        name: What it is unregistered by.
        data_type: What entries call it.
        priority: Its place; 0 is asked first.
        is_builtin: Whether it comes with the client.
        executable: Whether its bytes can run code.
    """

    name: str
    data_type: str
    priority: int
    is_builtin: bool
    executable: bool


@dataclass(frozen=True, slots=True)
class _Registered:
    name: str
    handler: CacheHandler
    builtin: bool


class Handlers:
    """Handlers in the order in which they are asked. Safe to change while caches use it: the next call sees it.

    Args:
        executable: ``"pickle"`` or ``"dill"``, to switch them on.

    Raises:
        ValueError: If there is none of that name.
    """

    def __init__(self, executable: Collection[str] = ()) -> None:
        if unknown := sorted(set(executable) - set(EXECUTABLE)):
            raise ValueError(f"{unknown[0]!r} is none of {', '.join(EXECUTABLE)}")
        built_in: list[CacheHandler] = [
            BytesHandler(),
            TextHandler(),
            NumpyHandler(),
            PandasHandler(),
            PandasSeriesHandler(),
            PolarsHandler(),
            PolarsSeriesHandler(),
            JsonHandler(),
            MsgpackHandler(self),
            *(EXECUTABLE[name]() for name in executable),
        ]
        self._lock = Lock()
        self._all = tuple(_Registered(each.data_type, each, builtin=True) for each in built_in)

    def register_handler(self, handler: CacheHandler, priority: int | None = None, name: str | None = None) -> None:
        """Adds a handler.

        Args:
            handler: The handler.
            priority: Its place: 0 is asked first. None puts it behind all that take certain values only.
            name: What it is unregistered by; its data type if None.

        Raises:
            TypeError: If it is no handler.
            ValueError: If the name is taken, or the priority negative.
        """
        if not isinstance(handler, CacheHandler):
            raise TypeError(f"{handler!r} is no object of a class that builds on CacheHandler")
        added = _Registered(name or handler.data_type, handler, builtin=False)
        if priority is not None and priority < 0:
            raise ValueError(f"priority is {priority}; 0 is the first place")
        with self._lock:
            if any(each.name == added.name for each in self._all):
                raise ValueError(f"there is a handler {added.name!r}: unregister it first, or give another name")
            place = len(self._all) if priority is None else priority
            if priority is None and not handler.executable:
                place = next((at for at, each in enumerate(self._all) if each.handler.executable), place)
            self._all = (*self._all[:place], added, *self._all[place:])

    def unregister_handler(self, name: str) -> bool:
        """Removes a handler, a built-in one too. Returns whether there was one."""
        with self._lock:
            left = tuple(each for each in self._all if each.name != name)
            found = len(left) < len(self._all)
            self._all = left
        return found

    def list_handlers(self) -> list[HandlerInfo]:
        """Returns the handlers in the order in which they are asked."""
        return [
            HandlerInfo(each.name, each.handler.data_type, place, each.builtin, each.handler.executable)
            for place, each in enumerate(self._all)
        ]

    def writer(self, value: object) -> CacheHandler:
        """Returns the handler that takes a value.

        Raises:
            TypeError: If none does; names what in the value it is, and where.
        """
        for each in self._all:
            if each.handler.can_handle(value):
                return each.handler
        kind = type(value)
        packed = next((each.handler for each in self._all if isinstance(each.handler, MsgpackHandler)), None)
        nested = packed.unfit(value) if packed and kind in CONTAINERS else ""
        raise TypeError(
            f"no handler takes {nested or f'a {kind.__module__}.{kind.__qualname__}'}: register one, give plain data, "
            'or, if the cache signs, open it with handlers=Handlers(executable=["pickle"])'
        )

    def nested(self, value: object) -> CacheHandler | None:
        """Returns the handler for a value inside another one; None if none takes it, or its bytes can run code."""
        for each in self._all:
            handler = each.handler
            if not handler.executable and not isinstance(handler, MsgpackHandler) and handler.can_handle(value):
                return handler
        return None

    def reader(self, entry: CacheEntry) -> CacheHandler:
        """Returns the handler for the value of an entry: by its data type, or else by its content type.

        Raises:
            ValueUnreadable: If there is none, or its bytes can run code and the entry is not signed.
        """
        wanted = entry.data_type or _plain_type(entry.content_type)
        for each in self._all:
            if each.handler.data_type == wanted:
                if each.handler.executable and not entry.signed:
                    raise ValueUnreadable(
                        f"entry {entry.key!r} holds {wanted}, which can run code, and is not signed: "
                        "turn signing on for the cache"
                    )
                return each.handler
        remedy = (
            f'open the cache with handlers=Handlers(executable=["{wanted}"])'
            if wanted in EXECUTABLE
            else ("register a handler with that data type")
        )
        raise ValueUnreadable(f"entry {entry.key!r} was written by {wanted!r}: {remedy}")


def _plain_type(content_type: str) -> str:
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/json" or media.endswith("+json"):
        return "json"
    return "text" if media.startswith("text/") else "bytes"


DEFAULT = Handlers()
"""The handlers of caches that were opened without any of their own."""
