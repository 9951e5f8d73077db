"""What lists and watches can filter and order by: the fields of the contract, and where they are stored."""

from __future__ import annotations

from sutler.filtering import Field, Kind, Schema

from services.resource.history import Cause, Change
from services.resource.resource import Lock
from services.resource.stacks.stack import FailurePolicy, StackState
from services.resource.states import State


def _in_document(kind: Kind, *path: str) -> Field:
    return Field(kind, "document", path)


def _error() -> dict[str, Field]:
    return {
        "error": _in_document(Kind.WHOLE, "error"),
        "error.code": _in_document(Kind.INT, "error", "code"),
        "error.message": _in_document(Kind.STRING, "error", "message"),
        "error.reason": _in_document(Kind.STRING, "error", "reason"),
    }


def _names(prefix: str, names: list[str]) -> dict[str, int | str]:
    """Returns by the names of the contract those that are stored, which are without prefix."""
    return {f"{prefix}_{name}": name for name in names}


RESOURCES = Schema(
    {
        "name": Field(Kind.STRING, "name", required=True),
        "uid": Field(Kind.STRING, "uid", required=True),
        "create_time": Field(Kind.TIME, "create_time", required=True),
        "update_time": Field(Kind.TIME, "update_time", required=True),
        "etag": _in_document(Kind.STRING, "etag"),
        "type": Field(Kind.STRING, "type", required=True),
        "type_version": _in_document(Kind.STRING, "type_version"),
        "display_name": _in_document(Kind.STRING, "display_name"),
        "properties": _in_document(Kind.OPEN, "properties"),
        "outputs": _in_document(Kind.OPEN, "outputs"),
        "tags": Field(Kind.STRING_MAP, "tags"),
        "location": _in_document(Kind.STRING, "location"),
        "provisioning_state": Field(
            Kind.ENUM, "state", values=_names("STATE", [state.name for state in State]), required=True
        ),
        "state_reason": _in_document(Kind.STRING, "state_reason"),
        **_error(),
        "reconciling": _in_document(Kind.BOOL, "reconciling"),
        "operation": Field(Kind.STRING, "operation", required=True),
        "generation": _in_document(Kind.INT, "generation"),
        "observed_generation": _in_document(Kind.INT, "observed_generation"),
        "revision": Field(Kind.INT, "revision", required=True),
        "references": _in_document(Kind.STRING_LIST, "references"),
        "creator": _in_document(Kind.STRING, "creator"),
        "updater": _in_document(Kind.STRING, "updater"),
        "expire_time": Field(Kind.TIME, "expire_time"),
        "lock": Field(
            Kind.ENUM,
            "document",
            ("lock",),
            values=_names("LOCK", [lock.name for lock in Lock if lock is not Lock.UNSPECIFIED]),
        ),
        "stack": Field(Kind.STRING, "stack", required=True),
        "findings": _in_document(Kind.WHOLE, "findings"),
    }
)
"""Resources. ``tags`` have a column of their own, so that filtering by them does not read whole documents."""

STACKS = Schema(
    {
        "name": Field(Kind.STRING, "name", required=True),
        "uid": Field(Kind.STRING, "uid", required=True),
        "create_time": Field(Kind.TIME, "create_time", required=True),
        "update_time": Field(Kind.TIME, "update_time", required=True),
        "etag": _in_document(Kind.STRING, "etag"),
        "display_name": _in_document(Kind.STRING, "display_name"),
        "scope": _in_document(Kind.STRING, "scope"),
        "parameters": _in_document(Kind.OPEN, "parameters"),
        "failure_policy": Field(
            Kind.ENUM,
            "document",
            ("failure_policy",),
            values=_names(
                "FAILURE_POLICY", [policy.name for policy in FailurePolicy if policy is not FailurePolicy.UNSPECIFIED]
            ),
        ),
        "output_values": _in_document(Kind.OPEN, "output_values"),
        "outputs": _in_document(Kind.OPEN, "outputs"),
        "state": Field(Kind.ENUM, "state", values=_names("STATE", [state.name for state in StackState]), required=True),
        **_error(),
        "operation": Field(Kind.STRING, "operation", required=True),
        "creator": _in_document(Kind.STRING, "creator"),
        "updater": _in_document(Kind.STRING, "updater"),
    }
)
"""Stacks, but for their members."""

TYPES = Schema(
    {
        "name": Field(Kind.STRING, "name", required=True),
        "uid": Field(Kind.STRING, "uid", required=True),
        "create_time": _in_document(Kind.TIME, "create_time"),
        "update_time": _in_document(Kind.TIME, "update_time"),
        "etag": _in_document(Kind.STRING, "etag"),
        "type": _in_document(Kind.STRING, "type"),
        "parent_type": _in_document(Kind.STRING, "parent_type"),
        "display_name": _in_document(Kind.STRING, "display_name"),
        "description": _in_document(Kind.STRING, "description"),
        "versions": _in_document(Kind.WHOLE, "versions"),
        "default_version": _in_document(Kind.STRING, "default_version"),
        "uniqueness_scopes": _in_document(Kind.STRING_LIST, "uniqueness_scopes"),
        "allowed_scopes": _in_document(Kind.STRING_LIST, "allowed_scopes"),
        "handler.remote.address": _in_document(Kind.STRING, "handler", "address"),
        "handler.plugin.plugin": _in_document(Kind.STRING, "handler", "plugin"),
        "actions": _in_document(Kind.WHOLE, "actions"),
        "builtin": _in_document(Kind.BOOL, "builtin"),
        "creator": _in_document(Kind.STRING, "creator"),
        "updater": _in_document(Kind.STRING, "updater"),
    }
)
"""Resource types."""

REVISIONS = Schema(
    {
        "revision": Field(Kind.INT, "revision", required=True),
        "resource": Field(Kind.STRING, "resource", required=True),
        "uid": Field(Kind.STRING, "uid", required=True),
        "kind": Field(Kind.ENUM, "kind", values=_names("KIND", [kind.name for kind in Change]), required=True),
        "actor": Field(Kind.STRING, "actor", required=True),
        "cause": Field(Kind.ENUM, "cause", values=_names("CAUSE", [cause.name for cause in Cause]), required=True),
        "origin": Field(Kind.STRING, "origin", required=True),
        "method": Field(Kind.STRING, "method", required=True),
        "request_id": Field(Kind.STRING, "request_id", required=True),
        "operation": Field(Kind.STRING, "operation", required=True),
        "correlation_id": Field(Kind.STRING, "correlation_id", required=True),
        "create_time": Field(Kind.TIME, "create_time", required=True),
    }
)
"""Revisions, but for the resource before and after."""
