"""Paths to values of a declaration, such as ``properties.engine`` or ``properties.hosts[*].address``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

EACH = "[*]"
"""Stands for every item of a list."""

ANY = "*"
"""Stands for every key of an object; a path that somebody writes cannot hold it."""

WRITABLE = ("type_version", "display_name", "properties", "tags", "location", "references", "expire_time", "lock")
"""The fields of a resource that a caller can write."""

_PATH = re.compile(r"[^.\[\]]+(\[\*\])*(\.[^.\[\]]+(\[\*\])*)*")


class PathInvalid(Exception):
    """A path that leads nowhere; the text says why."""


def parse(text: str, allowed: Sequence[str] = WRITABLE) -> tuple[str, ...]:
    """Returns the steps of a path: keys and :data:`EACH`.

    Raises:
        PathInvalid: If it is malformed, or its first step is not allowed.
    """
    if not _PATH.fullmatch(text):
        raise PathInvalid("is not a path such as properties.hosts[*].address")
    steps: list[str] = []
    for part in text.split("."):
        name, *each = part.split("[")
        steps += [name, *(EACH for _ in each)]
    if steps[0] not in allowed:
        raise PathInvalid(f"must begin with one of {', '.join(allowed)}")
    return tuple(steps)


def values(data: Any, steps: Sequence[str]) -> list[Any]:
    """Returns all values that a path leads to, in order; none where it leads nowhere."""
    found = [data]
    for step in steps:
        if step == EACH:
            found = [item for value in found if isinstance(value, list) for item in value]
        elif step == ANY:
            found = [item for value in found if isinstance(value, Mapping) for item in value.values()]
        else:
            found = [value[step] for value in found if isinstance(value, Mapping) and step in value]
    return found


def change(data: Any, steps: Sequence[str], fn: Callable[[str], str]) -> Any:
    """Returns data in which every string that a path leads to is replaced; the argument stays as it is."""
    if not steps:
        return fn(data) if isinstance(data, str) else data
    step, rest = steps[0], steps[1:]
    if step == EACH:
        return [change(item, rest, fn) for item in data] if isinstance(data, list) else data
    if isinstance(data, Mapping) and step in data:
        return {**data, step: change(data[step], rest, fn)}
    return data
