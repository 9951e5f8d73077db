"""Glob patterns over event types and subjects, matched in linear time, and a map of patterns that finds fast."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Generic, TypeVar

from services.rule.faults import Fault

V = TypeVar("V")

TYPE_SEPARATOR = "."
SUBJECT_SEPARATOR = "/"

_TOKENS = re.compile(r"\*\*?|.", re.DOTALL)


class Pattern:
    """A glob: ``*`` stands for any characters but the separator, ``**`` for any characters.

    Args:
        text: The pattern.
        separator: What divides the text into segments.
    """

    def __init__(self, text: str, separator: str) -> None:
        self.text = text
        self._separator = separator
        first = text.find("*")
        self.prefix = text if first < 0 else text[:first]
        """What every match begins with."""
        self.suffix = text if first < 0 else text[text.rfind("*") + 1 :]
        """What every match ends with."""
        self.literal = first < 0
        """Whether it matches nothing but itself."""

    def matches(self, text: str) -> bool:
        """Returns whether the whole of a text matches; takes time in proportion to its length, whatever the stars."""
        if self.literal:
            return text == self.text
        if len(text) < len(self.prefix) + len(self.suffix):
            return False
        if not (text.startswith(self.prefix) and text.endswith(self.suffix)):
            return False
        middle = text[len(self.prefix) : len(text) - len(self.suffix)]
        stars = self.text[len(self.prefix) : len(self.text) - len(self.suffix)]
        if stars == "**":
            return True
        return self._separator not in middle if stars == "*" else self._automaton(middle)

    @cached_property
    def _automaton(self) -> Callable[[str], bool]:
        """What lies between the first and the last star, as an automaton that is in all of its states at once.

        Bit i of the states is set while the first i tokens match what was read. ``re`` would try one way after another,
        and take for ever over some patterns.
        """
        tokens = _TOKENS.findall(self.text[len(self.prefix) : len(self.text) - len(self.suffix)])
        literals: dict[str, int] = {}
        any_star = segment_star = 0
        for index, token in enumerate(tokens):
            if token == "**":
                any_star |= 1 << index
            elif token == "*":
                segment_star |= 1 << index
            else:
                literals[token] = literals.get(token, 0) | 1 << index
        stars, separator, end = any_star | segment_star, self._separator, 1 << len(tokens)

        def matches(text: str) -> bool:
            states = 1 | (stars & 1) << 1  # a star may stand for nothing; two never follow each other
            for character in text:
                stays = states & (any_star if character == separator else stars)
                states = stays | (states & literals.get(character, 0)) << 1
                states |= (states & stars) << 1
                if not states:
                    return False
            return bool(states & end)

        return matches


def pattern_violation(text: str, field: str) -> Fault | None:
    """Returns what is wrong with a pattern; None if nothing is."""
    if "***" not in text:
        return None
    description = f"{text!r} has three stars in a row; one star or two stand for something"
    return Fault(field, description, "PATTERN_INVALID", {"pattern": text})


class PatternMap(Generic[V]):
    """Values under patterns, found by a text. A look-up tries only patterns that share the text's beginning or end.

    Args:
        separator: As in :class:`Pattern`.
        make: Makes the value of a new pattern.
    """

    def __init__(self, separator: str, make: Callable[[], V]) -> None:
        self._separator = separator
        self._make = make
        self._literal: dict[str, V] = {}
        self._globs: dict[tuple[bool, int], dict[str, dict[str, tuple[Pattern, V]]]] = {}

    def slot(self, text: str) -> V:
        """Returns the value of a pattern, a new one if there is none."""
        pattern = Pattern(text, self._separator)
        if pattern.literal:
            if text not in self._literal:
                self._literal[text] = self._make()
            return self._literal[text]
        kind, affix = _place(pattern)
        found = self._globs.setdefault(kind, {}).setdefault(affix, {})
        if text not in found:
            found[text] = (pattern, self._make())
        return found[text][1]

    def discard(self, text: str) -> None:
        """Forgets a pattern."""
        if self._literal.pop(text, None) is not None:
            return
        kind, affix = _place(Pattern(text, self._separator))
        patterns = self._globs.get(kind, {}).get(affix, {})
        patterns.pop(text, None)
        if not patterns and kind in self._globs:
            self._globs[kind].pop(affix, None)
            if not self._globs[kind]:
                del self._globs[kind]

    def find(self, text: str) -> Iterator[tuple[str, V]]:
        """Yields every pattern that matches a text, with its value."""
        if text in self._literal:
            yield text, self._literal[text]
        for (at_end, length), by_affix in self._globs.items():
            if length > len(text):
                continue
            affix = text[len(text) - length :] if at_end else text[:length]
            for pattern, value in by_affix.get(affix, {}).values():
                if pattern.matches(text):
                    yield pattern.text, value


def _place(pattern: Pattern) -> tuple[tuple[bool, int], str]:
    """Returns where a glob is kept: under its beginning, or under its end where that is longer."""
    at_end = len(pattern.suffix) > len(pattern.prefix)
    affix = pattern.suffix if at_end else pattern.prefix
    return (at_end, len(affix)), affix
