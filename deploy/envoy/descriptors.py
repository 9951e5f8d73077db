"""What the gateway must know of the contracts: which services it serves, read from the descriptor set."""

from __future__ import annotations

from pathlib import Path

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet, ServiceDescriptorProto

DESCRIPTORS = Path(__file__).resolve().parents[2] / ".build/sutler.binpb"


def gateway_services(path: Path = DESCRIPTORS) -> dict[str, str]:
    """Returns the services with REST bindings, full name to area. The others are for services to call, not for people.

    Raises:
        FileNotFoundError: If the descriptor set is not there; ``make gen`` writes it.
    """
    files = FileDescriptorSet.FromString(path.read_bytes()).file
    return {
        f"{file.package}.{service.name}": file.package.split(".")[1]
        for file in files
        if file.package.startswith("sutler.")
        for service in file.service
        if _has_rest(service)
    }


def _has_rest(service: ServiceDescriptorProto) -> bool:
    return any(method.options.HasExtension(annotations_pb2.http) for method in service.method)  # type: ignore[arg-type]
