"""What columns hold: documents as JSON text, and messages of the contract as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, TypeVar

import orjson
from google.rpc.status_pb2 import Status
from sutler.errors import FailedPrecondition
from sutler.status import from_status

from services.resource import documents, type_documents
from services.resource.attempts import unreadable
from services.resource.ports import SecretBox
from services.resource.problems import Problem, problem
from services.resource.resource import Declared, Resource
from services.resource.resource_type import ResourceType
from services.resource.stacks import documents as stacks
from services.resource.stacks.stack import Member, MemberState, Stack
from services.resource.wire.resources import status, to_message

Part = TypeVar("Part", Declared, Member)

RESOURCE = "tenant, uid, document, applied, sealed"
"""The columns that :func:`resource` reads."""


def json(value: Mapping[str, Any]) -> str:
    """Returns JSON text."""
    return orjson.dumps(value).decode()


def parsed(text: str) -> dict[str, Any]:
    """Returns the JSON object in a text."""
    found: dict[str, Any] = orjson.loads(text)
    return found


def digest(text: str) -> bytes:
    """Returns what tells a stored document from all others."""
    return blake2b(text.encode(), digest_size=16).digest()


def resource(row: tuple[Any, ...]) -> Resource:
    """Returns the resource in a row of :data:`RESOURCE`, with its secrets as they are stored."""
    tenant, _, document, applied, sealed = row
    found = documents.from_document(tenant, parsed(document), None if applied is None else parsed(applied))
    return found if sealed is None else replace(found, sealed=bytes(sealed))


def applied(found: Resource) -> str | None:
    """Returns what is stored of what was declared when a resource last succeeded, without secrets."""
    return None if found.applied is None else json(documents.declared_document(found.applied.public))


def sealed(found: Resource, box: SecretBox) -> bytes | None:
    """Returns the properties of a resource with its secrets, encrypted; None if it has none."""
    if found.sealed is not None:
        return found.sealed
    both = [declared for declared in (found.declared, found.applied) if declared is not None]
    if all(declared.public.properties == declared.properties for declared in both):
        return None
    return _seal(found, [_secret(declared) for declared in both], box)


def opened(found: Resource, box: SecretBox) -> Resource:
    """Returns a resource with its secrets.

    Raises:
        FailedPrecondition: If no configured key opens them (SECRET_UNREADABLE).
    """
    if found.sealed is None:
        return found
    whole = _open(found, box)
    declared, applied = _with(found.declared, whole[0]), found.applied
    if applied is not None:
        applied = _with(applied, whole[1])
    return replace(found, declared=declared, applied=applied, sealed=None)


def shown(found: Resource) -> bytes:
    """Returns a resource as the API shows it."""
    return to_message(found).SerializeToString()


def stack_document(found: Stack) -> str:
    """Returns what is stored of a stack but for the states of its members."""
    return json(stacks.document(found))


def stack(tenant: str, text: str, states: Sequence[str], sealed: bytes | None = None) -> Stack:
    """Returns the stack in a column, its secrets as they are stored, with the states of its members in others."""
    found = stacks.from_document(tenant, orjson.loads(text), [orjson.loads(state) for state in states])
    return found if sealed is None else replace(found, sealed=bytes(sealed))


def sealed_stack(found: Stack, box: SecretBox) -> bytes | None:
    """Returns what a stack declares with its secrets, encrypted; None if it has none."""
    template = found.template
    if found.sealed is not None:
        return found.sealed
    if template.public == template:
        return None
    members = {member.id: _secret(member) for member in template.members if member.secrets}
    return _seal(found, {"members": members, "parameters": template.parameters}, box)


def opened_stack(found: Stack, box: SecretBox) -> Stack:
    """Returns a stack with its secrets.

    Raises:
        FailedPrecondition: If no configured key opens them (SECRET_UNREADABLE).
    """
    if found.sealed is None:
        return found
    whole = _open(found, box)
    hidden = whole["members"]
    members = tuple(
        _with(member, hidden[member.id]) if member.id in hidden else member for member in found.template.members
    )
    template = replace(found.template, members=members, parameters=whole["parameters"])
    return replace(found, template=template, sealed=None)


def member_state_document(found: MemberState) -> str:
    """Returns what is stored of a member of a stack."""
    return json(stacks.state_document(found))


def type_of(tenant: str, text: str) -> ResourceType:
    """Returns the type in a column."""
    return replace(type_documents.from_document(tenant, orjson.loads(text)), digest=digest(text))


def error(found: Problem | None, correlation_id: str) -> bytes:
    """Returns an error as operations store it."""
    return b"" if found is None else status(found, correlation_id).SerializeToString()


def problem_of(stored: bytes) -> Problem | None:
    """Returns the error that an operation stores; None if it has none."""
    return problem(from_status(Status.FromString(stored))) if stored else None


def _seal(owner: Resource | Stack, whole: Any, box: SecretBox) -> bytes:
    return box.seal(orjson.dumps(whole).decode(), owner=_owner(owner))


def _open(owner: Resource | Stack, box: SecretBox) -> Any:
    assert owner.sealed is not None
    try:
        return orjson.loads(box.open(owner.sealed, owner=_owner(owner)))
    except (ValueError, FailedPrecondition) as error:
        raise unreadable(owner.name).error() from error


def _owner(owner: Resource | Stack) -> str:
    return f"{owner.tenant}\0{owner.uid}"


def _secret(part: Declared | Member) -> dict[str, Any]:
    return {"properties": part.properties, "secrets": part.secrets}


def _with(part: Part, secret: Mapping[str, Any]) -> Part:
    """Returns a part with what :func:`_secret` told of it."""
    return replace(part, properties=secret["properties"], secrets=tuple(map(tuple, secret["secrets"])))
