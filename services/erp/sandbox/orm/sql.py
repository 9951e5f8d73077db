"""Pieces of SQL with their parameters, and the functions that SQLite lacks for comparing as PostgreSQL does."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from sqlite3 import Connection
from typing import Any

from services.erp.sandbox.orm.periods import bucket


@dataclass(frozen=True, slots=True)
class Sql:
    """A piece of SQL and the values of its question marks."""

    text: str
    params: tuple[Any, ...] = ()


TRUE = Sql("1")
FALSE = Sql("0")


def joined(separator: str, parts: Iterable[Sql]) -> Sql:
    """Join pieces, each in parentheses."""
    pieces = list(parts)
    text = separator.join(f"({piece.text})" for piece in pieces)
    return Sql(text, tuple(param for piece in pieces for param in piece.params))


def one_of(values: Iterable[Any]) -> Sql:
    """Return `(SELECT …)` that yields the values, whatever their number."""
    return Sql("(SELECT value FROM json_each(?))", (json.dumps(list(values)),))


@lru_cache(maxsize=512)
def _pattern(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    parts, escaped = [], False
    for char in pattern:
        if escaped:
            parts.append(re.escape(char))
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            parts.append({"%": ".*", "_": "."}.get(char) or re.escape(char))
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _as_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def like(value: Any, pattern: str, ignore_case: int) -> int | None:
    """Tell whether a value matches a pattern with `%`, `_` and backslash; None for an empty value, as in SQL."""
    if value is None:
        return None
    return int(_pattern(pattern, bool(ignore_case)).fullmatch(_as_text(value)) is not None)


def add_functions(connection: Connection) -> None:
    """Make the functions known to a connection."""
    connection.create_function("matches", 3, like, deterministic=True)
    connection.create_function("bucket", 3, bucket, deterministic=True)
