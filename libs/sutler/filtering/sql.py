"""Compiles a filter to a condition in SQL that is TRUE or FALSE, never NULL, so that NOT means not."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sutler.filtering.engines import ENGINES
from sutler.filtering.fragments import TRUE, Dialect, Sql, Test, join, param, sql
from sutler.filtering.nodes import Compare, Has, Match, Node, Op, Pattern, Present, Value, visit
from sutler.filtering.schema import Kind, Ref, Type


def to_sql(node: Node, dialect: Dialect) -> Sql:
    """Returns the condition for an engine."""
    return visit(node, SqlCompiler(dialect))


class SqlCompiler:
    """Makes SQL of a filter. Columns come from the schema; everything that a caller wrote becomes a parameter.

    Args:
        dialect: The engine.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._engine = ENGINES[dialect]

    def all_of(self, terms: Sequence[Sql]) -> Sql:
        """Compiles AND."""
        return join("AND", terms) if terms else TRUE

    def any_of(self, terms: Sequence[Sql]) -> Sql:
        """Compiles OR."""
        return join("OR", terms)

    def negation(self, term: Sql) -> Sql:
        """Compiles NOT."""
        return sql("(NOT {})", term)

    def compare(self, node: Compare) -> Sql:
        """Compiles a comparison."""
        return self._leaf(node.ref, node.type, self._comparison(node.op, node.value))

    def match(self, node: Match) -> Sql:
        """Compiles a comparison with a pattern."""
        return self._leaf(node.ref, Type.TEXT, self._matching(node.pattern))

    def has(self, node: Has) -> Sql:
        """Compiles a test for an element or key."""
        ref, element = node.ref, node.element
        test = self._matching(element) if isinstance(element, Pattern) else self._comparison(Op.EQ, element)
        members = self._engine.members(ref.field.column, ref.json, node.type, test)
        if ref.field.kind is not Kind.OPEN:
            return members
        return join("OR", [self._leaf(ref, node.type, test), members])

    def present(self, node: Present) -> Sql:
        """Compiles a test for presence."""
        ref = node.ref
        if ref.type is None:
            return self._engine.filled(ref.field.column, ref.json)
        if ref.field.kind is Kind.STRING:
            return self._leaf(ref, ref.type, lambda value: sql("{} <> ''", value))
        return sql("({} IS NOT NULL)", self.value(ref, ref.type))

    def value(self, ref: Ref, kind: Type) -> Sql:
        """Returns the value of a field; NULL where it is absent or, in an open field, of another type."""
        if ref.field.is_json:
            return self._engine.scalar(ref.field.column, ref.json, kind)
        return Sql(ref.field.column)

    def rank(self, ref: Ref) -> Sql:
        """Returns the rank of an open field's type in an order."""
        return self._engine.rank(ref.field.column, ref.json)

    def collated(self, value: Sql, kind: Type) -> Sql:
        """Returns a value that compares by code point if it is text."""
        return sql(f"{{}} {self._engine.collation}", value) if kind is Type.TEXT else value

    def _leaf(self, ref: Ref, kind: Type, test: Test) -> Sql:
        value = self.value(ref, kind)
        if ref.field.is_json:
            return sql("COALESCE({}, FALSE)", test(value))
        return sql("({} IS NOT NULL AND {})", value, test(value))

    def _comparison(self, op: Op, wanted: Value) -> Test:
        kind = Type.TEXT if isinstance(wanted, str) else Type.NUMBER
        return lambda value: sql(f"{{}} {op.value} {{}}", self.collated(value, kind), param(wanted))

    def _matching(self, pattern: Pattern) -> Test:
        text = pattern.text
        if not text:
            return lambda value: sql("{} IS NOT NULL", value)
        if pattern.leading and pattern.trailing:
            return lambda value: self._engine.contains(value, text)
        if pattern.leading:
            return lambda value: self._engine.suffix(value, text)
        return lambda value: self._prefix(value, text)

    def _prefix(self, value: Sql, text: str) -> Sql:
        """Returns a range, which an index can answer, unlike LIKE and its kin."""
        collated = self.collated(value, Type.TEXT)
        lowest = sql("{} >= {}", collated, param(text))
        end = _after_all_with(text)
        return lowest if end is None else sql("({} AND {} < {})", lowest, collated, param(end))


def _after_all_with(prefix: str) -> str | None:
    """Returns the least text that is greater than all that begin with a prefix; None if there is none."""
    kept = prefix.rstrip(chr(sys.maxunicode))
    if not kept:
        return None
    code = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if code == 0xD800 else code)  # surrogates are no characters
