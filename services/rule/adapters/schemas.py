"""What is known of the methods of services: from the contracts, from descriptor sets, or by asking their servers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from sutler.client import Sutler
from sutler.contracts import modules
from sutler.errors import FailedPrecondition

from services.rule.adapters.reflecting import pool_of, reflect
from services.rule.adapters.targets import Place, Target


class Schemas:
    """Finds methods.

    Args:
        targets: The targets, whose descriptor sets are read here.
        connections: A connection for each place.

    Raises:
        FailedPrecondition: If a descriptor set cannot be read.
    """

    def __init__(self, targets: Mapping[str, Target], connections: Mapping[Place, Sutler]) -> None:
        modules()
        self._connections = connections
        self._sets = {target.descriptors: _read(target.descriptors) for target in targets.values()}
        self._told: dict[tuple[str, str], ServiceDescriptor] = {}

    def of_contracts(self, service: str) -> ServiceDescriptor | None:
        """Returns a service of the contracts; None if there is none of this name."""
        return _service(descriptor_pool.Default(), service)

    async def find(self, target: Target, method: str) -> MethodDescriptor | None:
        """Returns a unary method; None if the target has none of this name.

        Raises:
            Unavailable: If its server cannot be asked (DEPENDENCY_UNAVAILABLE).
        """
        service, _, name = method.partition("/")
        found = await self._find(target, service)
        if found is None or name not in found.methods_by_name:
            return None
        descriptor = found.methods_by_name[name]
        return None if descriptor.client_streaming or descriptor.server_streaming else descriptor

    def forget(self, target: Target, method: str) -> bool:
        """Lets a server be asked anew, and returns whether it was asked before."""
        return self._told.pop((target.address, method.partition("/")[0]), None) is not None

    async def _find(self, target: Target, service: str) -> ServiceDescriptor | None:
        known = self.of_contracts(service)
        if known is not None:
            return known
        pool = self._sets[target.descriptors]
        if pool is not None:
            return _service(pool, service)
        place = (target.address, service)
        if place not in self._told:
            told = await reflect(self._connections[target.place], target.address, service)
            found = _service(told, service) if told else None
            if found is None:
                return None
            self._told[place] = found
        return self._told[place]


def _service(pool: DescriptorPool, service: str) -> ServiceDescriptor | None:
    try:
        return pool.FindServiceByName(service)
    except KeyError:
        return None


def _read(path: str) -> DescriptorPool | None:
    """Returns what a descriptor set says; None if no file is named."""
    if not path:
        return None
    try:
        files = FileDescriptorSet.FromString(Path(path).read_bytes()).file
        return pool_of({file.name: file for file in files})
    except (OSError, DecodeError, TypeError) as error:
        raise FailedPrecondition(
            f"the descriptor set {path} cannot be read: {error}; make it with protoc --include_imports -o",
            metadata={"setting": "targets"},
        ) from error
