"""What the contracts say about each RPC, read once from the descriptors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.api import resource_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from sutler.type.v1 import permission_pb2

Targets = Callable[[Any], tuple[str, ...]]
"""Reads the names of the concerned things from a request."""

NO_TOKEN = (
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
)
"""Methods that anybody may call: they say nothing about anyone's data."""

OPERATIONS = "google.longrunning.Operations"

BUILT_IN = "sutler.resource"
"""The namespace of the types that come with ResourceService, in lower case."""

_DEFERRED = frozenset(
    f"sutler.erp.v1.ErpGateway.{name}" for name in ("GetCustomer", "ListCustomerOrders", "SearchCustomers")
)
"""Methods on a model that the request does not name: the driver of its connection does."""


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC.

    Attributes:
        path: ``/package.Service/Method``, as on the wire.
        permission: What a caller must be allowed, empty where the contract names nothing.
        area: The API, such as ``cache``; the error domain is ``<area>.sutler.dev``.
        request_streaming: The client sends many messages.
        response_streaming: The server sends many messages.
        mutating: The request carries a ``request_id``.
        answer: Parses a serialised response.
        etag: The path of the field in which a request says which version it is for; empty if it has none.
        targets: Gives the names of the things that a request concerns, for permissions with a pattern.
        deferred: What it concerns is known only to its handler, which checks that; until then some grant will do.
    """

    path: str
    permission: str = ""
    area: str = ""
    request_streaming: bool = False
    response_streaming: bool = False
    mutating: bool = False
    etag: tuple[str, ...] = ()
    targets: Targets = lambda _: ()
    deferred: bool = False
    answer: Callable[[bytes], Message] = Empty.FromString

    @property
    def open(self) -> bool:
        """Whether the method needs no token."""
        return self.path.startswith(NO_TOKEN)


def find_method(
    path: str, request_streaming: bool = False, response_streaming: bool = False, *, area: str = ""
) -> Method:
    """Returns what the contracts say of a method; of one that they do not know, just its path and kind.

    Args:
        path: ``/package.Service/Method``.
        request_streaming: The client sends many messages.
        response_streaming: The server sends many messages.
        area: The API whose operations google.longrunning.Operations shows on this server. Its methods need what the
            API's own methods of the same names need.
    """
    service_name, _, method_name = path.lstrip("/").partition("/")
    try:
        service: ServiceDescriptor = descriptor_pool.Default().FindServiceByName(service_name)
        descriptor: MethodDescriptor = service.methods_by_name[method_name]
    except KeyError:
        return Method(path, request_streaming=request_streaming, response_streaming=response_streaming)
    parts = service_name.split(".")
    permission = descriptor.GetOptions().Extensions[permission_pb2.permission]
    if service_name == OPERATIONS and area:
        permission = f"{area}.operations.{method_name.partition('Operation')[0].lower()}"
    return Method(
        path=path,
        permission=permission,
        area=parts[1] if parts[0] == "sutler" else area if service_name == OPERATIONS else "",
        request_streaming=request_streaming,
        response_streaming=response_streaming,
        mutating="request_id" in descriptor.input_type.fields_by_name,
        etag=() if request_streaming else _etag(descriptor.input_type),
        targets=_targets(descriptor.input_type),
        deferred=descriptor.full_name in _DEFERRED,
        answer=message_factory.GetMessageClass(descriptor.output_type).FromString,
    )


def _etag(request: Descriptor) -> tuple[str, ...]:
    """Returns where a request of this type has an etag: itself, or in the resource that it changes.

    That of a resource to be created, or only to be looked at, says nothing.
    """
    fields = request.fields_by_name
    if "etag" in fields:
        return ("etag",)
    if "request_id" not in fields:
        return ()
    for field in request.fields:
        resource = None if field.is_repeated else field.message_type
        if resource and _annotation(resource).type and "etag" in resource.fields_by_name:
            return () if f"{field.name}_id" in fields else (field.name, "etag")
    return ()


def _targets(request: Descriptor) -> Targets:
    """Returns how to read the names of the concerned things from a request of this type."""
    fields = request.fields_by_name
    if request.file.package == "sutler.erp.v1":
        return _erp_targets(request)
    if "name" in fields:
        return lambda r: (r.name,)
    if "names" in fields:
        return lambda r: tuple(r.names)
    for field in request.fields:
        if field.message_type and not field.is_repeated and _annotation(field.message_type).type:
            return _resource_targets(field.name, field.message_type, f"{field.name}_id" in fields, "parent" in fields)
    if "cache" in fields:
        return lambda r: (r.cache,)
    if "parent" in fields:
        return lambda r: (r.parent,)
    header = fields["header"].message_type if "header" in fields else None
    if header is not None:
        below = _targets(header)
        return lambda r: below(r.header) if r.HasField("header") else ()
    return lambda _: ()


def _erp_targets(request: Descriptor) -> Targets:
    """Returns how to read ``<connection id>/<model>``, which is what ErpGateway's contract matches patterns against.

    An RPC without a model concerns ``<connection id>/``, one without a connection ``/``; a message of a stream that
    goes on with what the first one named, nothing.
    """
    fields = request.fields_by_name
    created = "connection_id" in fields
    resource = next((f.name for f in request.fields if f.message_type and _annotation(f.message_type).type), "")
    holder = next((name for name in ("parent", "name", "connection") if name in fields and name != resource), "")

    def targets(r: Any) -> tuple[str, ...]:
        if created:
            name = f"connections/{r.connection_id}"
        else:
            name = getattr(r, holder) if holder else getattr(r, resource).name if resource else ""
        if holder == "connection" and not name:
            return ()
        connection = name.split("/")[1] if "/" in name else ""
        return (f"{connection}/{getattr(r, 'model', '')}",)

    return targets


def _annotation(message: Descriptor) -> resource_pb2.ResourceDescriptor:
    return message.GetOptions().Extensions[resource_pb2.resource]  # type: ignore[index]


def _resource_targets(field: str, resource: Descriptor, creates: bool, nested: bool) -> Targets:
    if not creates:
        return lambda r: (getattr(r, field).name,)
    annotation = _annotation(resource)
    typed = "*" in annotation.pattern

    def created(request: Any) -> tuple[str, ...]:
        parent = f"{request.parent}/" if nested and request.parent else ""
        collection = _collection(getattr(request, field).type) if typed else annotation.plural
        return (f"{parent}{collection}/{getattr(request, f'{field}_id')}",)

    return created


def _collection(type_name: str) -> str:
    """Returns what stands between the parent and the id in the name of a thing that is named after its type.

    ``Custom.Org/servers`` becomes ``providers/Custom.Org/servers``; a part of another type (``…/servers/databases``)
    and a type of Sutler's own have just their collection.
    """
    namespace, _, collections = type_name.partition("/")
    above, _, last = collections.rpartition("/")
    return last if above or namespace.lower() == BUILT_IN else f"providers/{namespace}/{last}"
