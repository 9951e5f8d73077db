"""What columns hold: documents as JSON text, and messages of the contract as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from google.rpc.status_pb2 import Status
from sutler.status import from_status

from services.resource import documents, type_documents
from services.resource.problems import Problem, problem
from services.resource.resource import Resource
from services.resource.resource_type import ResourceType
from services.resource.wire.resources import status, to_message

RESOURCE = "tenant, document, applied"
"""The columns that :func:`resource` reads."""


def json(value: Mapping[str, Any]) -> str:
    """Returns JSON text."""
    return orjson.dumps(value).decode()


def parsed(text: str) -> dict[str, Any]:
    """Returns the JSON object in a text."""
    found: dict[str, Any] = orjson.loads(text)
    return found


def resource(row: tuple[Any, ...]) -> Resource:
    """Returns the resource in a row of :data:`RESOURCE`."""
    applied = None if row[2] is None else orjson.loads(row[2])
    return documents.from_document(row[0], orjson.loads(row[1]), applied)


def applied(found: Resource) -> str | None:
    """Returns what is stored of what was declared when a resource last succeeded."""
    return None if found.applied is None else json(documents.declared_document(found.applied))


def shown(found: Resource) -> bytes:
    """Returns a resource as the API shows it."""
    return to_message(found).SerializeToString()


def type_of(tenant: str, text: str) -> ResourceType:
    """Returns the type in a column."""
    return type_documents.from_document(tenant, orjson.loads(text))


def error(found: Problem | None, correlation_id: str) -> bytes:
    """Returns an error as operations store it."""
    return b"" if found is None else status(found, correlation_id).SerializeToString()


def problem_of(stored: bytes) -> Problem | None:
    """Returns the error that an operation stores; None if it has none."""
    return problem(from_status(Status.FromString(stored))) if stored else None
