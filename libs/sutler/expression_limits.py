"""How much an expression may make of values, worked out before it is evaluated.

The engine bounds iterations, not what each of them costs: ``[x].map(y, y + y)`` twenty times over makes a million of
one, ``a.replace('', b)`` is as long as both multiplied, and a loop may go through one long text, compare two long
lists, or compile one regular expression again and again. No other code runs meanwhile, and nothing can stop it. What is
worked out here is the most that it can be, from the operators in the text and the size of the values; so an expression
may be refused that would have got by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sutler.expression_operators import Operators

MAX_ITEMS = 2_000
"""The longest list in the values of an expression that builds a list: the engine copies it for each item."""

MAX_SIZE = 16 * 1024 * 1024
"""The longest text or list that an expression may make."""

MAX_WORK = 200_000_000
"""How many characters an expression may go through; adding texts up takes about 5 ns for each."""

ITERATIONS = 10_000
"""How many the engine allows."""

REPLACING = 10
"""How much longer it takes to replace a character, or to split after it, than to read it."""

COMPARING = 10
"""How much longer it takes to compare two items of lists than to read a character; texts are compared much faster."""

COMPARED_TEXT = 100
"""How many characters of texts are compared in the time in which one is read."""

MANY = 16
"""More of anything than this is too much for any values, and larger powers are not worked out."""


@dataclass(frozen=True, slots=True)
class Measure:
    """How large values are.

    Attributes:
        items: The length of the longest list or mapping.
        text: The length of the longest text.
        values: How many values there are in all.
        characters: How long all texts are together.
        braces: Whether any text could be a regular expression that repeats.
    """

    items: int = 0
    text: int = 0
    values: int = 0
    characters: int = 0
    braces: bool = False


def measure(value: Any) -> Measure:
    """Returns how large values are, with all that is in them."""
    items = longest = values = characters = 0
    braces = False
    todo = [value]
    while todo:
        found = todo.pop()
        values += 1
        if isinstance(found, str):
            characters += len(found)
            longest = max(longest, len(found))
            braces = braces or "{" in found or "\\" in found
        elif isinstance(found, dict | Mapping):
            items = max(items, len(found))
            todo += found
            todo += found.values()
        elif isinstance(found, list):
            items = max(items, len(found))
            todo += found
    return Measure(items, longest, values, characters, braces)


class Cost:
    """What an expression can cost at the most, for values of any size.

    Args:
        text: The expression.
    """

    def __init__(self, text: str) -> None:
        self._operators = found = Operators(text)
        self._length = len(text)
        self.matters = bool(
            found.builds
            or found.slow
            or found.compiles
            or (found.loops and (found.adds or found.reads or found.compares or found.compares_texts))
        )
        """Whether it depends on values at all; others take no longer than their own length."""

    def refusal(self, values: Measure) -> str:
        """Returns why an expression must not be evaluated on these values; empty if it may."""
        found = self._operators
        if found.builds and values.items > MAX_ITEMS:
            return f"a list has more than {MAX_ITEMS} items, which is too long for map and filter"
        items = max(values.items, found.items)
        size = self._size(max(values.text, items if found.adds else 0, self._length), items)
        if size > MAX_SIZE:
            return f"it could make a value longer than {MAX_SIZE}"
        each = (found.adds + found.reads + REPLACING * found.slow) * size
        if found.compares or found.compares_texts:
            texts = max(values.characters, self._length) / COMPARED_TEXT
            each += found.compares_texts * self._size(texts, items)
            each += found.compares * self._size(COMPARING * values.values + texts, items)
        each += found.pattern_cost(values.text, braces=values.braces)
        if each * self._steps(items) > MAX_WORK:
            return f"it could go through more than {MAX_WORK} characters"
        return ""

    def _size(self, longest: float, items: int) -> float:
        """Returns the length of the longest value that it can make.

        Additions multiply where a loop adds up what another one has built; spread evenly they multiply most.
        """
        found = self._operators
        stages = min(found.builds + 1, MANY)
        added = (found.adds / stages + 1) ** stages
        multiplied = float(longest) ** min(found.multiplies + 1, MANY)
        joined = float(items) ** min(found.joins, MANY)
        return float(added * multiplied * joined * math.prod(found.replaced))

    def _steps(self, items: int) -> int:
        return int(min(ITERATIONS, items ** min(self._operators.loops, 4)))
