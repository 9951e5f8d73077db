"""Shapes of JSON answers: which keys, which types; compared between a recording and the sandbox's answer.

A missing value is `false` for every type, so `false` may be absent where the recording has it, but not the other way
round. A date-time, a date and another text are different types, and so are `1` and `1.0`.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

MOMENT = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(slots=True)
class Shape:
    """What was seen at one place: scalar types, elements of lists, keys of objects."""

    types: set[str] = field(default_factory=set)
    elements: "Shape | None" = None
    keys: dict[str, "Shape"] = field(default_factory=dict)
    always: set[str] | None = None

    def add(self, value: Any) -> "Shape":
        match value:
            case list() if _is_pair(value):
                self.types.add("[id, name]")
            case list():
                self.types.add("list")
                self.elements = self.elements or Shape()
                for item in value:
                    self.elements.add(item)
            case dict():
                self.types.add("object")
                self.always = set(value) if self.always is None else self.always & value.keys()
                for key, inner in value.items():
                    self.keys.setdefault(key, Shape()).add(inner)
            case _:
                self.types.add(_scalar(value))
        return self


def differences(recorded: Shape, answered: Shape, fewer_keys_at: Collection[str], place: str = "$") -> Iterator[str]:
    """Yield what differs, each with its place; at the places of `fewer_keys_at` keys of the recording may be absent."""
    expected, found = recorded.types - {"false"}, answered.types - {"false"}
    if "true" in expected:
        expected, found = expected - {"true"}, found - {"true"}
    may_be_false = {"false", "true"} & recorded.types
    if expected != found or ("false" in answered.types and not may_be_false):
        yield f"{place}: {sorted(recorded.types)} recorded, {sorted(answered.types)} answered"
        return
    if recorded.elements is not None and answered.elements is not None:
        yield from differences(recorded.elements, answered.elements, fewer_keys_at, f"{place}[]")
    unknown = answered.keys.keys() - recorded.keys.keys()
    missing = (recorded.always or set()) - (answered.always or set())
    if unknown or (missing and place not in fewer_keys_at):
        yield f"{place}: keys {sorted(unknown)} not recorded, {sorted(missing)} not answered"
    for key in sorted(recorded.keys.keys() & answered.keys.keys()):
        yield from differences(recorded.keys[key], answered.keys[key], fewer_keys_at, f"{place}.{key}")


def unequal(recorded: Any, answered: Any, keys: Collection[str], place: str = "$") -> Iterator[str]:
    """Yield the places where both have one of `keys` with different values."""
    if isinstance(recorded, dict) and isinstance(answered, dict):
        for key in recorded.keys() & answered.keys():
            if key in keys and not isinstance(recorded[key], dict) and recorded[key] != answered[key]:
                yield f"{place}.{key}: {recorded[key]!r} recorded, {answered[key]!r} answered"
            else:
                yield from unequal(recorded[key], answered[key], keys, f"{place}.{key}")


def _is_pair(value: list[Any]) -> bool:
    return len(value) == 2 and type(value[0]) is int and type(value[1]) is str


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return "moment" if MOMENT.fullmatch(value) else "day" if DAY.fullmatch(value) else "text"
    return type(value).__name__
