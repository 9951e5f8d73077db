"""Resource types as JSON with the field names of the contract, for the store and for filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from services.resource.names import parent_type
from services.resource.resource_type import (
    Action,
    Handler,
    Kind,
    Normalization,
    ResourceType,
    Rule,
    Version,
)
from services.resource.scopes import Scope


def document(type: ResourceType) -> dict[str, Any]:
    """Returns a type: times as seconds since 1970, enums by their names without prefix."""
    return {
        "name": type.name,
        "uid": type.uid,
        "etag": type.etag,
        "type": type.type,
        "parent_type": parent_type(type.type),
        "display_name": type.display_name,
        "description": type.description,
        "versions": [_version(version) for version in type.versions],
        "default_version": type.default_version,
        "uniqueness_scopes": [scope.name for scope in type.uniqueness_scopes],
        "allowed_scopes": [scope.name for scope in type.allowed_scopes],
        "handler": None if type.handler is None else asdict(type.handler),
        "actions": [asdict(action) for action in type.actions],
        "builtin": type.builtin,
        "creator": type.creator,
        "updater": type.updater,
        "principal": type.principal,
        "create_time": type.create_time,
        "update_time": type.update_time,
        "revision": type.revision,
    }


def from_document(tenant: str, document: Mapping[str, Any]) -> ResourceType:
    """Returns the type that :func:`document` was made of."""
    handler = document["handler"]
    return ResourceType(
        tenant=tenant,
        type=document["type"],
        uid=document["uid"],
        display_name=document["display_name"],
        description=document["description"],
        versions=tuple(_from_version(version) for version in document["versions"]),
        default_version=document["default_version"],
        uniqueness_scopes=tuple(Scope[scope] for scope in document["uniqueness_scopes"]),
        allowed_scopes=tuple(Scope[scope] for scope in document["allowed_scopes"]),
        handler=None if handler is None else Handler(**handler),
        actions=tuple(Action(**action) for action in document["actions"]),
        builtin=document["builtin"],
        creator=document["creator"],
        updater=document["updater"],
        principal=document["principal"],
        create_time=document["create_time"],
        update_time=document["update_time"],
        revision=document["revision"],
    )


def _version(version: Version) -> dict[str, Any]:
    found = asdict(version)
    found["normalizations"] = [{"field": done.field, "kind": done.kind.name} for done in version.normalizations]
    return found


def _from_version(document: Mapping[str, Any]) -> Version:
    return Version(
        version=document["version"],
        schema=document["schema"],
        output_schema=document["output_schema"],
        rules=tuple(Rule(**rule) for rule in document["rules"]),
        normalizations=tuple(Normalization(done["field"], Kind[done["kind"]]) for done in document["normalizations"]),
        immutable_fields=tuple(document["immutable_fields"]),
        retired=document["retired"],
    )
