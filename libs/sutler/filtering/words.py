"""The words of a filter: field paths and values, their quotes, escapes and stars."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sutler.errors import Invalid
from sutler.filtering.problems import problem

MAX_SEGMENTS = 32
"""The longest field path."""

QUOTED = r""""(?:\\[\s\S]|[^"\\])*"|'(?:\\[\s\S]|[^'\\])*'"""
_SEGMENT = rf"\w[\w-]*|{QUOTED}"
PATH = rf"(?!(?:AND|OR|NOT)(?![\w.-]))(?:[^\W\d][\w-]*|{QUOTED})(?:\.(?:{_SEGMENT}))*"


@dataclass(frozen=True, slots=True)
class Word:
    """The value in a restriction, as written.

    Attributes:
        position: Where it begins, from 0.
        text: Without quotes and escapes, stars included.
        quoted: Whether it was in quotes.
        leading: Whether its first character is a star that stands for any text.
        trailing: Whether its last character is another such star.
    """

    position: int
    text: str
    quoted: bool
    leading: bool
    trailing: bool


def split_path(text: str) -> tuple[str, ...] | None:
    """Returns the segments of a field path such as ``tags."a.b"``; None if it is not one."""
    try:
        return read_path(text, 0) if re.fullmatch(PATH, text) else None
    except Invalid:
        return None


def read_path(text: str, position: int) -> tuple[str, ...]:
    """Returns the segments of a path that fits :data:`PATH` and begins at a position of the filter.

    Raises:
        Invalid: If it has too many, or a wrong escape.
    """
    segments = tuple(_segments(text, position))
    if len(segments) > MAX_SEGMENTS:
        raise problem(position, f"a path has at most {MAX_SEGMENTS} segments", limit=str(MAX_SEGMENTS))
    return segments


def read_word(text: str, position: int, *, quoted: bool) -> Word:
    """Returns a value that begins at a position of the filter.

    Raises:
        Invalid: If it has a wrong escape.
    """
    plain, escaped = _unquote(text, position) if quoted else (text, [False] * len(text))
    stars = [char == "*" and not escape for char, escape in zip(plain, escaped, strict=True)]
    return Word(position, plain, quoted, bool(stars) and stars[0], len(stars) > 1 and stars[-1])


def _segments(path: str, position: int) -> Iterator[str]:
    for match in re.finditer(_SEGMENT, path):
        segment = match[0]
        yield _unquote(segment, position + match.start())[0] if segment[0] in "\"'" else segment


def _unquote(quoted: str, position: int) -> tuple[str, list[bool]]:
    """Returns the characters between quotes, and for each whether it was escaped."""
    characters: list[str] = []
    escaped: list[bool] = []
    rest = iter(range(1, len(quoted) - 1))
    for index in rest:
        escape = quoted[index] == "\\"
        if escape:
            index = next(rest)
            if quoted[index] not in "\"'\\*":
                raise problem(position + index - 1, "a backslash stands only before one of \" ' \\ *")
        characters.append(quoted[index])
        escaped.append(escape)
    return "".join(characters), escaped
