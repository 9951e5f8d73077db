"""Long-running operations (AIP-151; contracts.md, Operations)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.contract.descriptors import OPERATION, Contracts, Method, Service, methods, routed_methods, services
from tests.contract.rule import rules
from tests.contract.standard import is_about_operations
from tests.contract.templates import flatten
from tests.contract.words import area

METADATA = "sutler.type.v1.OperationMetadata"
LRO = "google.longrunning."
# RPC → request, response, server stream
OPERATION_RPCS = {
    "GetOperation": (f"{LRO}GetOperationRequest", OPERATION, False),
    "ListOperations": (f"{LRO}ListOperationsRequest", f"{LRO}ListOperationsResponse", False),
    "CancelOperation": (f"{LRO}CancelOperationRequest", "google.protobuf.Empty", False),
    "WaitOperation": (f"{LRO}WaitOperationRequest", OPERATION, False),
    "WatchOperation": ("sutler.type.v1.WatchOperationRequest", "sutler.type.v1.WatchOperationResponse", True),
}


def operation_rpcs_are_complete(service: Service, _: Contracts) -> Iterator[str]:
    """A service with operations offers Get, List, Cancel, Wait and Watch for them."""
    by_name = {method.name: method for method in service.methods}
    if not any(method.output == OPERATION or method.name in OPERATION_RPCS for method in service.methods):
        return
    for name, (request, response, stream) in OPERATION_RPCS.items():
        method = by_name.get(name)
        if not method:
            yield f"has operations, but no {name}"
        elif (method.input, method.output) != (request, response) or method.server_stream is not stream:
            yield f"{name} is not ({request}) returns ({'stream ' if stream else ''}{response})"


def operation_info(method: Method, contracts: Contracts) -> Iterator[str]:
    """An RPC that answers an Operation says what it ends with, and that its metadata are ours."""
    if method.output != OPERATION or is_about_operations(method):
        return
    if not method.operation_info:
        yield "has no google.longrunning.operation_info"
        return
    response, metadata = method.operation_info
    if response not in contracts.messages and f"{method.package}.{response}" not in contracts.messages:
        yield f"its operation answers {response!r}, which is no message"
    if metadata != METADATA:
        yield f"its operation has metadata {metadata!r}, not {METADATA}"


def operation_collection(method: Method, _: Contracts) -> Iterator[str]:
    """REST paths of operations lie under `/v1/<area>Operations`, so that services do not collide."""
    expected = f"{area(method.package)}Operations"
    for binding in method.bindings:
        segments = flatten(binding.path).segments
        inside = segments[1:2] == (expected,)
        if is_about_operations(method) and not inside:
            yield f"{binding.path} is not under /v1/{expected}"
        if not is_about_operations(method) and any(segment.endswith("Operations") for segment in segments):
            yield f"{binding.path} uses a collection of operations"


RULES = [
    *rules(services, operation_rpcs_are_complete),
    *rules(methods, operation_info),
    *rules(routed_methods, operation_collection),
]
