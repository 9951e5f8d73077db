"""Repeats and rehearsals: `request_id` and `validate_only` (AIP-155, 163; contracts.md, Idempotency)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.contract.descriptors import (
    IMPLEMENTED_BY_ANYONE,
    Contracts,
    Field,
    Message,
    Method,
    fields,
    ignored,
    methods,
    routed_methods,
)
from tests.contract.rule import rules
from tests.contract.standard import is_about_operations, is_mutating
from tests.contract.words import words

GOOGLE = "google.longrunning."


def change_has_request_id(method: Method, contracts: Contracts) -> Iterator[str]:
    """Every request that changes something has a `request_id`."""
    if not is_mutating(method) or method.input.startswith(GOOGLE):
        return
    request = contracts.messages.get(method.input)
    if not request or not any(holds(message, "request_id") for message in carriers(request, method, contracts)):
        yield f"changes something, but {method.input.rpartition('.')[2]} has no request_id"


def plugin_call_has_key(method: Method, contracts: Contracts) -> Iterator[str]:
    """Services that anyone implements are called with an idempotency key where they change something."""
    if method.service not in IMPLEMENTED_BY_ANYONE or not is_mutating(method):
        return
    request = contracts.messages.get(method.input)
    if not request:
        return
    inner = [contracts.messages.get(field.type_name) for field in request.fields if not field.repeated]
    if not any(message and holds(message, "idempotency_key") for message in (request, *inner)):
        yield f"changes something, but {request.name} has no idempotency_key"


def carriers(request: Message, method: Method, contracts: Contracts) -> Iterator[Message]:
    """Yields the messages that may hold the request id: the request, and in a client stream also its first part."""
    yield request
    if method.client_stream:
        for field in request.fields:
            if field.kind == "message" and field.oneof:
                yield contracts.messages[field.type_name]


def holds(message: Message, name: str) -> bool:
    """Tells whether a message has a field of this name."""
    return message.field(name) is not None


def request_id_is_uuid(field: Field, contracts: Contracts) -> Iterator[str]:
    """`request_id` in a request is any UUID, OPTIONAL, and may be empty."""
    if field.name != "request_id" or field.message not in contracts.requests:
        return
    rule = field.rules
    if rule is None or not rule.string.uuid:
        yield "has no string.uuid"
    elif ignored(rule) != "IGNORE_IF_ZERO_VALUE":
        yield "has no ignore = IGNORE_IF_ZERO_VALUE, so that it cannot be left out"
    if "OPTIONAL" not in field.behaviors:
        yield "is not OPTIONAL"


def change_has_validate_only(method: Method, contracts: Contracts) -> Iterator[str]:
    """Create, Update and Delete can be rehearsed with `validate_only`."""
    if words(method.name)[0] not in ("Create", "Update", "Delete") or is_about_operations(method):
        return
    request = contracts.messages.get(method.input)
    if request and contracts.is_ours(method.input) and not holds(request, "validate_only"):
        yield f"{request.name} has no validate_only"


RULES = [
    *rules(routed_methods, change_has_request_id, change_has_validate_only),
    *rules(methods, plugin_call_has_key),
    *rules(fields, request_id_is_uuid),
]
