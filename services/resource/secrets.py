"""Secrets: what a schema marks as ``writeOnly``. Handlers get them; nobody else sees them again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.resource.paths import ANY, EACH

Path = tuple[str, ...]
"""Keys, :data:`~services.resource.paths.EACH` for items, and :data:`ANY` for keys that have no schema of their own."""


def without(values: Any, paths: Sequence[Path]) -> Any:
    """Returns values without what stands at the paths; the argument stays as it is."""
    if not paths:
        return values
    if isinstance(values, Mapping):
        return {key: without(value, below) for key, value, below in _entries(values, paths) if () not in below}
    if isinstance(values, list):
        below = [path[1:] for path in paths if path[0] == EACH]
        return [without(item, below) for item in values]
    return values


def touches(path: Sequence[str], paths: Sequence[Path]) -> bool:
    """Returns whether what stands at a path is, holds or belongs to a secret; list items may have their number."""
    return any(all(_meets(step, at) for step, at in zip(path, secret, strict=False)) for secret in paths)


def _meets(step: str, at: str) -> bool:
    return at == ANY or step == at or (at == EACH and step.isdigit())


def _entries(values: Mapping[str, Any], paths: Sequence[Path]) -> Iterator[tuple[str, Any, list[Path]]]:
    for key, value in values.items():
        yield key, value, [path[1:] for path in paths if path[0] in (key, ANY)]
