"""References in the strings of a stack, such as ``${members.net.outputs.cidr}``; ``$${`` stands for ``${``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sutler.errors import Invalid, Violation, invalid

_MARK = re.compile(r"(?P<escaped>\$\$\{)|\$\{(?P<path>[^{}$]*)\}|(?P<open>\$\{)")
MAX_DIGITS = 8
"""How long the number of a list item may be."""

_MEMBER = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference.

    Attributes:
        text: What stands between the braces.
        member: The id of a member; empty for a parameter.
        what: ``name``, ``outputs`` or ``parameters``.
        path: The keys that lead on from there.
    """

    text: str
    member: str
    what: str
    path: tuple[str, ...] = ()


class Missing(Exception):
    """A reference leads nowhere; the text says why."""


class NotYet(Exception):
    """What a reference leads to is known only later."""


Lookup = Callable[[Reference], Any]
"""Returns what a reference leads to. Raises Missing or NotYet."""


def references(value: Any, field: str) -> Iterator[tuple[str, Reference]]:
    """Yields the references in the strings of a value, each with the path of its field.

    Args:
        value: JSON data, or a list of texts.
        field: Where it stands in the request.

    Raises:
        Invalid: If a reference is malformed (FIELD_INVALID), or of no known form (REFERENCE_UNRESOLVED).
    """
    for where, text in _texts(value, field):
        for mark in _MARK.finditer(text):
            if mark["open"]:
                raise invalid(where, "has ${ without a } that closes it; write $${ for the two characters themselves")
            if not mark["escaped"]:
                yield where, _parsed(mark["path"], where)


def resolved(value: Any, field: str, lookup: Lookup) -> tuple[Any, bool]:
    """Returns JSON data with its references replaced, and whether that could be done with all of them.

    A string that is one reference and nothing else takes the type of what it leads to.

    Raises:
        Invalid: If a reference leads nowhere (REFERENCE_UNRESOLVED), or to what cannot stand in a text.
    """
    if isinstance(value, str):
        return _resolved_text(value, field, lookup, typed=True)
    if isinstance(value, Mapping):
        items = {name: resolved(item, f"{field}.{name}", lookup) for name, item in value.items()}
        return {name: item for name, (item, _) in items.items()}, all(done for _, done in items.values())
    if isinstance(value, list):
        found = [resolved(item, f"{field}[{index}]", lookup) for index, item in enumerate(value)]
        return [item for item, _ in found], all(done for _, done in found)
    return value, True


def resolved_text(text: str, field: str, lookup: Lookup) -> tuple[str, bool]:
    """Returns a text with its references replaced, as :func:`resolved` does; what they lead to becomes text."""
    return _resolved_text(text, field, lookup, typed=False)


def follow(value: Any, path: tuple[str, ...], what: str) -> Any:
    """Returns what a path leads to in JSON data; a number leads to an item of a list.

    Raises:
        Missing: If it leads nowhere.
    """
    for step in path:
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and len(step) < MAX_DIGITS and int(step) < len(value):
            value = value[int(step)]
        else:
            raise Missing(f"{what} has no {'.'.join(path)}")
    return value


def unresolved(field: str, target: str, why: str) -> Invalid:
    """Returns the error for a reference that leads nowhere."""
    description = f"${{{target}}} leads nowhere: {why}"
    return Invalid(
        f"{field}: {description}",
        reason="REFERENCE_UNRESOLVED",
        metadata={"field": field, "target": target},
        violations=[Violation(field, description, "REFERENCE_UNRESOLVED")],
    )


def _texts(value: Any, field: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, f"{field}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts(item, f"{field}[{index}]")


def _parsed(text: str, field: str) -> Reference:
    root, *rest = text.split(".")
    if root == "parameters" and all(rest):
        return Reference(text, "", "parameters", tuple(rest))
    if root == "members" and len(rest) > 1 and all(rest) and _MEMBER.fullmatch(rest[0]):
        member, what, *path = rest
        if what == "outputs" or (what == "name" and not path):
            return Reference(text, member, what, tuple(path))
    raise unresolved(field, text, "write members.ID.name, members.ID.outputs.KEY or parameters.KEY")


def _resolved_text(text: str, field: str, lookup: Lookup, *, typed: bool) -> tuple[Any, bool]:
    whole = _MARK.fullmatch(text)
    if typed and whole and whole["path"] is not None:
        try:
            return _found(whole["path"], field, lookup), True
        except NotYet:
            return text, False
    complete = True

    def replace(mark: re.Match[str]) -> str:
        nonlocal complete
        if mark["escaped"]:
            return "${"
        try:
            return _as_text(_found(mark["path"], field, lookup), mark["path"], field)
        except NotYet:
            complete = False
            return mark[0]

    return _MARK.sub(replace, text), complete


def _found(path: str, field: str, lookup: Lookup) -> Any:
    try:
        return lookup(_parsed(path, field))
    except Missing as missing:
        raise unresolved(field, path, str(missing)) from missing


def _as_text(value: Any, path: str, field: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return orjson.dumps(value).decode()
    raise invalid(field, f"${{{path}}} is no text, number or boolean, so it cannot stand within a text")
