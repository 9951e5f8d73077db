"""Resources: annotation, common fields, references, states (AIP-122, 123, 148, 154, 216)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.contract.descriptors import (
    Contracts,
    Enum,
    Field,
    Message,
    Method,
    Resource,
    enums,
    fields,
    messages,
    methods,
    resources,
)
from tests.contract.rule import rules
from tests.contract.standard import is_about_operations, standard
from tests.contract.words import area, lower_camel, snake, words

TIMESTAMP = "google.protobuf.Timestamp"
# name → type, behaviour
COMMON_FIELDS = {
    "name": ("string", "IDENTIFIER"),
    "uid": ("string", "OUTPUT_ONLY"),
    "create_time": (TIMESTAMP, "OUTPUT_ONLY"),
    "update_time": (TIMESTAMP, "OUTPUT_ONLY"),
    "etag": ("string", "OPTIONAL"),
}
VARIABLE = re.compile(r"\{([a-z][a-z0-9_]*)(?:=\*\*)?\}")
COLLECTION = re.compile(r"[a-z][a-zA-Z0-9]*")


def resource_type(message: Message, _: Contracts) -> Iterator[str]:
    """The type of a resource is `<area>.sutler.dev/<Message>`, with a pattern, a singular and a plural (AIP-123)."""
    assert message.resource
    expected = f"{area(message.package)}.sutler.dev/{message.name}"
    if message.resource.type != expected:
        yield f"resource type is {message.resource.type!r}, not {expected!r}"
    if message.resource.singular != lower_camel(words(message.name)):
        yield f"singular is {message.resource.singular!r}, not {lower_camel(words(message.name))!r}"
    if not COLLECTION.fullmatch(message.resource.plural):
        yield f"plural {message.resource.plural!r} is not in lower camel case"
    if not message.resource.patterns:
        yield "has no pattern"


def resource_pattern(message: Message, _: Contracts) -> Iterator[str]:
    """A pattern is `collection/{id}/collection/{id}`, or ends with the singular of a thing that its parent has once."""
    assert message.resource
    for pattern in message.resource.patterns:
        parts = pattern.split("/")
        collections, variables = parts[::2], parts[1::2]
        once = (
            len(parts) % 2 == 1
            and len(parts) > 1
            and message.resource.singular.lower().endswith(collections[-1].lower())
        )
        if not all(COLLECTION.fullmatch(part) for part in collections) or (len(parts) % 2 and not once):
            yield f"pattern {pattern!r} is not collection/{{id}}/…"
        elif not once and collections[-1] not in endings(message.resource, parts):
            yield f"pattern {pattern!r} does not end with the collection {message.resource.plural!r}"
        for variable in variables:
            found = VARIABLE.fullmatch(variable)
            if not found or found[1].endswith("_id"):
                yield f"pattern {pattern!r} has the variable {variable!r}"


def endings(resource: Resource, parts: list[str]) -> set[str]:
    """Returns how the last collection may be called: the plural, or without what the parent says already (AIP-122)."""
    short = resource.plural
    if len(parts) > 3:
        parent = lower_camel(words(parts[-3].strip("{}").replace("_", " ").title().replace(" ", "")))
        short = lower_camel([resource.plural.removeprefix(parent)])
    return {resource.plural, short}


def resource_fields(message: Message, contracts: Contracts) -> Iterator[str]:
    """A resource has `name`, `uid`, `create_time`, `update_time` and `etag`, each as it should be.

    Where no Update takes the resource, nobody sends its etag, and it may be OUTPUT_ONLY.
    """
    updatable = any(is_update_of(message, method, contracts) for method in methods(contracts))
    for name, (kind, behavior) in COMMON_FIELDS.items():
        field = message.field(name)
        if not field:
            yield f"has no field {name}"
        elif field.type != kind:
            yield f"{name} is {field.type}, not {kind}"
        elif behavior not in field.behaviors and not (name == "etag" and not updatable and is_output(field)):
            yield f"{name} is not {behavior}"


def is_update_of(message: Message, method: Method, contracts: Contracts) -> bool:
    """Tells whether a method is the standard Update of a resource."""
    found = standard(method, contracts)
    return found is not None and found.verb == "Update" and found.resource is message


def is_output(field: Field) -> bool:
    """Tells whether a field is OUTPUT_ONLY."""
    return "OUTPUT_ONLY" in field.behaviors


def name_comes_first(message: Message, _: Contracts) -> Iterator[str]:
    """`name` is the first field of a resource (AIP-122)."""
    field = message.field("name")
    if field and (field.number != 1 or message.fields[0] is not field):
        yield "name is not the first field, number 1"


def uid_is_uuid4(message: Message, _: Contracts) -> Iterator[str]:
    """`uid` has the format UUID4 (AIP-148)."""
    field = message.field("uid")
    if field and field.format != "UUID4":
        yield "uid has no (google.api.field_info).format = UUID4"


def identifier_is_name(field: Field, contracts: Contracts) -> Iterator[str]:
    """Only the `name` of a resource is an IDENTIFIER (AIP-203)."""
    if "IDENTIFIER" in field.behaviors:
        message = contracts.messages[field.message]
        if field.name != "name" or not message.resource:
            yield "is IDENTIFIER, but not the name of a resource"


def state_is_nested(enum: Enum, _: Contracts) -> Iterator[str]:
    """The State of a thing is nested in it (AIP-216)."""
    if enum.name.endswith("State") and not enum.parent:
        yield "is not nested in the message whose state it is"


def state_is_output(field: Field, contracts: Contracts) -> Iterator[str]:
    """Within a resource, a state is OUTPUT_ONLY: verbs move it (AIP-216)."""
    in_resource = contracts.messages[field.message].resource is not None
    is_state = field.kind == "enum" and field.type_name.endswith("State")
    if in_resource and is_state and not field.repeated and "OUTPUT_ONLY" not in field.behaviors:
        yield "is a state, but not OUTPUT_ONLY"


def state_field_is_state(field: Field, contracts: Contracts) -> Iterator[str]:
    """The field `state` of a resource is of its nested enum `State` (AIP-216)."""
    in_resource = contracts.messages[field.message].resource is not None
    if field.name == "state" and in_resource and field.type_name != f"{field.message}.State":
        yield f"is {field.type}, not the nested enum State"
    if field.name.split("_")[-1] == "status" and field.kind == "enum":
        yield "is an enum called status; use state"


def reference_exists(field: Field, contracts: Contracts) -> Iterator[str]:
    """A resource reference names a type that some contract declares."""
    for name in (field.reference, field.child_reference):
        if name and name != "*" and name not in contracts.resource_types:
            yield f"refers to {name}, which no contract declares"


def name_has_reference(field: Field, contracts: Contracts) -> Iterator[str]:
    """`name` and `parent` of a request refer to a resource type (AIP-131, 132)."""
    takers = contracts.requests.get(field.message, ())
    if field.name not in ("name", "parent") or field.kind != "string" or not takers:
        return
    if not any(is_about_operations(method) for method in takers) and not (field.reference or field.child_reference):
        yield "has no google.api.resource_reference"


def field_has_reference(field: Field, contracts: Contracts) -> Iterator[str]:
    """A string that is called like a resource of its package refers to it (AIP-123)."""
    if field.kind != "string" or field.reference or field.child_reference or field.message not in contracts.inputs:
        return
    for message in contracts.resources_of(field.package):
        assert message.resource
        if field.name == snake(message.resource.plural if field.repeated else message.name):
            yield f"has no google.api.resource_reference to {message.resource.type}"


def etag_is_once(message: Message, contracts: Contracts) -> Iterator[str]:
    """A request that holds the resource has no `etag` beside it (AIP-154)."""
    if message.full_name not in contracts.requests or not message.field("etag"):
        return
    for field in message.fields:
        inner = contracts.messages.get(field.type_name)
        if inner and inner.resource and inner.field("etag") and not field.repeated:
            yield f"has etag beside {field.name}.etag"


RULES = [
    *rules(resources, resource_type, resource_pattern, resource_fields, name_comes_first, uid_is_uuid4),
    *rules(enums, state_is_nested),
    *rules(
        fields,
        identifier_is_name,
        state_is_output,
        state_field_is_state,
        reference_exists,
        name_has_reference,
        field_has_reference,
    ),
    *rules(messages, etag_is_once),
]
