"""HTTP bindings (AIP-127, 131 to 136; contracts.md, REST)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.contract.descriptors import IMPLEMENTED_BY_ANYONE, Contracts, Method, methods, routed_methods
from tests.contract.rule import rules
from tests.contract.standard import is_mutating, standard
from tests.contract.templates import flatten, overlap
from tests.contract.words import beginnings, verbs, words

GRPC_ONLY = "gRPC only"
STANDARD_HTTP = {"Get": "get", "List": "get", "Create": "post", "Update": "patch", "Delete": "delete"}
WITHOUT_BODY = ("get", "delete")


def has_binding(method: Method, _: Contracts) -> Iterator[str]:
    """Unary RPCs and server streams have an HTTP binding; other streams have none and say `gRPC only`."""
    if not method.client_stream:
        if not method.bindings:
            yield "has no google.api.http"
        return
    if method.bindings:
        yield "takes a stream, but has a google.api.http"
    if GRPC_ONLY not in " ".join(method.comment.split()):
        yield f"takes a stream, but its comment does not say {GRPC_ONLY!r}"


def plugin_has_no_binding(method: Method, _: Contracts) -> Iterator[str]:
    """Services that anyone implements have no HTTP binding."""
    if method.service in IMPLEMENTED_BY_ANYONE and method.bindings:
        yield "has a google.api.http, but anyone implements this service"


def path_has_version(method: Method, _: Contracts) -> Iterator[str]:
    """Paths are under `/v1/` and well-formed."""
    for binding in method.bindings:
        template = flatten(binding.path)
        if template.segments[0] != "v1" or not binding.path.startswith("/v1/"):
            yield f"{binding.path} is not under /v1/"
        if "" in template.segments or any(set(segment) & set("{}=:") for segment in template.segments):
            yield f"{binding.path} is not a path template"
        if "**" in template.segments[:-1]:
            yield f"{binding.path} has ** before its end, which Envoy refuses"


def http_method(method: Method, contracts: Contracts) -> Iterator[str]:
    """Standard methods have the HTTP method of their AIP (in the first binding); what changes something is no GET."""
    found = standard(method, contracts)
    for i, binding in enumerate(method.bindings):
        expected = STANDARD_HTTP[found.verb] if found and i == 0 else None
        if expected and binding.verb != expected:
            yield f"is bound to {binding.verb.upper()}, not {expected.upper()}"
        elif not expected and is_mutating(method) and binding.verb == "get":
            yield f"changes something, but {binding.path} is a GET"
        elif binding.verb not in ("get", "post", "put", "patch", "delete"):
            yield f"is bound to {binding.verb.upper()}"


def http_body(method: Method, contracts: Contracts) -> Iterator[str]:
    """GET and DELETE have no body; Create and Update send the resource first of all, others `*` or a field."""
    found, request = standard(method, contracts), contracts.messages.get(method.input)
    for i, binding in enumerate(method.bindings):
        if binding.verb in WITHOUT_BODY:
            if binding.body:
                yield f"{binding.verb.upper()} {binding.path} has a body"
        elif found and found.verb in ("Create", "Update") and i == 0:
            if binding.body != found.singular:
                yield f"has body {binding.body!r}, not {found.singular!r}"
        elif not binding.body:
            yield f"{binding.verb.upper()} {binding.path} has no body"
        elif binding.body != "*" and request and not request.field(binding.body):
            yield f"has body {binding.body!r}, which is no field of {request.name}"


def standard_path(method: Method, contracts: Contracts) -> Iterator[str]:
    """The first path of a standard method has no `:verb`, and for List and Create ends with the collection."""
    found = standard(method, contracts)
    for binding in method.bindings[:1] if found else ():
        assert found
        template = flatten(binding.path)
        if template.verb:
            yield f"is standard, but {binding.path} has the verb {template.verb!r}"
        if found.verb in ("List", "Create") and template.segments[-1] not in found.collections:
            yield f"{binding.path} does not end with {' or '.join(found.collections)}"


def custom_verb(method: Method, contracts: Contracts) -> Iterator[str]:
    """The `:verb` of a path is that of the RPC; a custom method has one (AIP-136)."""
    for binding in method.bindings:
        template = flatten(binding.path)
        verb = template.verb
        if verb and not any(verb in verbs(method.name, collection) for collection in template.segments):
            yield f"{binding.path} has the verb {verb!r}, not the RPC's ({beginnings(method.name)[0]} …)"
        if not verb and words(method.name)[0] not in STANDARD_HTTP:
            yield f"{binding.path} has no verb; a custom method ends in :{beginnings(method.name)[0]}"


def paths_do_not_collide(method: Method, contracts: Contracts) -> Iterator[str]:
    """No path matches two bindings of one HTTP method, over all services of the gateway."""
    for other in routed_methods(contracts):
        if other.full_name <= method.full_name:
            continue
        for one in method.bindings:
            for two in other.bindings:
                if one.verb == two.verb and overlap(one.path, two.path):
                    yield f"{one.verb.upper()} {one.path} can match the same path as {two.path} of {other.full_name}"


def own_paths_do_not_collide(method: Method, _: Contracts) -> Iterator[str]:
    """The bindings of one RPC do not match the same path."""
    for i, one in enumerate(method.bindings):
        for two in method.bindings[i + 1 :]:
            if one.verb == two.verb and overlap(one.path, two.path):
                yield f"{one.path} and {two.path} can match the same path"


RULES = [
    *rules(
        routed_methods,
        has_binding,
        path_has_version,
        http_method,
        http_body,
        standard_path,
        custom_verb,
        paths_do_not_collide,
        own_paths_do_not_collide,
    ),
    *rules(methods, plugin_has_no_binding),
]
