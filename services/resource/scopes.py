"""Scopes: the levels in which resources stand, and the keys that types make of them to keep resources unique."""

from __future__ import annotations

import hashlib
from enum import IntEnum
from functools import lru_cache


class Scope(IntEnum):
    """The levels, by the numbers of ``sutler.resource.v1.Scope``."""

    GLOBAL = 1
    MANAGEMENT_GROUP = 2
    SUBSCRIPTION = 3
    RESOURCE_GROUP = 4
    PARENT_RESOURCE = 5


GROUPS = "managementGroups"
_SCOPES = tuple(f"/{collection.lower()}" for collection in (GROUPS, "subscriptions", "resourceGroups"))


@lru_cache(maxsize=1024)
def is_scope(type: str) -> bool:
    """Returns whether resources of a type are scopes."""
    return type.lower().startswith("sutler.resource/") and type.lower().endswith(_SCOPES)


@lru_cache(maxsize=1024)
def uniqueness_key(type: str, id: str, parent: str, scope: str, group: str, scopes: tuple[Scope, ...]) -> bytes:
    """Returns the key that may exist once: the type, the id, and where the resource stands in each listed scope.

    A level that the resource does not have stands for the scope it is in. So two resources are never thrown together
    only because both lack a level.

    Args:
        type: The type.
        id: The last part of the name.
        parent: The name of the scope or resource directly above.
        scope: The name of the scope that it stands in.
        group: The nearest management group above; empty if there is none.
        scopes: The scopes that the type lists.
    """
    parts = scope.lower().split("/")
    subscription = "/".join(parts[:2]) if parts[0] == "subscriptions" else scope
    levels = {
        Scope.GLOBAL: "",
        Scope.MANAGEMENT_GROUP: group or scope,
        Scope.SUBSCRIPTION: subscription,
        Scope.RESOURCE_GROUP: scope,
        Scope.PARENT_RESOURCE: parent,
    }
    where = [f"{level.name}={levels[level].lower()}" for level in sorted(scopes)]
    return hashlib.sha256("\0".join([type.lower(), id.lower(), *where]).encode()).digest()
