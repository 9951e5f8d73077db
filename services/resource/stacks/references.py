"""References in the strings of a stack, such as ``${members.net.outputs.cidr}``; ``$${`` stands for ``${``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sutler.errors import Invalid, invalid

from services.resource.telling import together

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


def marks(value: Any, field: str) -> Iterator[tuple[str, str | None]]:
    """Yields what stands between the braces of each reference in the strings of a value; None if they do not close.

    Args:
        value: JSON data, or a list of texts.
        field: Where it stands in the request; each comes with the path of its own field.
    """
    for where, text in _texts(value, field):
        for mark in _MARK.finditer(text):
            if not mark["escaped"]:
                yield where, mark["path"]


def parsed(text: str | None, field: str) -> Reference:
    """Returns the reference that stands in a field.

    Raises:
        Invalid: If it is malformed (FIELD_INVALID), or of no known form (REFERENCE_UNRESOLVED).
    """
    if text is None:
        raise invalid(field, "has ${ without a } that closes it; write $${ for the two characters themselves")
    root, *rest = text.split(".")
    if root == "parameters" and all(rest):
        return Reference(text, "", "parameters", tuple(rest))
    if root == "members" and len(rest) > 1 and all(rest) and _MEMBER.fullmatch(rest[0]):
        member, what, *path = rest
        if what == "outputs" or (what == "name" and not path):
            return Reference(text, member, what, tuple(path))
    raise leads_nowhere(field, text, "write members.ID.name, members.ID.outputs.KEY or parameters.KEY")


def references(value: Any, field: str) -> Iterator[tuple[str, Reference]]:
    """Yields the references in the strings of a value as :func:`marks` does; raises as :func:`parsed` does."""
    for where, text in marks(value, field):
        yield where, parsed(text, where)


class Resolution:
    """Replaces the references in the values of one thing, and takes note of what is wrong with them.

    Args:
        lookup: Finds what references lead to.

    Attributes:
        complete: Whether all references so far lead to what is known.
    """

    def __init__(self, lookup: Lookup) -> None:
        self.complete = True
        self._lookup = lookup
        self._wrong: list[Invalid] = []

    def data(self, value: Any, field: str) -> Any:
        """Returns JSON data with their references replaced; what is not known yet stays a reference.

        A string that is one reference and nothing else takes the type of what it leads to.
        """
        if isinstance(value, str):
            whole = _MARK.fullmatch(value)
            return self._found(whole, field) if whole and whole["path"] is not None else self.text(value, field)
        if isinstance(value, Mapping):
            return {name: self.data(item, f"{field}.{name}") for name, item in value.items()}
        if isinstance(value, list):
            return [self.data(item, f"{field}[{index}]") for index, item in enumerate(value)]
        return value

    def text(self, text: str, field: str) -> str:
        """Returns a text with its references replaced; what they lead to becomes text."""
        return _MARK.sub(lambda mark: "${" if mark["escaped"] else self._as_text(mark, field), text)

    def end(self) -> None:
        """Says what was wrong.

        Raises:
            Invalid: If a reference leads nowhere (REFERENCE_UNRESOLVED), or to what cannot stand in a text.
        """
        if self._wrong:
            raise together(sorted(self._wrong, key=lambda error: error.metadata["field"]))

    def _found(self, mark: re.Match[str], field: str) -> Any:
        """Returns what a reference leads to; the reference itself if that is not known."""
        try:
            return self._lookup(parsed(mark["path"], field))
        except NotYet:
            self.complete = False
        except Missing as missing:
            self._wrong.append(leads_nowhere(field, mark["path"], str(missing)))
        return mark[0]

    def _as_text(self, mark: re.Match[str], field: str) -> str:
        value = self._found(mark, field)
        if isinstance(value, str):
            return value
        if not isinstance(value, bool | int | float):
            why = f"{mark[0]} is no text, number or boolean, so it cannot stand within a text"
            self._wrong.append(invalid(field, why))
        return orjson.dumps(value).decode()


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


def leads_nowhere(field: str, target: str, why: str) -> Invalid:
    """Returns the error for a reference that leads nowhere; the target is what stands between its braces."""
    return unresolved(field, target, f"${{{target}}} leads nowhere: {why}")


def unresolved(field: str, target: str, description: str) -> Invalid:
    """Returns the error for a field that names something that does not exist."""
    return invalid(field, description, reason="REFERENCE_UNRESOLVED", metadata={"target": target})


def _texts(value: Any, field: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, f"{field}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts(item, f"{field}[{index}]")
