"""Pieces of SQL that keep their parameters with them, in the order of their placeholders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Dialect: TypeAlias = Literal["sqlite", "postgresql"]
Param: TypeAlias = str | int | float | bytes | None


@dataclass(frozen=True, slots=True)
class Sql:
    """A piece of SQL.

    Attributes:
        text: With ``?`` for each parameter.
        params: The parameters.
    """

    text: str
    params: tuple[Param, ...] = ()


Test: TypeAlias = Callable[[Sql], Sql]
"""Makes a condition of a value; the condition may be NULL where the value is."""

TRUE = Sql("TRUE")
FALSE = Sql("FALSE")


def sql(template: str, *parts: Sql | str) -> Sql:
    """Returns a template whose ``{}`` are filled with pieces; a plain str must be ours, never a caller's."""
    pieces = [Sql(part) if isinstance(part, str) else part for part in parts]
    text = template.format(*(piece.text for piece in pieces))
    return Sql(text, tuple(param for piece in pieces for param in piece.params))


def join(word: str, parts: Iterable[Sql]) -> Sql:
    """Returns pieces joined by a word, in parentheses where there are several."""
    pieces = list(parts)
    text = f" {word} ".join(piece.text for piece in pieces)
    return Sql(
        f"({text})" if len(pieces) > 1 else text,
        tuple(param for piece in pieces for param in piece.params),
    )


def param(value: Param) -> Sql:
    """Returns a parameter; SQL has no bool here: 1 or 0 stands for it."""
    return Sql("?", (int(value) if isinstance(value, bool) else value,))
