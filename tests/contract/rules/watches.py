"""Watches: server stream, resume token, final status (contracts.md, Watches)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.contract.descriptors import Contracts, Method, methods, routed_methods
from tests.contract.rule import rules
from tests.contract.standard import is_about_operations
from tests.contract.words import words

STATUS = "google.rpc.Status"


def is_watch(method: Method) -> bool:
    """Tells whether an RPC is a watch; WatchOperation has a shape of its own in sutler.type.v1."""
    return words(method.name)[0] == "Watch" and not is_about_operations(method)


def watch_is_server_stream(method: Method, _: Contracts) -> Iterator[str]:
    """A watch is a server stream."""
    if words(method.name)[0] == "Watch" and (not method.server_stream or method.client_stream):
        yield "is a watch, but not a server stream"


def watch_request(method: Method, contracts: Contracts) -> Iterator[str]:
    """A watch can be filtered and resumed."""
    request = contracts.messages.get(method.input)
    if not is_watch(method) or not request:
        return
    for name in ("filter", "resume_token"):
        field = request.field(name)
        if not field or field.type != "string":
            yield f"{request.name} has no string {name}"


def watch_response(method: Method, contracts: Contracts) -> Iterator[str]:
    """A watch answers a batch of changes, a token to resume from, and at the end a status."""
    response = contracts.messages.get(method.output)
    if not is_watch(method) or not response:
        return
    token, status = response.field("resume_token"), response.field("status")
    if not token or token.type != "string":
        yield f"{response.name} has no string resume_token"
    if not status or status.type != STATUS:
        yield f"{response.name} has no {STATUS} status"
    if not any(field.repeated and field.kind == "message" for field in response.fields):
        yield f"{response.name} has no list of changes"


RULES = [
    *rules(methods, watch_is_server_stream),
    *rules(routed_methods, watch_request, watch_response),
]
