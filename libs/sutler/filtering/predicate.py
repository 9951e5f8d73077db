"""Compiles a filter to a function over plain data, for watches and stores without SQL."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from sutler.filtering.nodes import Compare, Has, Match, Node, Op, Pattern, Present, Value, visit
from sutler.filtering.schema import Kind, Ref, Type

Item: TypeAlias = Mapping[str, Any]
Predicate: TypeAlias = Callable[[Item], bool]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_OPERATORS: dict[Op, Callable[[Any, Any], bool]] = {
    Op.EQ: operator.eq,
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
}


def to_predicate(node: Node) -> Predicate:
    """Returns the condition as a function. See :meth:`sutler.filtering.Filter.predicate`."""
    return visit(node, PredicateCompiler())


class PredicateCompiler:
    """Makes a function of a filter."""

    def all_of(self, terms: Sequence[Predicate]) -> Predicate:
        """Compiles AND."""
        return lambda item: all(term(item) for term in terms)

    def any_of(self, terms: Sequence[Predicate]) -> Predicate:
        """Compiles OR."""
        return lambda item: any(term(item) for term in terms)

    def negation(self, term: Predicate) -> Predicate:
        """Compiles NOT."""
        return lambda item: not term(item)

    def compare(self, node: Compare) -> Predicate:
        """Compiles a comparison."""
        return _leaf(node.ref, node.type, _comparison(node.op, node.value))

    def match(self, node: Match) -> Predicate:
        """Compiles a comparison with a pattern."""
        return _leaf(node.ref, Type.TEXT, _matching(node.pattern))

    def has(self, node: Has) -> Predicate:
        """Compiles a test for an element or key."""
        element = node.element
        test = _matching(element) if isinstance(element, Pattern) else _comparison(Op.EQ, element)

        def check(item: Item) -> bool:
            found = look_up(item, node.ref.path)
            return any(member is not None and test(member) for member in _members(found, node.type))

        return check

    def present(self, node: Present) -> Predicate:
        """Compiles a test for presence."""
        ref = node.ref

        def check(item: Item) -> bool:
            found = look_up(item, ref.path)
            if ref.type is None:
                return found is not None and not (isinstance(found, Mapping | list | tuple) and not found)
            value = as_type(found, ref.type)
            return value is not None and not (ref.field.kind is Kind.STRING and value == "")

        return check


def look_up(item: Item, path: Sequence[str]) -> Any:
    """Returns what is at a path in nested mappings; None if nothing is."""
    found: Any = item
    for key in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def as_type(value: Any, kind: Type) -> Value | None:
    """Returns a value in the form in which it compares; None if it is of another type."""
    if isinstance(value, datetime):
        value = (value - _EPOCH) / _SECOND
    elif isinstance(value, timedelta):
        value = value / _SECOND
    match kind:
        case Type.TEXT:
            return value if isinstance(value, str) else None
        case Type.BOOL:
            return value if isinstance(value, bool) else None
        case Type.INTEGER:
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None
        case Type.NUMBER:
            return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _leaf(ref: Ref, kind: Type, test: Callable[[Any], bool]) -> Predicate:
    def check(item: Item) -> bool:
        value = as_type(look_up(item, ref.path), kind)
        return value is not None and test(value)

    return check


def _members(found: Any, kind: Type) -> Iterable[Value | None]:
    if isinstance(found, Mapping):
        return found.keys() if kind is Type.TEXT else ()
    return [as_type(member, kind) for member in (found if isinstance(found, list | tuple) else [found])]


def _comparison(op: Op, wanted: Value) -> Callable[[Any], bool]:
    compare = _OPERATORS[op]
    return lambda value: compare(value, wanted)


def _matching(pattern: Pattern) -> Callable[[Any], bool]:
    text = pattern.text
    if pattern.leading and pattern.trailing:
        return lambda value: text in value
    if pattern.leading:
        return lambda value: bool(value.endswith(text))
    return lambda value: bool(value.startswith(text))
