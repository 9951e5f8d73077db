"""Finds the values that an expression looks at, so that people can see why it gave what it gave."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from services.rule.values import ABSENT, plain, size

MAX_INPUT_BYTES = 4096
"""The largest value, and the largest sum of values, that is kept of one expression."""

_TOKENS = re.compile(
    r"""(?P<text>[rRbB]{0,2}("{3}.*?"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))"""
    r"""|(?P<path>(?<![\w.])[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*|\s*\[\s*(?:"[^"\\]*"|'[^'\\]*'|\d+)\s*\])*)(?P<call>\s*\()?""",
    re.DOTALL,
)
_STEPS = re.compile(r"""\.\s*([A-Za-z_]\w*)|\[\s*(?:"([^"\\]*)"|'([^'\\]*)'|(\d+))\s*\]""")


Path = tuple[str | int, ...]


def paths(expression: str) -> tuple[Path, ...]:
    """Returns the paths that a CEL text names: those below its variables, and more where it declares its own."""
    found: dict[Path, None] = {}
    for token in _TOKENS.finditer(expression):
        if token["path"] is None:
            continue
        head = re.match(r"\w+", token["path"])
        assert head is not None
        steps: list[str | int] = [head[0]]
        for step in _STEPS.finditer(token["path"]):
            steps.append(int(step[4]) if step[4] is not None else next(s for s in step.groups()[:3] if s is not None))
        if token["call"] is not None:
            steps.pop()  # the name of a function or method
        if steps:
            found[tuple(steps)] = None
    return tuple(found)


def inputs(found: Iterable[Path], variables: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values at paths, by path; what is missing or too large is left out.

    Args:
        found: What :func:`paths` gave.
        variables: The values of the variables.
    """
    values: dict[str, Any] = {}
    left = MAX_INPUT_BYTES
    for path in found:
        value = _look_up(variables, path)
        if value is ABSENT or (length := size(value := plain(value))) > left:
            continue
        left -= length
        values[".".join(map(str, path))] = value
    return values


def _look_up(variables: Mapping[str, Any], path: Path) -> Any:
    value: Any = variables
    for step in path:
        value = _child(value, step)
        if value is ABSENT:
            break
    return value


def _child(value: Any, step: str | int) -> Any:
    if isinstance(value, Mapping):
        return value.get(step, ABSENT)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return ABSENT
