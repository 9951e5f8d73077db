"""JSON Schemas (2020-12) of types: bounded, and compiled to validators.

Nothing that a schema says can make a check slow: patterns run on a linear engine, nothing is fetched, depth, size and
the work of one check are bounded when the type is registered, and values that would take too many steps are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import orjson
from sutler.errors import Invalid, Violation
from sutler.patterns import pattern_weight
from sutler.validation import MAX_OPEN_BYTES

from services.resource.resource_type import Json
from services.resource.walking import children, resolve, subschemas
from services.resource.weighing import TooHeavy, copied, counts, steps, weights

MAX_DEPTH = 32
"""How deep subschemas may nest."""

MAX_SUBSCHEMAS = 20_000
MAX_PATTERN = 1024
MAX_PATTERNS = 300_000
"""How much all patterns of a schema may weigh; compiled, they take some 20 MiB then."""

HEAVIEST_PATTERN = 15_000
"""What a pattern can weigh at the most: by then it takes :data:`REGEX_BYTES`, or does not compile."""

CLASS = 16
"""How much more a pattern weighs that has a class such as ``\\p{L}``, of many ranges."""

MAX_COST = 200_000
"""How many subschemas one check may run through, with every $ref counted as what it leads to."""

MAX_STEPS = 2_000_000
"""How many subschemas may apply to all values of a check together; each takes up to half a microsecond."""

MAX_TOLD = 50_000
"""How many values may be copied into the errors of a check; where there could be more, the first error is told."""

MOST_VALUES = MAX_OPEN_BYTES // 4
"""How many values open data can hold: the smallest item of a list takes four bytes."""

REGEX_BYTES = 1 << 20
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class SchemaInvalid(Exception):
    """A schema that is none, or too deep, large or costly.

    Args:
        pointer: Where, as a JSON Pointer.
        cause: What is wrong there.
    """

    def __init__(self, pointer: str, cause: str) -> None:
        super().__init__(cause)
        self.pointer = pointer
        self.cause = cause

    def error(self, version: str, field: str) -> Invalid:
        """Returns it as an error of a type's version; ``field`` is where the schema stands in the request."""
        return Invalid(
            f"{field}: {self.cause} (at {self.pointer or 'the top'})",
            reason="SCHEMA_INVALID",
            metadata={"version": version, "pointer": self.pointer, "cause": self.cause},
            violations=[Violation(field, f"{self.pointer}: {self.cause}", "SCHEMA_INVALID")],
        )


class TooCostly(Exception):
    """Values that cannot be checked, or whose errors cannot be told, within bounds; the text says which."""


class Validator:
    """Checks values against a schema.

    Args:
        compiled: The schema, compiled.
        weights: What :func:`~services.resource.weighing.weights` gives for it.
        chooses: Whether it has ``anyOf`` or ``oneOf``, of which an error holds all errors of all choices.
        size: About a seventieth of the bytes that it takes in memory.
    """

    def __init__(
        self, compiled: jsonschema_rs.Draft202012Validator, weights: list[int], *, chooses: bool, size: int
    ) -> None:
        self.size = size
        self._compiled = compiled
        self._weights = weights
        self._chooses = chooses
        self._bounded = weights[0] + max(weights[1:], default=0) * MOST_VALUES <= MAX_STEPS

    def is_valid(self, values: Any) -> bool:
        """Returns whether values fit.

        Raises:
            TooCostly: If that takes too many steps.
        """
        if not self._bounded and (found := steps(self._weights, counts(values))) > MAX_STEPS:
            raise TooCostly(f"could take {found} steps to check against the schema, more than {MAX_STEPS}")
        return self._compiled.is_valid(values)

    def errors(self, values: Any) -> Iterator[jsonschema_rs.ValidationError]:
        """Yields what is wrong with values; the first thing only, where all could be too much.

        Raises:
            TooCostly: As :meth:`is_valid`; and if they do not fit, and it would take too much to say why.
        """
        if self.is_valid(values):
            return
        if copied(self._weights, counts(values)) <= MAX_TOLD:
            yield from self._compiled.iter_errors(values)
        elif self._chooses:
            raise TooCostly("does not fit the schema, and is too large for telling where")
        else:
            try:
                self._compiled.validate(values)
            except jsonschema_rs.ValidationError as error:
                yield error


def compile_schema(schema: Json, *, hides: bool = False) -> Validator:
    """Returns the validator of a schema, whose errors show no values if it hides them.

    Raises:
        SchemaInvalid: If it is none, or breaks a bound.
    """
    patterns = _check_bounds(schema)
    try:
        compiled = compile_unbounded(schema, hides=hides)
    except jsonschema_rs.ValidationError as error:
        raise SchemaInvalid("".join(f"/{part}" for part in error.instance_path), _wrong(error)) from error
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaInvalid("", str(error).splitlines()[0][:300]) from error
    try:
        found = weights(schema)
    except TooHeavy as error:
        raise SchemaInvalid("", "too many subschemas can apply to one value; use fewer nested $ref") from error
    chooses = any("anyOf" in part or "oneOf" in part for _, part in subschemas(schema))
    return Validator(compiled, found, chooses=chooses, size=len(orjson.dumps(schema)) + patterns)


