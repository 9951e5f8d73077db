"""The types that come with the service: scopes, locations, policies and quotas, as record types like any other."""

from __future__ import annotations

from typing import Any

from services.resource import policies, quotas
from services.resource.names import BUILT_IN
from services.resource.resource_type import ResourceType, Version
from services.resource.scopes import Scope

_GROUP = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "management_group": {
            "type": "string",
            "pattern": "^managementGroups/[A-Za-z][A-Za-z0-9._-]{0,62}$",
            "description": "The management group above.",
        }
    },
}
_LOCATION = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "geography": {"type": "string", "maxLength": 128, "description": "The part of the world."},
        "enabled": {"type": "boolean", "description": "Whether new resources may be placed there; true if not set."},
    },
}
_NOTHING = {"type": "object", "additionalProperties": False}


def _type(
    uid: str, collection: str, display_name: str, description: str, scopes: tuple[Scope, ...], schema: dict[str, Any]
) -> ResourceType:
    return ResourceType(
        tenant="",
        type=f"{BUILT_IN}/{collection}",
        uid=uid,
        display_name=display_name,
        description=description,
        versions=(Version("v1", schema=schema),),
        allowed_scopes=scopes,
        builtin=True,
    )


_ANY_SCOPE = (Scope.GLOBAL, Scope.MANAGEMENT_GROUP, Scope.SUBSCRIPTION, Scope.RESOURCE_GROUP)


BUILT_IN_TYPES = (
    _type(
        "5f3c2b1e-6a57-4c0d-9b1f-2c8a4e0d7a11",
        "managementGroups",
        "Management group",
        "Holds subscriptions and other management groups; they form a tree.",
        (Scope.GLOBAL,),
        _GROUP,
    ),
    _type(
        "b4a7c9d2-18ef-4f56-8a3b-7d5e1c6f9022",
        "subscriptions",
        "Subscription",
        "Holds resource groups and resources; it may belong to a management group.",
        (Scope.GLOBAL,),
        _GROUP,
    ),
    _type(
        "0d9e8f7a-6b5c-4d3e-8f2a-1b0c9d8e7f33",
        "resourceGroups",
        "Resource group",
        "Holds resources that live and go together.",
        (Scope.SUBSCRIPTION,),
        _NOTHING,
    ),
    _type(
        "7c1d2e3f-4a5b-4c6d-9e7f-8a9b0c1d2e44",
        "locations",
        "Location",
        "A place where resources can be.",
        (Scope.GLOBAL,),
        _LOCATION,
    ),
    _type(
        "2e8f1a4c-93b7-4d56-a1c8-5f7e6d3b9055",
        "policies",
        "Policy",
        "Rules that refuse changes in its scope, leave findings, or set what is not set.",
        _ANY_SCOPE,
        policies.SCHEMA,
    ),
    _type(
        "a9d3c5e7-1b2f-4860-9e4d-3c6b8f0a7166",
        "quotas",
        "Quota",
        "How many resources there may be in its scope, or how much they may add up to.",
        _ANY_SCOPE,
        quotas.SCHEMA,
    ),
)
"""The built-in types."""
