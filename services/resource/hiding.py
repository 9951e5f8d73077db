"""What errors say of secrets: where they stand, and nothing of what is in them, the names of keys included."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sutler.errors import SutlerError, Violation
from sutler.validation import MAX_VIOLATIONS, from_json_schema, path

from services.resource.paths import ANY, EACH
from services.resource.schemas import TooCostly, Validator
from services.resource.secrets import Path

INSIDE = "what is in it does not fit the schema"
NAMING = ("required", "additionalProperties", "unevaluatedProperties", "propertyNames")
"""Keywords whose errors name keys of the object at which they stand."""


def violations(validator: Validator, values: Mapping[str, Any], secrets: Sequence[Path]) -> list[Violation]:
    """Returns what a schema finds wrong with values; of what is in a secret only that something is."""
    found: list[Violation] = []
    try:
        for error in validator.errors(dict(values)):
            told = from_json_schema([error])
            steps = list(error.instance_path)
            place = _place(steps, secrets)
            if place is not None and (len(steps) > place or error.kind.name in NAMING):
                told = [Violation(path(steps[:place]), INSIDE, violation.reason) for violation in told[:1]]
            found += [violation for violation in told if violation not in found]
            if len(found) >= MAX_VIOLATIONS:
                break
    except TooCostly as error:
        return [Violation("", str(error), "TOO_LARGE")]
    return found[:MAX_VIOLATIONS]


def shown(field: str, above: str, secrets: Sequence[Path]) -> str:
    """Returns the path of a field as far as it may be told.

    Args:
        field: The path.
        above: The path of the values in which the secrets stand.
        secrets: Where.
    """
    if not field.startswith(above):
        return field
    for secret in secrets:
        found = re.match("".join(map(_pattern, secret)), field[len(above) :])
        if found:
            field = field[: len(above) + found.end()]
    return field


def hide(error: SutlerError, above: str, secrets: Sequence[Path]) -> SutlerError:
    """Returns an error that tells no field as further than :func:`shown` does; the arguments are the same."""
    fields = {violation.field for violation in error.violations} | {error.metadata.get("field", "")}
    for field in sorted(fields, key=len, reverse=True):
        told = shown(field, above, secrets)
        if told != field:
            error.base = error.base.replace(field, told)
            error.metadata = {name: value.replace(field, told) for name, value in error.metadata.items()}
            error.violations = tuple(
                Violation(told, violation.description.replace(field, told), violation.reason)
                if violation.field == field
                else violation
                for violation in error.violations
            )
    return error


def _place(steps: Sequence[str | int], secrets: Sequence[Path]) -> int | None:
    """Returns how many steps of a way to a value lead to the secret in which it is; None if it is in none."""
    for secret in secrets:
        if len(secret) <= len(steps) and all(map(_meets, steps, secret)):
            return len(secret)
    return None


def _meets(step: str | int, at: str) -> bool:
    return isinstance(step, int) if at == EACH else at in (ANY, step)


def _pattern(step: str) -> str:
    if step == EACH:
        return r"\[\d+\]"
    return r"\.[^.\[]+" if step == ANY else rf"\.{re.escape(step)}(?![^.\[])"