def compile_unbounded(schema: Json, *, hides: bool = False) -> jsonschema_rs.Draft202012Validator:
    """Returns the validator of a schema of which the bounds are known to be kept. Raises what jsonschema_rs does."""
    options = jsonschema_rs.RegexOptions(size_limit=REGEX_BYTES, dfa_size_limit=REGEX_BYTES)
    mask = "the value" if hides else None
    return jsonschema_rs.Draft202012Validator(dict(schema), pattern_options=options, offline=True, mask=mask)


def _wrong(error: jsonschema_rs.ValidationError) -> str:
    """Returns what is wrong with a schema; of types the meta-schema says that they are neither one nor a list."""
    if error.instance_path and error.instance_path[-1] == "type":
        types = "array, boolean, integer, null, number, object, string"
        return f"{str(error.instance)[:100]!r} is not a type; it must be one of {types}, or a list of these"
    return error.message[:300]


def _check_bounds(schema: Json) -> int:
    """Checks a schema before it is compiled; returns what its patterns weigh."""
    declared = schema.get("$schema", DIALECT)
    if not isinstance(declared, str) or declared.rstrip("#") != DIALECT:
        raise SchemaInvalid("/$schema", f"only {DIALECT} is understood")
    if _depth(schema) > MAX_DEPTH:
        raise SchemaInvalid("", f"subschemas nest deeper than {MAX_DEPTH}")
    patterns = 0
    known: set[int] = set()
    for count, (pointer, found) in enumerate(subschemas(schema), start=1):
        if count > MAX_SUBSCHEMAS:
            raise SchemaInvalid(pointer, f"there are more than {MAX_SUBSCHEMAS} subschemas")
        known.add(id(found))
        patterns += sum(map(_pattern_weight, _patterns(pointer, found)))
        if patterns > MAX_PATTERNS:
            raise SchemaInvalid(pointer, "there are too many patterns, or too long ones")
    for pointer, found in subschemas(schema):
        _check_references(schema, pointer, found, known)
    if _cost(schema, schema, {}) > MAX_COST:
        raise SchemaInvalid("", f"a check could run through more than {MAX_COST} subschemas; use fewer nested $ref")
    return patterns


def _pattern_weight(pattern: str) -> int:
    """Returns what a pattern weighs; each is about 70 bytes of memory."""
    return min(pattern_weight(pattern, class_factor=CLASS), HEAVIEST_PATTERN)


def _patterns(pointer: str, schema: Json) -> list[str]:
    below = schema.get("patternProperties")
    found = [schema.get("pattern"), *(below if isinstance(below, Mapping) else ())]
    patterns = [pattern for pattern in found if isinstance(pattern, str)]
    if any(len(pattern) > MAX_PATTERN for pattern in patterns):
        raise SchemaInvalid(pointer, f"a pattern is longer than {MAX_PATTERN} characters")
    return patterns


def _check_references(root: Json, pointer: str, schema: Json, known: set[int]) -> None:
    """Checks that references lead to subschemas of the same schema, so that what was seen of it is all there is."""
    if pointer and "$id" in schema:
        raise SchemaInvalid(f"{pointer}/$id", "a subschema cannot have an $id; use $defs and #/$defs/…")
    for keyword in ("$ref", "$dynamicRef"):
        reference = schema.get(keyword, "#")
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise SchemaInvalid(f"{pointer}/{keyword}", "must lead to a part of the same schema, such as #/$defs/size")
        target = resolve(root, reference)
        if reference.startswith("#/") and not isinstance(target, bool) and id(target) not in known:
            raise SchemaInvalid(f"{pointer}/{keyword}", f"{reference[:100]} is no subschema of this schema")


def _depth(schema: Any) -> int:
    deepest, level = 0, [schema]
    while level and deepest <= MAX_DEPTH:
        deepest += 1
        level = [child.schema for parent in level if isinstance(parent, Mapping) for child in children(parent)]
    return deepest


def _cost(root: Json, schema: Any, known: dict[int, int]) -> int:
    """Returns how many subschemas a check of one value runs through; a recursive $ref ends with the value's depth."""
    if not isinstance(schema, Mapping):
        return 1
    if id(schema) not in known:
        known[id(schema)] = 0
        total = 1
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in schema:
                target = resolve(root, schema[keyword])
                total += _cost(root, root if target is None else target, known)
        total += sum(_cost(root, child.schema, known) for child in children(schema))
        known[id(schema)] = min(total, MAX_COST + 1)
    return known[id(schema)]
