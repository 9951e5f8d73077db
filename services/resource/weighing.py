"""How much one check against a schema can be: the subschemas that may apply to one value, times the values.

A value in a list or object is judged by all that its parent's subschemas say of it; where a schema leads back to itself
more than once, these double with every level. So the weight is worked out level by level, when a type is registered,
and values are counted level by level before they are checked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sutler.validation import MAX_OPEN_DEPTH

from services.resource.resource_type import Json
from services.resource.walking import children, resolve, subschemas

MAX_STATE = 4096
"""How many subschemas of its own a value may have from above; where there can be more, no value may be."""

UNBOUNDED = 1 << 40

MAX_LOOKS = 500_000
"""How many subschemas are looked at to find the weights."""

TEXT = 16
"""How many characters count as one value more."""

_SAME_VALUE = frozenset(("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"))
_BY_NAME = frozenset(("properties", "prefixItems"))
_ANY_CHILD = frozenset(
    ("patternProperties", "items", "additionalProperties", "contains", "propertyNames", "unevaluatedItems")
) | {"unevaluatedProperties"}

State = tuple[int, ...]


class TooHeavy(Exception):
    """A schema of which the weights cannot be worked out."""


def weights(root: Json) -> list[int]:
    """Returns how many subschemas can apply to one value, for each level of values.

    Raises:
        TooHeavy: If that would take too long.
    """
    return _Weighing(root).levels()


def counts(value: Any) -> list[int]:
    """Returns how many values there are on each level; long texts count as several."""
    found: list[int] = []
    level = [value]
    while level:
        below: list[Any] = []
        size = len(level)
        for item in level:
            if isinstance(item, str):
                size += len(item) // TEXT
            elif isinstance(item, Mapping):
                below += item.values()
                size += sum(map(len, item)) // TEXT
            elif isinstance(item, list):
                below += item
        found.append(size)
        level = below
    return found


def steps(weights: Sequence[int], counts: Sequence[int]) -> int:
    """Returns how many steps a check takes at the most."""
    return sum(_at(weights, level) * count for level, count in enumerate(counts))


def copied(weights: Sequence[int], counts: Sequence[int]) -> int:
    """Returns how many values the errors of a check copy at the most: each has that which is wrong, and all in it."""
    return sum(_at(weights, level) * sum(counts[level:]) for level in range(len(counts)))


def _at(weights: Sequence[int], level: int) -> int:
    return weights[min(level, len(weights) - 1)]


class _Weighing:
    def __init__(self, root: Json) -> None:
        self._root = root
        self._schemas: dict[int, Json] = {}
        self._anchors: dict[str, list[Json]] = defaultdict(list)
        for _, found in subschemas(root):
            self._schemas[id(found)] = found
            for keyword in ("$anchor", "$dynamicAnchor"):
                if keyword in found:
                    self._anchors[f"#{found[keyword]}"].append(found)
        self._known: dict[State, tuple[int, set[State]]] = {}
        self._looked = 0

    def levels(self) -> list[int]:
        found: list[int] = []
        states: set[State] = {(id(self._root),)}
        while states and len(found) <= MAX_OPEN_DEPTH:
            if any(len(state) > MAX_STATE for state in states):
                return [*found, UNBOUNDED]
            weighed = [self._weigh(state) for state in states]
            found.append(max(weight for weight, _ in weighed))
            states = set().union(*(below for _, below in weighed))
        return found if states else [*found, 1]

    def _weigh(self, state: State) -> tuple[int, set[State]]:
        """Returns what subschemas that apply to one value weigh together, and what can apply to a value in it."""
        if state not in self._known:
            weight, named, others = 0, defaultdict[str, list[int]](list), list[int]()
            for schema in self._applied(state):
                weight += _own(schema)
                for keyword, part, child in children(schema):
                    if not isinstance(child, dict | Mapping):
                        continue
                    if keyword in _BY_NAME:
                        named[part].append(id(child))
                    elif keyword in _ANY_CHILD:
                        others.append(id(child))
            below = {tuple(sorted(some + others)) for some in named.values()}
            self._count(sum(map(len, below)))
            self._known[state] = weight, below | ({tuple(sorted(others))} if others else set())
        return self._known[state]

    def _applied(self, state: State) -> Iterator[Json]:
        """Yields subschemas and all that they apply to the same value; a circle ends where it closes."""
        todo = [(self._schemas[found], frozenset[int]()) for found in state]
        while todo:
            schema, above = todo.pop()
            if not isinstance(schema, dict | Mapping) or id(schema) in above:
                continue
            self._count(1)
            yield schema
            above |= {id(schema)}
            todo += [(target, above) for target in self._targets(schema)]
            todo += [(child.schema, above) for child in children(schema) if child.keyword in _SAME_VALUE]

    def _targets(self, schema: Json) -> Iterator[Any]:
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in schema:
                found = resolve(self._root, schema[keyword])
                yield from self._anchors[schema[keyword]] if found is None else [found]

    def _count(self, looked: int) -> None:
        self._looked += looked
        if self._looked > MAX_LOOKS:
            raise TooHeavy


def _own(schema: Json) -> int:
    """Returns what a subschema weighs by itself; plain values of an enum are looked up at once, others one by one."""
    names, values = schema.get("required"), schema.get("enum")
    listed = len(names) if isinstance(names, list) else 0
    if isinstance(values, list) and any(isinstance(value, list | Mapping) for value in values):
        listed += len(values)
    return 1 + listed
