"""The shape of Get, List, Create, Update and Delete (AIP-131 to 135)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.contract.descriptors import OPERATION, Contracts, Field, Method, fields, methods, routed_methods
from tests.contract.rule import rules
from tests.contract.standard import STANDARD_VERBS, is_about_operations, standard
from tests.contract.words import words

ID_PATTERN = "^[A-Za-z][A-Za-z0-9._-]{0,62}$"
EMPTY = "google.protobuf.Empty"
# Fields of AIP-157 that choose what an answer shows.
VIEWS = ("read_mask", "view")


def standard_verb_has_resource(method: Method, contracts: Contracts) -> Iterator[str]:
    """Get, Create, Update and Delete are about a resource of the package."""
    verb = words(method.name)[0]
    if verb == "List" or verb not in STANDARD_VERBS or is_about_operations(method):
        return
    if not standard(method, contracts):
        yield f"is called {verb}…, but {method.name.removeprefix(verb)} is no resource of {method.package}"


def standard_request(method: Method, contracts: Contracts) -> Iterator[str]:
    """A standard request has the fields of its AIP, with their types and behaviours."""
    found, request = standard(method, contracts), contracts.messages.get(method.input)
    if not found or not request:
        return
    for shape in found.request(contracts):
        field = request.field(shape.name)
        if not field:
            if not shape.optional:
                yield f"its request has no field {shape.name}"
        elif field.type != shape.type:
            yield f"its request has {shape.name} of type {field.type}, not {shape.type}"
        elif shape.behavior and shape.behavior not in field.behaviors:
            yield f"in its request {shape.name} is not {shape.behavior}"


def standard_request_extra(field: Field, contracts: Contracts) -> Iterator[str]:
    """A standard request has no other fields without an exception, but Get and List may choose what to show."""
    for method in contracts.requests.get(field.message, ()):
        found = standard(method, contracts)
        if not found or (found.verb in ("Get", "List") and field.name in VIEWS):
            continue
        if field.name not in {shape.name for shape in found.request(contracts)}:
            yield f"is not a field of a standard {found.verb}"


def standard_request_order(method: Method, contracts: Contracts) -> Iterator[str]:
    """Own fields of a standard request come after the standard ones."""
    found, request = standard(method, contracts), contracts.messages.get(method.input)
    if not found or not request:
        return
    usual = {shape.name for shape in found.request(contracts)}
    own = [i for i, field in enumerate(request.fields) if field.name not in usual]
    last = max((i for i, field in enumerate(request.fields) if field.name in usual), default=0)
    if own and own[0] < last:
        yield f"its own field {request.fields[own[0]].name} stands before {request.fields[last].name}"


def standard_response(method: Method, contracts: Contracts) -> Iterator[str]:
    """Get, Create and Update answer the resource, Delete answers Empty; each but Get may answer an Operation."""
    found = standard(method, contracts)
    if not found or found.verb == "List":
        return
    expected = EMPTY if found.verb == "Delete" else found.resource.full_name
    if method.output == OPERATION and found.verb != "Get":
        info = method.operation_info[0] if method.operation_info else ""
        if info not in (expected, expected.removeprefix(f"{method.package}.")):
            yield f"its operation answers {info or 'nothing'}, not {expected}"
    elif method.output != expected:
        yield f"answers {method.output}, not {expected}"


def standard_is_unary(method: Method, contracts: Contracts) -> Iterator[str]:
    """A standard method is no stream."""
    if standard(method, contracts) and (method.client_stream or method.server_stream):
        yield "is a stream"


def standard_signature(method: Method, contracts: Contracts) -> Iterator[str]:
    """A standard method has the google.api.method_signature of its AIP."""
    found = standard(method, contracts)
    if found and found.signature not in method.signatures:
        yield f"has no method_signature {found.signature!r}"


def signature_names_fields(method: Method, contracts: Contracts) -> Iterator[str]:
    """A method signature names fields of the request."""
    request = contracts.messages.get(method.input)
    for signature in method.signatures:
        for path in filter(None, signature.split(",")):
            if request and not request.field(path.strip().split(".")[0]):
                yield f"its method_signature names {path}, which {request.name} has not"


def reference_is_of_resource(field: Field, contracts: Contracts) -> Iterator[str]:
    """`name` of Get and Delete refers to the resource, `parent` of List and Create to it as the child (AIP-131)."""
    for method in contracts.requests.get(field.message, ()):
        found = standard(method, contracts)
        if not found:
            continue
        assert found.resource.resource
        expected = found.resource.resource.type
        if field.name == "name" and field.reference and field.reference != expected:
            yield f"refers to {field.reference}, not {expected}"
        if field.name == "parent" and field.child_reference and field.child_reference != expected:
            yield f"is parent of {field.child_reference}, not {expected}"


def id_has_pattern(field: Field, contracts: Contracts) -> Iterator[str]:
    """`<x>_id` of Create has the pattern of all ids (contracts.md, Shape)."""
    for method in contracts.requests.get(field.message, ()):
        found = standard(method, contracts)
        if not found or found.verb != "Create" or field.name != f"{found.singular}_id":
            continue
        pattern = field.rules.string.pattern if field.rules is not None else ""
        if pattern != ID_PATTERN:
            yield f"has the pattern {pattern!r}, not {ID_PATTERN!r}"


RULES = [
    *rules(routed_methods, standard_verb_has_resource),
    *rules(
        methods,
        standard_request,
        standard_request_order,
        standard_response,
        standard_is_unary,
        standard_signature,
        signature_names_fields,
    ),
    *rules(fields, standard_request_extra, reference_is_of_resource, id_has_pattern),
]
