"""The handlers that take anything, and whose bytes can run code: for caches that sign, and only if switched on."""

from __future__ import annotations

import importlib
import pickle
from typing import Any

from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.handlers.base import Buffer, CacheHandler, Encoded


class PickleHandler(CacheHandler):
    """Whatever ``pickle`` takes."""

    data_type = "pickle"
    content_type = "application/x-python-pickle"
    executable = True

    def can_handle(self, value: object) -> bool:
        """See the base class; which objects can be pickled only pickling shows."""
        return True

    def encode(self, value: Any) -> Encoded:
        """See the base class."""
        try:
            return Encoded((self._module().dumps(value, protocol=5),), {"type": _name(type(value))})
        except (pickle.PicklingError, AttributeError) as error:
            raise TypeError(f"a {_name(type(value))} cannot be pickled: {error}") from error

    def decode(self, data: Buffer, entry: CacheEntry) -> Any:
        """See the base class."""
        return self._module().loads(data)

    def _module(self) -> Any:
        return pickle


class DillHandler(PickleHandler):
    """Whatever ``dill`` takes: also functions and classes of scripts."""

    data_type = "dill"
    content_type = "application/x-python-dill"

    def _module(self) -> Any:
        return importlib.import_module("dill")


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
