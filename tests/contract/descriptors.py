"""A clean view of contracts: plain dataclasses with comments and options, made from a descriptor set by `loading`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.protobuf.message import Message as ProtoMessage

OURS = "sutler."
SHARED = "sutler.type.v1"
OPERATION = "google.longrunning.Operation"

# Services that anyone implements: they have no HTTP binding and no gateway route (contracts.md, REST).
IMPLEMENTED_BY_ANYONE = frozenset({"sutler.resource.v1.ResourceHandler", "sutler.provider.v1.ProviderPlugin"})


@dataclass(frozen=True, kw_only=True)
class Element:
    """Anything in a contract that has a name and may have a comment."""

    name: str
    full_name: str
    package: str
    file: str
    line: int
    comment: str = ""

    @property
    def where(self) -> str:
        """The source position, such as `sutler/cache/v1/cache.proto:12`."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class Value(Element):
    """One value of an enum."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Enum(Element):
    """An enum; `parent` is the full name of the message around it, or empty."""

    parent: str
    values: tuple[Value, ...]


@dataclass(frozen=True, kw_only=True)
class Field(Element):
    """A field, or an extension. `kind` is the proto type (`int32`, `message` …), `rules` are buf.validate's."""

    message: str
    number: int
    kind: str
    type_name: str = ""
    repeated: bool = False
    oneof: str = ""
    behaviors: frozenset[str] = frozenset()
    format: str = ""
    reference: str = ""
    child_reference: str = ""
    rules: Any = None
    map_of: tuple[Field, Field] | None = None

    @property
    def type(self) -> str:
        """The type as a contract writes it: `string`, `repeated int32`, `google.protobuf.Timestamp`."""
        return ("repeated " if self.repeated else "") + (self.type_name or self.kind)


@dataclass(frozen=True)
class Resource:
    """The google.api.resource option of a message."""

    type: str
    patterns: tuple[str, ...]
    singular: str
    plural: str


@dataclass(frozen=True, kw_only=True)
class Oneof(Element):
    """A oneof that is written in the source (not one made by `optional`)."""


@dataclass(frozen=True, kw_only=True)
class Message(Element):
    """A message; map entries are shown as `Field.map_of`, not as messages."""

    parent: str
    fields: tuple[Field, ...]
    oneofs: tuple[Oneof, ...] = ()
    resource: Resource | None = None

    def field(self, name: str) -> Field | None:
        """Returns the field of this name, or None."""
        return next((each for each in self.fields if each.name == name), None)


@dataclass(frozen=True)
class Binding:
    """One way to reach an RPC by HTTP."""

    verb: str
    path: str
    body: str


@dataclass(frozen=True, kw_only=True)
class Method(Element):
    """An RPC. `operation_info` is (response type, metadata type) as written, or None."""

    service: str
    input: str
    output: str
    client_stream: bool
    server_stream: bool
    bindings: tuple[Binding, ...] = ()
    permission: str = ""
    signatures: tuple[str, ...] = ()
    operation_info: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Service(Element):
    """A service."""

    methods: tuple[Method, ...]


@dataclass(frozen=True, kw_only=True)
class File(Element):
    """One proto file; `comment` stands above `syntax`, `messages` and `enums` include nested ones."""

    options: dict[str, Any]
    imports: tuple[str, ...]
    services: tuple[Service, ...]
    messages: tuple[Message, ...]
    enums: tuple[Enum, ...]
    extensions: tuple[Field, ...]


@dataclass(frozen=True, eq=False)
class Contracts:
    """All of our files, with what they import; compared by identity, so that what follows from one can be cached.

    `messages` and `enums` are looked up by full name, third-party ones included; `classes` makes the Python class of
    a message from its full name.
    """

    files: tuple[File, ...]
    messages: dict[str, Message]
    enums: dict[str, Enum]
    classes: dict[str, type[ProtoMessage]]
    resource_types: dict[str, Message]

    def is_ours(self, full_name: str) -> bool:
        """Tells whether a message of this name is in one of our files."""
        return full_name.startswith(OURS) and full_name in self.messages

    def resources_of(self, package: str) -> list[Message]:
        """Returns the resources that a package declares."""
        return [m for m in self.messages.values() if m.package == package and m.resource]

    @cached_property
    def requests(self) -> dict[str, list[Method]]:
        """Our request messages by full name, with the RPCs that take them."""
        found: dict[str, list[Method]] = {}
        for method in methods(self):
            if self.is_ours(method.input):
                found.setdefault(method.input, []).append(method)
        return found

    def reachable(self, roots: Iterable[str]) -> frozenset[str]:
        """Returns the full names of our messages that `roots` are or hold at any depth."""
        found: set[str] = set()
        queue = list(roots)
        while queue:
            name = queue.pop()
            if name in found or not self.is_ours(name):
                continue
            found.add(name)
            for field in self.messages[name].fields:
                queue += [each.type_name for each in field.map_of or (field,)]
        return frozenset(found)

    @cached_property
    def inputs(self) -> frozenset[str]:
        """The full names of our messages that a caller fills in: requests, resources and what is in them."""
        return self.reachable([*self.requests, *(message.full_name for message in resources(self))])


def ignored(rules: Any) -> str:
    """Returns when buf.validate skips rules, such as `IGNORE_ALWAYS`; empty if there are none."""
    if rules is None:
        return ""
    values = rules.DESCRIPTOR.fields_by_name["ignore"].enum_type.values_by_number
    return str(values[rules.ignore].name)


def files(contracts: Contracts) -> Iterator[File]:
    """Walks our files."""
    yield from contracts.files


def services(contracts: Contracts) -> Iterator[Service]:
    """Walks our services."""
    for file in contracts.files:
        yield from file.services


def methods(contracts: Contracts) -> Iterator[Method]:
    """Walks our RPCs."""
    for service in services(contracts):
        yield from service.methods


def routed_methods(contracts: Contracts) -> Iterator[Method]:
    """Walks the RPCs of the services that the gateway routes to."""
    for service in services(contracts):
        if service.full_name not in IMPLEMENTED_BY_ANYONE:
            yield from service.methods


def messages(contracts: Contracts) -> Iterator[Message]:
    """Walks our messages, nested ones included."""
    for file in contracts.files:
        yield from file.messages


def resources(contracts: Contracts) -> Iterator[Message]:
    """Walks our resources."""
    return (message for message in messages(contracts) if message.resource)


def fields(contracts: Contracts) -> Iterator[Field]:
    """Walks the fields of our messages."""
    for message in messages(contracts):
        yield from message.fields


def enums(contracts: Contracts) -> Iterator[Enum]:
    """Walks our enums, nested ones included."""
    for file in contracts.files:
        yield from file.enums


def elements(contracts: Contracts) -> Iterator[Element]:
    """Walks everything that needs a comment."""
    for file in contracts.files:
        yield from file.extensions
    for service in services(contracts):
        yield service
        yield from service.methods
    for message in messages(contracts):
        yield message
        yield from message.fields
        yield from message.oneofs
    for enum in enums(contracts):
        yield enum
        yield from enum.values
