"""The five standard methods (AIP-131 to 135): which RPC is one, and the request that it must have."""

from __future__ import annotations

from dataclasses import dataclass

from tests.contract.descriptors import Contracts, Message, Method
from tests.contract.words import snake, words

STANDARD_VERBS = ("Get", "List", "Create", "Update", "Delete")

# First words of RPCs that change nothing, also after `Batch`.
READING_VERBS = frozenset(
    {
        "Aggregate", "Analyze", "Check", "Count", "Describe", "Discover", "Download", "Export", "Get", "List",
        "Preview", "Read", "Search", "Simulate", "Validate", "Wait", "Watch",
    }
)  # fmt: skip


@dataclass(frozen=True)
class FieldShape:
    """A field that a standard request has; `optional` ones may be left out."""

    name: str
    type: str
    behavior: str
    optional: bool = False


@dataclass(frozen=True)
class Standard:
    """A standard method: its verb and the resource that it is about."""

    verb: str
    resource: Message

    @property
    def singular(self) -> str:
        """The resource as a field name: `price_table`."""
        return snake(self.resource.name)

    @property
    def plural(self) -> str:
        """The collection: `priceTables`."""
        assert self.resource.resource
        return self.resource.resource.plural

    @property
    def collections(self) -> list[str]:
        """The plural, and what paths use in its place: rules/{rule}/`revisions` for ruleRevisions (AIP-122)."""
        assert self.resource.resource
        ends = [pattern.split("/")[-2] for pattern in self.resource.resource.patterns if pattern.count("/") > 2]
        return list(dict.fromkeys([self.plural, *ends]))

    @property
    def parent(self) -> tuple[FieldShape, ...]:
        """The `parent` field, if a resource of this kind can have a parent."""
        assert self.resource.resource
        nested = [len(pattern.split("/")) > 2 for pattern in self.resource.resource.patterns]
        if not any(nested):
            return ()
        always = all(nested)
        return (FieldShape("parent", "string", "REQUIRED" if always else "", optional=not always),)

    def request(self, contracts: Contracts) -> tuple[FieldShape, ...]:
        """Returns the fields that the request must have."""
        name = FieldShape("name", "string", "REQUIRED")
        etag = FieldShape("etag", "string", "OPTIONAL")
        allow_missing = FieldShape("allow_missing", "bool", "OPTIONAL")
        mask = FieldShape("update_mask", "google.protobuf.FieldMask", "OPTIONAL")
        item = FieldShape(self.singular, self.resource.full_name, "REQUIRED")
        item_id = FieldShape(f"{self.singular}_id", "string", "REQUIRED")
        change = (FieldShape("request_id", "string", "OPTIONAL"), FieldShape("validate_only", "bool", "OPTIONAL"))
        force = FieldShape("force", "bool", "OPTIONAL", optional=not has_children(self.resource, contracts))
        shapes = {
            "Get": (name,),
            "List": (*self.parent, *PAGE, *CHOICE),
            "Create": (*self.parent, item_id, item, *change),
            "Update": (item, mask, allow_missing, *change),
            "Delete": (name, etag, allow_missing, force, *change),
        }
        return shapes[self.verb]

    @property
    def signature(self) -> str:
        """The google.api.method_signature that AIP asks for."""
        parent = [shape.name for shape in self.parent]
        signatures = {
            "Get": "name",
            "List": ",".join(parent),
            "Create": ",".join([*parent, self.singular, f"{self.singular}_id"]),
            "Update": f"{self.singular},update_mask",
            "Delete": "name",
        }
        return signatures[self.verb]


PAGE = (FieldShape("page_size", "int32", "OPTIONAL"), FieldShape("page_token", "string", "OPTIONAL"))
CHOICE = (FieldShape("filter", "string", "OPTIONAL"), FieldShape("order_by", "string", "OPTIONAL"))


def standard(method: Method, contracts: Contracts) -> Standard | None:
    """Returns what a method is about if it is a standard method of one of its package's resources."""
    verb, *noun = words(method.name)
    if verb not in STANDARD_VERBS:
        return None
    for message in contracts.resources_of(method.package):
        assert message.resource
        plural = message.resource.plural
        expected = plural[:1].upper() + plural[1:] if verb == "List" else message.name
        if "".join(noun) == expected:
            return Standard(verb, message)
    return None


def is_mutating(method: Method) -> bool:
    """Tells from its name whether an RPC changes anything."""
    parts = words(method.name)
    if parts[0] == "Batch":
        parts = parts[1:]
    return parts[0] not in READING_VERBS


def is_about_operations(method: Method) -> bool:
    """Tells whether an RPC is about long-running operations themselves, such as `WaitOperation`."""
    return words(method.name)[-1] in ("Operation", "Operations")


def has_children(message: Message, contracts: Contracts) -> bool:
    """Tells whether another resource of the package lives below this one."""
    assert message.resource
    own = message.resource.patterns
    return any(
        pattern.startswith(f"{parent}/")
        for other in contracts.resources_of(message.package)
        if other is not message and other.resource
        for pattern in other.resource.patterns
        for parent in own
    )
