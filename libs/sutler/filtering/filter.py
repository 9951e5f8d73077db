"""A filter that was read and checked, and its targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from sutler.filtering.fragments import Dialect, Param
from sutler.filtering.nodes import And, Node, Visitor, visit
from sutler.filtering.predicate import Predicate, to_predicate
from sutler.filtering.resolve import resolve
from sutler.filtering.schema import Schema
from sutler.filtering.sql import to_sql
from sutler.filtering.syntax import read

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter whose fields exist and whose values suit them. All its targets agree.

    Attributes:
        text: As the caller wrote it.
        root: The tree.
    """

    text: str
    root: Node

    def sql(self, dialect: Dialect) -> tuple[str, tuple[Param, ...]]:
        """Returns a condition for WHERE and its parameters.

        The condition is TRUE or FALSE, never NULL; it is ``TRUE`` for an empty filter. Nothing that the caller wrote
        is in the text: values and JSON keys are parameters, each a ``?``.
        """
        compiled = to_sql(self.root, dialect)
        return compiled.text, compiled.params

    def predicate(self) -> Predicate:
        """Returns a function that tells whether an item passes.

        An item is a mapping, nested along the field paths. Its values are what the columns hold: epoch seconds for
        times (or an aware datetime), seconds for durations (or a timedelta), the stored form of an enum; but true or
        false for a bool. Lists, maps and open fields are lists and mappings of JSON values. None and a missing key
        are absent.
        """
        return to_predicate(self.root)

    def visit(self, visitor: Visitor[T]) -> T:
        """Returns what a visitor makes of the filter: the way to further targets."""
        return visit(self.root, visitor)


def parse(text: str, schema: Schema) -> Filter:
    """Reads and checks a filter.

    Args:
        text: As the caller wrote it; empty or blank passes everything.
        schema: The fields.

    Raises:
        Invalid: If it breaks the grammar, is over 4 KiB, nests too deeply, names an unknown field, or a value does not
            suit its field (FILTER_INVALID, with ``position`` in the metadata, counted in characters from 1).
    """
    written = read(text)
    return Filter(text, And(()) if written is None else resolve(written, schema))
