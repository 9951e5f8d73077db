"""What compiling needs of an engine: how it compares text and looks into JSON documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sutler.filtering.fragments import Dialect, Sql, Test
from sutler.filtering.postgresql import PostgresqlFilters
from sutler.filtering.schema import Type
from sutler.filtering.sqlite import SqliteFilters


class Engine(Protocol):
    """The SQL of one engine. Columns are trusted; keys and texts always become parameters.

    Attributes:
        collation: What makes text compare by code point.
    """

    collation: str

    def suffix(self, value: Sql, text: str) -> Sql:
        """Returns whether a text ends with another that is not empty."""
        ...

    def contains(self, value: Sql, text: str) -> Sql:
        """Returns whether a text contains another that is not empty."""
        ...

    def scalar(self, column: str, keys: Sequence[str], kind: Type) -> Sql:
        """Returns the value at a place in a document; NULL where it is absent or of another type."""
        ...

    def rank(self, column: str, keys: Sequence[str]) -> Sql:
        """Returns a number that orders types: 1 bool, 2 number, 3 text; 0 for absent and all others."""
        ...

    def members(self, column: str, keys: Sequence[str], kind: Type, test: Test) -> Sql:
        """Returns whether an array has an element of a type, or an object a key (text only), that passes a test."""
        ...

    def filled(self, column: str, keys: Sequence[str]) -> Sql:
        """Returns whether there is something else than null, ``[]`` and ``{}``."""
        ...


ENGINES: dict[Dialect, Engine] = {"sqlite": SqliteFilters(), "postgresql": PostgresqlFilters()}
"""The engines by their names."""
