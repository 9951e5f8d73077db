"""A filter as a tree whose fields and values have types: what targets compile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias, TypeVar

from sutler.filtering.schema import Ref, Type

T = TypeVar("T")


class Op(Enum):
    """How two values of one type compare. ``!=`` is the negation of ``=``."""

    EQ = "="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


Value: TypeAlias = str | int | float | bool
"""A value as it is stored: epoch seconds for times, seconds for durations, the stored form of an enum."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text with a star before it, after it, or both.

    Attributes:
        text: What must be there; empty if any text will do.
        leading: Whether anything may come before it.
        trailing: Whether anything may come after it.
    """

    text: str
    leading: bool
    trailing: bool


@dataclass(frozen=True, slots=True)
class And:
    """All of the terms hold; without terms, always."""

    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of the terms holds."""

    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The term does not hold."""

    term: Node


@dataclass(frozen=True, slots=True)
class Compare:
    """The field is present, has a value of this type, and it compares so. Text compares by code point.

    Attributes:
        ref: The field.
        op: How.
        value: With what.
        type: The type of both.
    """

    ref: Ref
    op: Op
    value: Value
    type: Type


@dataclass(frozen=True, slots=True)
class Match:
    """The field is present, is text, and fits the pattern."""

    ref: Ref
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Has:
    """The list has such an element, or the map such a key; an open field may also be that value itself.

    Attributes:
        ref: The field.
        element: The value or pattern.
        type: The type of the element.
    """

    ref: Ref
    element: Value | Pattern
    type: Type


@dataclass(frozen=True, slots=True)
class Present:
    """The field is there and not empty. See the language in :mod:`sutler.filtering`."""

    ref: Ref


Node: TypeAlias = And | Or | Not | Compare | Match | Has | Present


class Visitor(Protocol[T]):
    """Compiles a filter, bottom up: gets leaves as they are and groups with their terms compiled."""

    def all_of(self, terms: Sequence[T]) -> T:
        """Compiles AND; no terms mean always."""
        ...

    def any_of(self, terms: Sequence[T]) -> T:
        """Compiles OR."""
        ...

    def negation(self, term: T) -> T:
        """Compiles NOT: true exactly where the term is not."""
        ...

    def compare(self, node: Compare) -> T:
        """Compiles a comparison."""
        ...

    def match(self, node: Match) -> T:
        """Compiles a comparison with a pattern."""
        ...

    def has(self, node: Has) -> T:
        """Compiles a test for an element or key."""
        ...

    def present(self, node: Present) -> T:
        """Compiles a test for presence."""
        ...


def visit(node: Node, visitor: Visitor[T]) -> T:
    """Returns what ``visitor`` makes of a filter."""
    match node:
        case And(terms):
            return visitor.all_of([visit(term, visitor) for term in terms])
        case Or(terms):
            return visitor.any_of([visit(term, visitor) for term in terms])
        case Not(term):
            return visitor.negation(visit(term, visitor))
        case Compare():
            return visitor.compare(node)
        case Match():
            return visitor.match(node)
        case Has():
            return visitor.has(node)
        case Present():
            return visitor.present(node)
