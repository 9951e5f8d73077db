"""Which fields of a request HTTP paths and queries carry (AIP-127, google/api/http.proto)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.contract.descriptors import Binding, Contracts, Field, Message, Method, routed_methods
from tests.contract.rule import rules
from tests.contract.standard import standard
from tests.contract.templates import MANY, ONE, flatten, meet, variables

# What no query parameter can say.
OPEN_DATA = frozenset(f"google.protobuf.{kind}" for kind in ("Any", "ListValue", "Struct", "Value"))
# What a query parameter can be, though it is a message: its JSON form is one text.
QUERY_MESSAGES = frozenset(
    {"google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"}
    | {f"google.protobuf.{kind}Value" for kind in ("Bool", "Bytes", "Double", "Int32", "Int64", "String")}
)


def path_variable_is_field(method: Method, contracts: Contracts) -> Iterator[str]:
    """Each variable of a path is a single text or whole number of the request."""
    for binding in method.bindings:
        for variable in variables(binding.path):
            field = resolve(variable.field, contracts.messages[method.input], contracts)
            if not field:
                yield f"{binding.path}: {variable.field} is no field of {method.input}"
            elif field.type not in ("string", "int32", "int64"):
                yield f"{binding.path}: {variable.field} is {field.type}, not a text or a whole number"


def resolve(path: str, message: Message, contracts: Contracts) -> Field | None:
    """Returns the field at a dotted path, or None."""
    head, _, rest = path.partition(".")
    field = message.field(head)
    if not field or not rest:
        return field
    inner = contracts.messages.get(field.type_name)
    return resolve(rest, inner, contracts) if inner and not field.repeated else None


def path_variable_is_name(method: Method, contracts: Contracts) -> Iterator[str]:
    """A variable takes a whole resource name, `{name=caches/*}`, not a bare id (AIP-127).

    Names that others give, such as the models of an ERP, are no resource names and may stand alone.
    """
    for binding in method.bindings:
        for variable in variables(binding.path):
            field = resolve(variable.field, contracts.messages[method.input], contracts)
            if variable.template.split("/")[0] in (ONE, MANY) and field and is_resource(field):
                yield f"{binding.path}: {variable.field} is not a resource name with its collection"


def is_resource(field: Field) -> bool:
    """Tells whether a field holds a resource name, or an id where a name should be."""
    named = field.name in ("name", "parent", "id") or field.name.endswith("_id")
    return named or bool(field.reference or field.child_reference)


def standard_path_variable(method: Method, contracts: Contracts) -> Iterator[str]:
    """Get and Delete take `{name=…}`, Update `{<x>.name=…}`, List and Create `{parent=…}` if there is a parent."""
    found = standard(method, contracts)
    if not found:
        return
    item = {"Get": "name", "Delete": "name", "Update": f"{found.singular}.name"}.get(found.verb)
    for binding in method.bindings:
        names = [variable.field for variable in variables(binding.path)]
        expected = [item] if item else [shape.name for shape in found.parent]
        if names != expected and not (not item and found.parent and found.parent[0].optional and not names):
            yield f"{binding.path} has the variables {names}, not {expected}"


def path_matches_pattern(method: Method, contracts: Contracts) -> Iterator[str]:
    """The path of a Get, Update or Delete matches a pattern of the resource."""
    found = standard(method, contracts)
    if not found or found.verb in ("List", "Create"):
        return
    assert found.resource.resource
    patterns = [flatten(pattern).segments for pattern in found.resource.resource.patterns]
    for binding in method.bindings:
        for variable in variables(binding.path):
            if not any(meet(flatten(variable.template).segments, pattern) for pattern in patterns):
                yield f"{binding.path} matches no pattern of {found.resource.name}"


def query_can_carry_request(method: Method, contracts: Contracts) -> Iterator[str]:
    """Some binding has the body `*`, or what is neither in path nor body can be a query parameter."""
    request = contracts.messages.get(method.input)
    if not request or not contracts.is_ours(method.input) or any(each.body == "*" for each in method.bindings):
        return
    for binding in method.bindings[:1]:
        for field in query_fields(binding, request):
            if not fits_query(field, contracts, ()):
                yield f"{binding.verb.upper()} {binding.path}: {field.name} ({field.type}) cannot be a query parameter"


def query_fields(binding: Binding, request: Message) -> list[Field]:
    """Returns the fields that a binding leaves to the query."""
    if binding.body == "*":
        return []
    taken = {variable.field for variable in variables(binding.path)} | {binding.body}
    return [field for field in request.fields if field.name not in taken]


def fits_query(field: Field, contracts: Contracts, inside: tuple[str, ...]) -> bool:
    """Tells whether a field can be a query parameter: no map, no list of messages, nothing recursive.

    Of a message, what fits is enough: `context.language=de` can be sent, even if `context.extra` cannot.
    """
    if field.map_of:
        return False
    if field.kind != "message" or field.type_name in QUERY_MESSAGES:
        return True
    message = contracts.messages.get(field.type_name)
    if field.repeated or not message or field.type_name in (*OPEN_DATA, *inside):
        return False
    return any(fits_query(inner, contracts, (*inside, field.type_name)) for inner in message.fields)


RULES = rules(
    routed_methods,
    path_variable_is_field,
    path_variable_is_name,
    standard_path_variable,
    path_matches_pattern,
    query_can_carry_request,
)
