"""Resources, their findings and their revisions as messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from google.protobuf.field_mask_pb2 import FieldMask
from sutler import masks
from sutler.fields import descriptor_of
from sutler.resource.v1 import resource_pb2 as pb
from sutler.status import to_status
from sutler.wire import encoded_field, from_struct, seconds, timestamp, to_struct

from services.resource.problems import DOMAIN, Problem
from services.resource.resource import Declared, Lock, Resource

from google.rpc.status_pb2 import Status  # isort: skip


def to_message(resource: Resource, *, empty: bool = True, secrets: bool = False) -> pb.Resource:
    """Returns a resource as the API shows it.

    Args:
        resource: The resource.
        empty: Whether ``properties`` and ``outputs`` are set where they are empty.
        secrets: Whether it has its secrets; only handlers get them.
    """
    message = pb.Resource(
        name=resource.name,
        uid=resource.uid,
        etag=resource.etag if resource.revision else "",
        type=resource.type,
        provisioning_state=int(resource.state),  # type: ignore[arg-type]
        state_reason=resource.state_reason,
        reconciling=bool(resource.operation),
        operation=resource.operation,
        generation=resource.generation,
        observed_generation=resource.observed_generation,
        revision=resource.revision,
        creator=resource.creator,
        updater=resource.updater,
        stack=resource.stack,
    )
    set_declared(message, resource.declared if secrets else resource.declared.public)
    if empty or resource.outputs:
        message.outputs.CopyFrom(to_struct(resource.outputs))
    if resource.create_time:
        message.create_time.CopyFrom(timestamp(resource.create_time))
        message.update_time.CopyFrom(timestamp(resource.update_time))
    if resource.error is not None:
        message.error.CopyFrom(status(resource.error))
    for finding in resource.findings:
        message.findings.add(
            source=finding.source, rule=finding.rule, field=finding.field, message=finding.message[:1024]
        )
    return message


def set_declared(message: pb.Resource, declared: Declared) -> None:
    """Sets what is declared."""
    message.type_version = declared.type_version
    message.display_name = declared.display_name
    message.properties.CopyFrom(to_struct(declared.properties))
    message.tags.update(declared.tags)
    message.location = declared.location
    message.references.extend(declared.references)
    message.lock = int(declared.lock)  # type: ignore[assignment]
    if declared.expire_time is not None:
        message.expire_time.CopyFrom(timestamp(declared.expire_time))


def to_declared(message: pb.Resource) -> Declared:
    """Returns what a message declares."""
    return Declared(
        type_version=message.type_version,
        display_name=message.display_name,
        properties=from_struct(message.properties),
        tags=dict(message.tags),
        location=message.location,
        references=tuple(message.references),
        expire_time=seconds(message.expire_time) if message.HasField("expire_time") else None,
        lock=Lock(message.lock),
    )


def created(message: pb.Resource) -> Callable[[Resource | None], Declared]:
    """Returns what gives the declaration of a Create."""
    return lambda _: to_declared(message)


def updated(message: pb.Resource, mask: FieldMask | None) -> Callable[[Resource | None], Declared]:
    """Returns what merges an Update onto a resource, or onto none; names and types count ignoring case."""

    def onto(before: Resource | None) -> Declared:
        sent = pb.Resource()
        sent.CopyFrom(message)
        stored = pb.Resource(name=sent.name, type=sent.type) if before is None else to_message(before, secrets=True)
        sent.name = stored.name
        if sent.type.lower() == stored.type.lower():
            sent.type = stored.type
        return to_declared(masks.merge(stored, sent, mask, below="resource"))

    return onto


def with_resources(rest: pb.ListResourcesResponse | pb.BatchGetResourcesResponse, resources: Iterable[bytes]) -> bytes:
    """Returns a serialised response: the resources as they are stored, and the rest of it."""
    number = rest.RESOURCES_FIELD_NUMBER
    return b"".join(encoded_field(number, resource) for resource in resources) + rest.SerializeToString()


def masked(mask: FieldMask | None) -> Callable[[bytes], bytes]:
    """Returns what leaves of a serialised resource only the fields that a read mask names, and the name.

    Raises:
        Invalid: If a path of the mask is no field of a resource (FIELD_INVALID).
    """
    paths = set(mask.paths) if mask is not None else set()
    if not paths or "*" in paths:
        return lambda stored: stored
    for path in sorted(paths):
        masks.resolve(descriptor_of(pb.Resource()), path, mask="read_mask", reason="FIELD_INVALID")
    dropped = set(pb.Resource.DESCRIPTOR.fields_by_name) - paths - {"name"}

    def show(stored: bytes) -> bytes:
        message = pb.Resource.FromString(stored)
        for field in dropped:
            message.ClearField(field)  # type: ignore[arg-type]
        return message.SerializeToString()

    return show


def status(problem: Problem, correlation_id: str = "") -> Status:
    """Returns an error as a status with details."""
    return to_status(problem.error(), DOMAIN, correlation_id)
