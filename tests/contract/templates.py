"""Path templates of google.api.http: parsing, and whether two can match the same path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

ONE, MANY = "*", "**"
VARIABLE = re.compile(r"\{([^{}=]+)(?:=([^{}]*))?\}")


@dataclass(frozen=True)
class Variable:
    """A variable of a template: the path of the field and the template of its value (`*` if not written)."""

    field: str
    template: str


@dataclass(frozen=True)
class Template:
    """A template without its variables: literals, `*` (one segment), `**` (any number), and the `:verb`."""

    segments: tuple[str, ...]
    verb: str


def variables(path: str) -> Iterator[Variable]:
    """Yields the variables of a template."""
    for field, template in VARIABLE.findall(path):
        yield Variable(field, template or ONE)


@cache
def flatten(path: str) -> Template:
    """Replaces each variable by the template of its value: `/v1/{name=a/*}:go` → v1, a, * and verb go."""
    plain = VARIABLE.sub(lambda match: match[2] or ONE, path)
    head, _, last = plain.rpartition("/")
    tail, _, verb = last.partition(":")
    return Template(tuple(f"{head}/{tail}".strip("/").split("/")), verb)


def overlap(one: str, other: str) -> bool:
    """Tells whether some path matches both templates.

    `**` counts as one segment or more: for none, which would be an empty name, Envoy 1.40 takes the template that
    spells the path out (`/v1/subjects`, not `/v1/{name=subjects/**}`).
    """
    first, second = flatten(one), flatten(other)
    return first.verb == second.verb and meet(first.segments, second.segments)


@cache
def meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Tells whether some list of segments matches both patterns."""
    if not one or not other:
        return one == other
    if MANY in (one[0], other[0]):
        # `**` takes the other's first segment, and with it more or nothing else; so may the other's `**`.
        rests = ((one[1:], other[1:]), (one, other[1:]), (one[1:], other))
        return any(
            meet(*rest)
            for rest, allowed in zip(rests, (True, one[0] == MANY, other[0] == MANY), strict=True)
            if allowed
        )
    return (one[0] == other[0] or ONE in (one[0], other[0])) and meet(one[1:], other[1:])
