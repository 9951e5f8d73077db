"""Filters as trees: as text in the filter language, and their plain meaning for rows in Python.

Nothing here knows a domain. A row is a dict; a relation in it is an id or a list of ids.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """A text to compare with, and whether anything may stand before and after it."""

    text: str
    leading: bool = False
    trailing: bool = False


@dataclass(frozen=True, slots=True)
class Leaf:
    """One comparison; ``value`` is a Text, a number, a bool, or None for presence."""

    path: str
    op: str
    value: Any


@dataclass(frozen=True, slots=True)
class Negation:
    """NOT, written as that or as ``-``."""

    term: Tree
    short: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """AND or OR of at least two terms."""

    word: str
    terms: tuple[Tree, ...]


Tree: TypeAlias = Leaf | Negation | Group


def written(tree: Tree) -> str:
    """Returns the filter; without the parentheses that its grammar does not need, as OR binds tighter than AND."""
    match tree:
        case Leaf(path, op, value):
            return f"{path}{op}{_word(value)}"
        case Negation(term, short):
            text = written(term) if isinstance(term, Leaf) else f"({written(term)})"
            return f"-{text}" if short else f"NOT {text}"
        case Group(word, terms):
            free = (Leaf, Negation)
            parts = [
                written(term) if isinstance(term, free) or (word, getattr(term, "word", "")) == ("AND", "OR")
                else f"({written(term)})"
                for term in terms
            ]  # fmt: skip
            return f" {word} ".join(parts)


def _word(value: Any) -> str:
    if value is None:
        return "*"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    text = value.text
    for character in '\\"*':
        text = text.replace(character, f"\\{character}")
    return f'"{"*" * value.leading}{text}{"*" * value.trailing}"'


@dataclass(frozen=True, slots=True)
class Tables:
    """All rows by model and id, and where the relations of each model lead."""

    rows: dict[str, dict[int, dict[str, Any]]]
    relations: dict[tuple[str, str], str]

    def matching(self, model: str, tree: Tree) -> set[int]:
        return {one for one, row in self.rows[model].items() if self.holds(model, row, tree)}

    def holds(self, model: str, row: dict[str, Any], tree: Tree) -> bool:
        match tree:
            case Negation(term):
                return not self.holds(model, row, term)
            case Group("AND", terms):
                return all(self.holds(model, row, term) for term in terms)
            case Group(_, terms):
                return any(self.holds(model, row, term) for term in terms)
            case Leaf(path, "!=", value):
                return not self.holds(model, row, Leaf(path, "=", value))
            case Leaf(path, op, value):
                return any(_passes(one, op, value) for one in self.ends(model, row, path))
        raise AssertionError(tree)

    def ends(self, model: str, row: dict[str, Any], path: str) -> list[Any]:
        """Returns the values at the end of a path that are there; several behind relations to many."""
        name, _, rest = path.partition(".")
        found = row[name] if isinstance(row[name], list) else [row[name]]
        found = [one for one in found if one is not None]
        if not rest:
            return found
        other = self.relations[model, name]
        return [end for one in found for end in self.ends(other, self.rows[other][one], rest)]

    def many(self, model: str, path: str) -> bool:
        """Returns whether a path leads through many records."""
        name, _, rest = path.partition(".")
        here = any(isinstance(row[name], list) for row in self.rows[model].values())
        return here or (bool(rest) and self.many(self.relations[model, name], rest))

    def refused(self, model: str, tree: Tree, *, negated: bool = False) -> bool:
        """Returns whether a tree asks for none of many: an ERP cannot say that of a path to many records."""
        match tree:
            case Negation(term):
                return self.refused(model, term, negated=not negated)
            case Group(_, terms):
                return any(self.refused(model, term, negated=negated) for term in terms)
            case Leaf(path, op, _):
                return self.many(model, path) and negated != (op == "!=")


def _passes(found: Any, op: str, value: Any) -> bool:
    if value is None:
        return bool(found != "")
    if not isinstance(value, Text):
        return ORDERS["=" if op == ":" else op](found, value)
    if value.leading and value.trailing:
        return value.text in found
    if value.leading:
        return bool(found.endswith(value.text))
    if value.trailing:
        return bool(found.startswith(value.text))
    return ORDERS["=" if op == ":" else op](found, value.text)
