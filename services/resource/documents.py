"""Resources as JSON with the field names of the contract: for the store, for filters, for CEL and for events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from services.resource.problems import Problem
from services.resource.resource import Declared, Finding, Lock, Resource
from services.resource.secrets import Path
from services.resource.states import State

TIMES = ("create_time", "update_time", "expire_time")


def declared_document(declared: Declared) -> dict[str, Any]:
    """Returns what is declared, with secrets; fields that are not set are left out, but not properties and tags."""
    document: dict[str, Any] = {
        "type_version": declared.type_version,
        "properties": declared.properties,
        "tags": declared.tags,
    }
    if declared.display_name:
        document["display_name"] = declared.display_name
    if declared.location:
        document["location"] = declared.location
    if declared.references:
        document["references"] = list(declared.references)
    if declared.expire_time is not None:
        document["expire_time"] = declared.expire_time
    if declared.lock:
        document["lock"] = declared.lock.name
    return document


def from_declared_document(document: Mapping[str, Any], secrets: tuple[Path, ...] = ()) -> Declared:
    """Returns what :func:`declared_document` was made of; other fields are passed over.

    Args:
        document: The document.
        secrets: The paths in the properties to what only handlers may see.
    """
    return Declared(
        type_version=document.get("type_version", ""),
        display_name=document.get("display_name", ""),
        properties=document.get("properties", {}),
        tags=document.get("tags", {}),
        location=document.get("location", ""),
        references=tuple(document.get("references", ())),
        expire_time=document.get("expire_time"),
        lock=Lock[document.get("lock", "UNSPECIFIED")],
        secrets=secrets,
    )


def document(resource: Resource) -> dict[str, Any]:
    """Returns a resource without secrets: times as seconds since 1970, enums by their names without prefix."""
    found = {
        "name": resource.name,
        "uid": resource.uid,
        "type": resource.type,
        **declared_document(resource.declared.public),
        "outputs": resource.outputs,
        "provisioning_state": resource.state.name,
        "reconciling": bool(resource.operation),
        "generation": resource.generation,
        "observed_generation": resource.observed_generation,
        "revision": resource.revision,
        "etag": resource.etag,
        "creator": resource.creator,
        "updater": resource.updater,
        "create_time": resource.create_time,
        "update_time": resource.update_time,
    }
    if resource.stack:
        found["stack"] = resource.stack
    if resource.operation:
        found["operation"] = resource.operation
    if resource.state_reason:
        found["state_reason"] = resource.state_reason
    if resource.error is not None:
        found["error"] = problem_document(resource.error)
    if resource.findings:
        found["findings"] = [asdict(finding) for finding in resource.findings]
    return found


def from_document(tenant: str, document: Mapping[str, Any], applied: Mapping[str, Any] | None) -> Resource:
    """Returns the resource that :func:`document` was made of.

    Args:
        tenant: Whose it is.
        document: The document.
        applied: The document of what was declared when it last succeeded; None if that is what is declared now.
    """
    error = document.get("error")
    return Resource(
        tenant=tenant,
        name=document["name"],
        uid=document["uid"],
        type=document["type"],
        declared=from_declared_document(document),
        outputs=document["outputs"],
        state=State[document["provisioning_state"]],
        state_reason=document.get("state_reason", ""),
        error=None if error is None else from_problem_document(error),
        operation=document.get("operation", ""),
        generation=document["generation"],
        observed_generation=document["observed_generation"],
        revision=document["revision"],
        creator=document["creator"],
        updater=document["updater"],
        create_time=document["create_time"],
        update_time=document["update_time"],
        findings=tuple(Finding(**finding) for finding in document.get("findings", ())),
        applied=None if applied is None else from_declared_document(applied),
        stack=document.get("stack", ""),
    )


def problem_document(problem: Problem) -> dict[str, Any]:
    """Returns an error as JSON."""
    return {**asdict(problem), "violations": [list(violation) for violation in problem.violations]}


def from_problem_document(document: Mapping[str, Any]) -> Problem:
    """Returns the error that :func:`problem_document` was made of."""
    return Problem(**{**document, "violations": tuple(tuple(found) for found in document["violations"])})


def as_seen_by_rules(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a document as CEL takes it: times are timestamps."""
    times = {name: datetime.fromtimestamp(document[name], UTC) for name in TIMES if name in document}
    return {**document, **times}


def as_told(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a document as events carry it: times in RFC 3339."""
    times = {name: rfc3339(document[name]) for name in TIMES if name in document}
    return {**document, **times}


def rfc3339(seconds: float) -> str:
    """Returns a time in seconds since 1970 as text."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
