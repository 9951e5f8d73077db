"""What every handler of a cache's values must do: tests for those who bring one of their own.

::

    class TestPoints(CacheHandlerTests):
        @pytest.fixture
        def handler(self):
            return PointHandler()

        @pytest.fixture
        def values(self):
            return [Point(1, 2), Point(0, -1)]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest

from sutler.client.cache import CacheEntry, CacheHandler, Handlers
from sutler.wire import to_struct


class CacheHandlerTests:
    """The suite. A subclass has the fixtures ``handler`` and ``values``."""

    @pytest.fixture
    def handler(self) -> CacheHandler:
        """The handler under test."""
        raise NotImplementedError("a subclass makes the handler")

    @pytest.fixture
    def values(self) -> Sequence[Any]:
        """Values that it takes: small and large ones, empty ones, and whatever is odd."""
        raise NotImplementedError("a subclass gives values")

    @pytest.fixture
    def others(self) -> Sequence[Any]:
        """Values that it leaves to others."""
        return [object(), type]

    def same(self, one: Any, other: Any) -> bool:
        """Returns whether two values are the same; for values without ``==``, a subclass says how."""
        return bool(one == other)

    def test_its_names_are_those_that_entries_take(self, handler: CacheHandler) -> None:
        """The service refuses other ones."""
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,62}", handler.data_type)
        assert re.fullmatch(r"[!-~]+/[ -~]+", handler.content_type) and len(handler.content_type) <= 256

    def test_it_takes_its_values_and_no_others(
        self, handler: CacheHandler, values: Sequence[Any], others: Sequence[Any]
    ) -> None:
        """The first handler that takes a value gets it."""
        assert all(handler.can_handle(value) is True for value in values)
        assert handler.executable or not any(handler.can_handle(other) for other in others)

    def test_values_come_back_as_they_were(self, handler: CacheHandler, values: Sequence[Any]) -> None:
        """Of the same type, from any kind of buffer, and again as a copy."""
        for value in values:
            encoded = handler.encode(value)
            data = encoded.joined()
            entry = CacheEntry("k", data_type=handler.data_type, content_type=handler.content_type)
            assert len(data) == encoded.size
            for buffer in (data, bytearray(data), memoryview(data)):
                back = handler.decode(buffer, entry)
                assert type(back) is type(value) and self.same(back, value)
            copy = handler.copy(back)
            assert type(copy) is type(value) and self.same(copy, value)

    def test_equal_values_have_equal_bytes(self, handler: CacheHandler, values: Sequence[Any]) -> None:
        """So that equal values are stored once, and an entry that is put again keeps its checksum."""
        for value in values:
            assert handler.encode(value).joined() == handler.encode(handler.copy(value)).joined()

    def test_its_metadata_can_be_stored(self, handler: CacheHandler, values: Sequence[Any]) -> None:
        """They are JSON data."""
        for value in values:
            to_struct(handler.encode(value).metadata)

    def test_a_registry_uses_it(self, handler: CacheHandler, values: Sequence[Any]) -> None:
        """At once, before the built-in ones, and for entries that it wrote."""
        handlers = Handlers()
        handlers.unregister_handler(handler.data_type)
        handlers.register_handler(handler, priority=0)
        assert all(handlers.writer(value) is handler for value in values)
        assert handlers.reader(CacheEntry("k", data_type=handler.data_type, signed=True)) is handler
