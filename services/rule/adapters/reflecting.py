"""Asks servers for their services by server reflection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2
from sutler.client import Sutler
from sutler.errors import SutlerError, Unavailable, Unimplemented

REFLECTION_SECONDS = 5.0
MAX_FILES = 1000

_PROTOCOLS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
"""Their messages are the same on the wire."""

_NOT_FOUND = grpc.StatusCode.NOT_FOUND.value[0]


async def reflect(connection: Sutler, address: str, service: str) -> DescriptorPool | None:
    """Returns the types of a service as its server tells them; None if it has no such service.

    Args:
        connection: To the server.
        address: Where that is, for errors.
        service: The full name of the service.

    Raises:
        Unavailable: If the server cannot be asked, or what it tells is of no use (DEPENDENCY_UNAVAILABLE).
    """
    try:
        for protocol in _PROTOCOLS:
            try:
                files = await _files(_stub(connection, protocol), service)
                return pool_of(files) if files else None
            except Unimplemented:
                continue
    except (SutlerError, TypeError) as error:
        raise _silent(address, service, f"does not tell its methods: {error}") from error
    raise _silent(address, service, "has no server reflection; name a descriptor set in SUTLER_RULE_TARGETS")


def pool_of(files: Mapping[str, FileDescriptorProto]) -> DescriptorPool:
    """Returns a pool of files, by name.

    Raises:
        TypeError: If they do not fit together.
    """
    pool = DescriptorPool()
    added: set[str] = set()

    def add(name: str) -> None:
        if name in added:
            return
        added.add(name)
        file = files.get(name) or _well_known(name)
        if file is None:
            raise TypeError(f"the file {name} is missing")
        for needed in file.dependency:
            add(needed)
        pool.AddSerializedFile(file.SerializeToString())

    for name in files:
        add(name)
    return pool


async def _files(stub: Any, service: str) -> dict[str, FileDescriptorProto]:
    """Returns the file of a service, and all that it needs; none if there is no such service."""
    files: dict[str, FileDescriptorProto] = {}
    asked = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=service)]
    while asked:
        async for answer in stub.ServerReflectionInfo(_each(asked), timeout=REFLECTION_SECONDS):
            if answer.HasField("error_response"):
                if not files and answer.error_response.error_code == _NOT_FOUND:
                    return {}
                raise TypeError(answer.error_response.error_message)
            for content in answer.file_descriptor_response.file_descriptor_proto:
                file = FileDescriptorProto.FromString(content)
                files[file.name] = file
        missing = _missing(files.values(), files)
        if len(files) + len(missing) > MAX_FILES:
            raise TypeError(f"its types are in more than {MAX_FILES} files")
        asked = [reflection_pb2.ServerReflectionRequest(file_by_filename=name) for name in missing]
    return files


def _missing(files: Iterable[FileDescriptorProto], known: Mapping[str, Any]) -> list[str]:
    needed = dict.fromkeys(name for file in files for name in file.dependency)
    return [name for name in needed if name not in known and _well_known(name) is None]


def _well_known(name: str) -> FileDescriptorProto | None:
    if not name.startswith("google/protobuf/"):
        return None
    try:
        found = descriptor_pool.Default().FindFileByName(name)
    except KeyError:
        return None
    return FileDescriptorProto.FromString(found.serialized_pb)


async def _each(requests: Sequence[Any]) -> AsyncIterator[Any]:
    for request in requests:
        yield request


def _stub(connection: Sutler, protocol: str) -> Any:
    service = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]

    def raw(channel: grpc.aio.Channel) -> SimpleNamespace:
        return SimpleNamespace(
            ServerReflectionInfo=channel.stream_stream(
                f"/{protocol}/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )
        )

    return connection.stub(service, raw)


def _silent(address: str, service: str, what: str) -> Unavailable:
    return Unavailable(f"{service} at {address} {what}", metadata={"dependency": service, "address": address})
