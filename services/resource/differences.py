"""What differs between two declarations, field by field, without what the server sets itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import orjson

from services.resource import paths
from services.resource.documents import declared_document, rfc3339
from services.resource.resource import Declared

MAX_CHANGES = 1000


class Absent:
    """Stands for a value that is not there, which null is not."""


ABSENT = Absent()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs.

    Attributes:
        field: Its path, such as ``properties.size``.
        before: The value before; :data:`ABSENT` if there was none.
        after: The value after; :data:`ABSENT` if there is none.
    """

    field: str
    before: Any
    after: Any


def differences(before: Declared | None, after: Declared) -> list[FieldChange]:
    """Returns what differs, in the order of paths, at most 1000; all that is set if there is no before.

    Of secrets only the path is told, at the end.
    """
    old = {} if before is None else _shown(before.public)
    return list(islice(chain(_compare("", old, _shown(after.public)), _secrets(before, after)), MAX_CHANGES))


def same(before: Declared, after: Declared) -> bool:
    """Returns whether two declarations wish the same."""
    return _same(declared_document(before), declared_document(after))


def _secrets(before: Declared | None, after: Declared) -> Iterator[FieldChange]:
    old = {} if before is None else before.properties
    for path in after.secrets:
        if not _same(paths.values(old, path), paths.values(after.properties, path)):
            yield FieldChange(".".join(("properties", *path)), ABSENT, ABSENT)


def _shown(declared: Declared) -> dict[str, Any]:
    shown = {name: value for name, value in declared_document(declared).items() if value not in ("", {})}
    if "expire_time" in shown:
        shown["expire_time"] = rfc3339(shown["expire_time"])
    return shown


def _compare(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    if isinstance(before, Absent) and isinstance(after, Mapping) and after:
        before = {}
    if isinstance(after, Absent) and isinstance(before, Mapping) and before:
        after = {}
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            at = f"{path}.{name}" if path else name
            yield from _compare(at, before.get(name, ABSENT), after.get(name, ABSENT))
    elif not _same(before, after):
        yield FieldChange(path, before, after)


def _same(before: Any, after: Any) -> bool:
    """Returns whether two values are the same JSON; to Python, true equals 1."""
    if isinstance(before, Absent) or isinstance(after, Absent):
        return before is after
    return orjson.dumps(before, option=orjson.OPT_SORT_KEYS) == orjson.dumps(after, option=orjson.OPT_SORT_KEYS)
