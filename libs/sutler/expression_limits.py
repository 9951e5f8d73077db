"""How much an expression may make of values, worked out before it is evaluated.

The engine bounds iterations, not what each of them costs: ``[x].map(y, y + y)`` twenty times over makes a million of
one, ``a.replace('', b)`` is as long as both multiplied, and a loop may go through one long text again and again. No
other code runs meanwhile, and nothing can stop it. What is worked out here is the most that it can be, from the
operators in the text and the longest of the values; so an expression may be refused that would have got by.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

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

MANY = 16
"""More of anything than this is too much for any values, and larger powers are not worked out."""

_LOOPS = re.compile(r"\.\s*(all|exists|exists_one|map|filter)\s*\(")
_BUILDS = re.compile(r"\.\s*(map|filter)\s*\(")
_READS = re.compile(
    r"\b(size|matches|contains|indexOf|lastIndexOf|lowerAscii|upperAscii|reverse|quote|trim|substring)\s*\("
)
_SLOW = re.compile(r"\.\s*(replace|join|split|format)\s*\(")
_REPLACES = re.compile(r"\.\s*replace\s*\(")
_LITERAL = r"(?:'[^'\\]*'|\"[^\"\\]*\")"
_REPLACES_BY_LITERAL = re.compile(rf"\.\s*replace\s*\(\s*{_LITERAL}\s*,\s*({_LITERAL})\s*(?:,\s*\d+\s*)?\)")
_JOINS = re.compile(r"\.\s*join\s*\(")
_FORMATS = re.compile(r"\.\s*format\s*\(")


class Cost:
    """What an expression can cost at the most, for values of any length.

    Args:
        text: The expression.
    """

    def __init__(self, text: str) -> None:
        self._length = len(text)
        self._items = text.count(",") + 1
        self._loops = len(_LOOPS.findall(text))
        self._builds = len(_BUILDS.findall(text))
        self._adds = text.count("+") + (self._items if _FORMATS.search(text) else 0)
        self._reads = len(_READS.findall(text))
        self._slow = len(_SLOW.findall(text))
        self._joins = len(_JOINS.findall(text))
        replacements = [len(literal) for literal in _REPLACES_BY_LITERAL.findall(text)]
        self._replaced = math.prod(replacements)
        self._multiplies = len(_REPLACES.findall(text)) - len(replacements)

    @property
    def matters(self) -> bool:
        """Whether it depends on values at all; others take no longer than their own length."""
        return bool(self._builds or self._slow or (self._loops and (self._adds or self._reads)))

    def refusal(self, values: Mapping[str, Any]) -> str:
        """Returns why an expression must not be evaluated on these values; empty if it may."""
        if not self.matters:
            return ""
        items, text = _longest(values)
        if self._builds and items > MAX_ITEMS:
            return f"a list has more than {MAX_ITEMS} items, which is too long for map and filter"
        items = max(items, self._items)
        size = self._size(max(text, items if self._adds else 0, self._length), items)
        if size > MAX_SIZE:
            return f"it could make a value longer than {MAX_SIZE}"
        operators = self._adds + self._reads + REPLACING * self._slow
        if operators and operators * self._steps(items) * size > MAX_WORK:
            return f"it could go through more than {MAX_WORK} characters"
        return ""

    def _size(self, longest: int, items: int) -> float:
        """Returns the length of the longest value that it can make.

        Additions multiply where a loop adds up what another one has built; spread evenly they multiply most.
        """
        stages = min(self._builds + 1, MANY)
        added = (self._adds / stages + 1) ** stages
        multiplied = float(longest) ** min(self._multiplies + 1, MANY)
        joined = float(items) ** min(self._joins, MANY)
        return added * multiplied * joined * self._replaced

    def _steps(self, items: int) -> int:
        return int(min(ITERATIONS, items ** min(self._loops, 4)))


def _longest(value: Any) -> tuple[int, int]:
    """Returns the length of the longest list or mapping in a value, and that of the longest text."""
    if isinstance(value, str):
        return 0, len(value)
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    if inner is None:
        return 0, 0
    items, text = len(value), 0
    for each in inner:
        found = _longest(each)
        items, text = max(items, found[0]), max(text, found[1])
    return items, text
