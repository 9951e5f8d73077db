"""Quotas: how many resources there may be in a scope and all below it, or how much of something they may add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sutler.errors import invalid

from services.resource import paths
from services.resource.documents import declared_document
from services.resource.names import BUILT_IN, MAX_TYPE_BYTES, key, parse
from services.resource.policies import TYPE as POLICY
from services.resource.policies import matches
from services.resource.resource import Resource

TYPE = f"{BUILT_IN}/quotas"
UNCOUNTED = frozenset((key(TYPE), key(POLICY)))
"""The types that no quota counts."""

MAX_LIMIT = 2**53 - 1
DIGITS = 6
"""How many digits after the point are added up; more would only add up what numbers lose."""

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["limit"],
    "properties": {
        "type": {
            "type": "string",
            "maxLength": MAX_TYPE_BYTES,
            "description": "The type that it counts, with * for any run of characters; all if not set.",
        },
        "limit": {"type": "integer", "minimum": 0, "maximum": MAX_LIMIT, "description": "The most that may be."},
        "field": {
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
            "description": "A number to add up instead of counting, such as properties.count.",
        },
    },
}
"""The schema of a quota's properties."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A stored quota.

    Attributes:
        name: Its name.
        scope: Where it holds; empty for the whole tenant.
        type: A pattern of the types that it counts; all if empty.
        field: The path of the number to add up; empty to count resources.
        limit: The most that may be.
        used: How much there is.
    """

    name: str
    scope: str
    type: str
    field: tuple[str, ...]
    limit: int
    used: float

    def counts(self, type: str) -> bool:
        """Returns whether it counts resources of a type."""
        return key(type) not in UNCOUNTED and (not self.type or matches(self.type, type))

    def amount(self, resource: Resource | None) -> float:
        """Returns what a resource adds to it; 0 for none."""
        if resource is None or not self.counts(resource.type):
            return 0
        return self.amount_in(declared_document(resource.declared.public)) if self.field else 1

    def amount_in(self, fields: Mapping[str, Any]) -> float:
        """Returns what stands at its field; what is no number counts as 0."""
        return sum(map(_countable, paths.values(fields, self.field)))


def _countable(value: Any) -> float:
    """Returns what a value counts as: nothing unless it is a positive number, and no more than a limit can be."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return 0
    return min(value, MAX_LIMIT)


def parse_quota(resource: Resource) -> Quota:
    """Returns a quota whose properties fit :data:`SCHEMA`.

    Raises:
        Invalid: If its field is no path into the properties (FIELD_INVALID).
    """
    properties = resource.declared.properties
    try:
        field = paths.parse(properties["field"], ("properties",)) if "field" in properties else ()
    except paths.PathInvalid as error:
        raise invalid("resource.properties.field", str(error)) from error
    return Quota(
        name=resource.name,
        scope=parse(resource.name).parent,
        type=properties.get("type", ""),
        field=field,
        limit=int(properties["limit"]),
        used=resource.outputs.get("used", 0),
    )
