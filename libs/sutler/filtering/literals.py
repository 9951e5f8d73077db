"""Turns the words of a filter into values of a field's kind, as they are stored."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction

from sutler.errors import Invalid
from sutler.filtering.nodes import Value
from sutler.filtering.problems import problem, shown
from sutler.filtering.schema import Field, Kind, Type
from sutler.filtering.words import Word

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DURATION = re.compile(r"([+-]?[0-9]{1,12}(\.[0-9]{1,9})?)s")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-]\d\d:\d\d))", re.ASCII)


def typed(field: Field, word: Word) -> Value:
    """Returns a word as a value of a field that has a type.

    Raises:
        Invalid: If it is none (FILTER_INVALID, with the position).
    """
    if field.kind is Kind.ENUM:
        name = field.named(word.text)
        if name is None:
            raise _wrong(word, f"one of {', '.join(field.values)}")
        return field.values[name]
    parse, expected = _PARSERS[field.kind]
    try:
        return parse(word.text)
    except ValueError:
        raise _wrong(word, expected) from None


def open_value(word: Word) -> tuple[Value, Type]:
    """Returns a word as a JSON value: text if quoted, else a number, true or false if it is one, else text.

    Raises:
        Invalid: If it is an unquoted ``null`` or a number that is no finite double.
    """
    if word.quoted:
        return word.text, Type.TEXT
    if word.text in ("true", "false"):
        return word.text == "true", Type.BOOL
    if word.text == "null":
        raise problem(word.position, "null is the same as absent: test it with NOT field:*")
    if not _NUMBER.fullmatch(word.text):
        return word.text, Type.TEXT
    try:
        return _double(word.text), Type.NUMBER
    except ValueError:
        raise _wrong(word, _PARSERS[Kind.DOUBLE][1]) from None


def _wrong(word: Word, expected: str) -> Invalid:
    value = shown(word.text)
    return problem(word.position, f"{value!r} is not {expected}", value=value, expected=expected)


def _int(text: str) -> int:
    # The length first: int() of thousands of digits is refused by Python with another error.
    if not _INT.fullmatch(text) or len(text.lstrip("+-0")) > 19:
        raise ValueError(text)
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError(text)
    return number


def _double(text: str) -> float:
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _bool(text: str) -> bool:
    return ("false", "true").index(text) == 1


def _time(text: str) -> float:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    date, clock, fraction, offset = match.groups()
    whole = (datetime.fromisoformat(f"{date}T{clock}{offset or '+00:00'}") - _EPOCH).total_seconds()
    return float(Fraction(int(whole)) + Fraction(f"0.{fraction or 0}"))


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return float(Fraction(match[1]))


_PARSERS: dict[Kind, tuple[Callable[[str], Value], str]] = {
    Kind.STRING: (str, "a string"),
    Kind.INT: (_int, "a whole number of 64 bits"),
    Kind.DOUBLE: (_double, "a finite number"),
    Kind.BOOL: (_bool, "true or false"),
    Kind.TIME: (_time, "a time such as 2026-01-31T12:00:00Z"),
    Kind.DURATION: (_duration, "a duration such as 90s or 1.5s"),
}
