"""A gRPC service of somebody else, whose contract is known to nobody but its server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

SERVICE = "acme.shop.v1.Shop"
WELL_KNOWN = ("google/protobuf/timestamp.proto", "google/protobuf/struct.proto")


@dataclass(frozen=True)
class Ordered:
    """One call that came."""

    request: dict[str, Any]
    metadata: dict[str, str]


def contract(*more: str) -> list[FileDescriptorProto]:
    """The contract in two files, with more fields of text in the request."""
    types = FileDescriptorProto(name="acme/types.proto", package="acme", syntax="proto3", dependency=WELL_KNOWN)
    line = types.message_type.add(name="Line")
    _field(line, "sku", FieldDescriptorProto.TYPE_STRING)
    _field(line, "count", FieldDescriptorProto.TYPE_INT32)
    shop = FileDescriptorProto(
        name="acme/shop.proto", package="acme.shop.v1", syntax="proto3", dependency=["acme/types.proto", *WELL_KNOWN]
    )
    request = shop.message_type.add(name="OrderRequest")
    _field(request, "id", FieldDescriptorProto.TYPE_STRING)
    _field(request, "line", FieldDescriptorProto.TYPE_MESSAGE, ".acme.Line")
    _field(request, "due", FieldDescriptorProto.TYPE_MESSAGE, ".google.protobuf.Timestamp")
    _field(request, "request_id", FieldDescriptorProto.TYPE_STRING)
    for name in more:
        _field(request, name, FieldDescriptorProto.TYPE_STRING)
    order = shop.message_type.add(name="Order")
    _field(order, "number", FieldDescriptorProto.TYPE_INT32)
    _field(order, "due", FieldDescriptorProto.TYPE_MESSAGE, ".google.protobuf.Timestamp")
    _field(order, "notes", FieldDescriptorProto.TYPE_MESSAGE, ".google.protobuf.Struct")
    service = shop.service.add(name="Shop")
    for name in ("Order", "Drop"):
        service.method.add(name=name, input_type=".acme.shop.v1.OrderRequest", output_type=".acme.shop.v1.Order")
    return [types, shop]


def _field(message: Any, name: str, kind: Any, type_name: str = "") -> None:
    message.field.add(
        name=name,
        number=len(message.field) + 1,
        type=kind,
        type_name=type_name or None,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )


def well_known() -> list[FileDescriptorProto]:
    files = []
    for name in WELL_KNOWN:
        file = FileDescriptorProto()
        descriptor_pool.Default().FindFileByName(name).CopyToProto(file)
        files.append(file)
    return files


def descriptor_set() -> bytes:
    """The contract as ``protoc -o`` writes it."""
    return FileDescriptorSet(file=[*well_known(), *contract()]).SerializeToString()


class Shop:
    """Answers every order with the number 7. Its contract can be changed as a new release changes it.

    Attributes:
        address: Where it is.
        orders: All calls that came.
    """

    address = ""

    def __init__(self) -> None:
        self.orders: list[Ordered] = []
        self._pool = DescriptorPool()
        self.release()

    def release(self, *more: str) -> None:
        self._pool = DescriptorPool()
        for file in (*well_known(), *contract(*more)):
            self._pool.Add(file)

    def __getattr__(self, name: str) -> Any:
        """What reflection looks for in a pool."""
        return getattr(self._pool, name)

    @property
    def _order(self) -> MethodDescriptor:
        return self._pool.FindServiceByName(SERVICE).methods_by_name["Order"]

    async def order(self, data: bytes, context: Any) -> Any:
        request: Any = message_factory.GetMessageClass(self._order.input_type).FromString(data)
        fields = {field.name: value for field, value in request.ListFields()}
        self.orders.append(Ordered(fields, dict(context.invocation_metadata())))
        answer: Any = message_factory.GetMessageClass(self._order.output_type)(number=7, due=request.due)
        answer.notes.update({"paid": True})
        return answer


@asynccontextmanager
async def serving_shop() -> AsyncIterator[Shop]:
    """Serves it, with reflection, on a free port of the loopback."""
    shop = Shop()
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        shop.order, response_serializer=lambda message: message.SerializeToString()
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Order": handler}),))
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(ReflectionServicer([SERVICE], shop), server)  # type: ignore[no-untyped-call]
    shop.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield shop
    finally:
        await server.stop(0)


@asynccontextmanager
async def serving_nothing() -> AsyncIterator[str]:
    """Serves a gRPC server without any service, and yields its address."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
