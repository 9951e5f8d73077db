"""Resource types as messages."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from sutler import masks
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import duration, from_struct, seconds, timestamp, to_struct

from services.resource.names import parent_type
from services.resource.resource_type import (
    Action,
    Handler,
    Json,
    Kind,
    Normalization,
    ResourceType,
    Rule,
    Version,
)
from services.resource.scopes import Scope

from google.protobuf.struct_pb2 import Struct  # isort: skip


def to_message(type: ResourceType) -> pb.ResourceType:
    """Returns a type as the API shows it."""
    message = pb.ResourceType(
        name=type.name,
        uid=type.uid,
        etag=type.etag,
        type=type.type,
        parent_type=parent_type(type.type),
        display_name=type.display_name,
        description=type.description,
        versions=[_version(version) for version in type.versions],
        default_version=type.default_version,
        uniqueness_scopes=[int(scope) for scope in type.uniqueness_scopes],  # type: ignore[misc]
        allowed_scopes=[int(scope) for scope in type.allowed_scopes],  # type: ignore[misc]
        actions=[_action(action) for action in type.actions],
        builtin=type.builtin,
        creator=type.creator,
        updater=type.updater,
    )
    if type.create_time:
        message.create_time.CopyFrom(timestamp(type.create_time))
        message.update_time.CopyFrom(timestamp(type.update_time))
    if type.handler is not None:
        message.handler.CopyFrom(_handler(type.handler))
    return message


def from_message(message: pb.ResourceType) -> ResourceType:
    """Returns the fields of a type that a caller can write; the rest is empty."""
    return ResourceType(
        tenant="",
        type=message.type,
        display_name=message.display_name,
        description=message.description,
        versions=tuple(_to_version(version) for version in message.versions),
        default_version=message.default_version,
        uniqueness_scopes=tuple(Scope(scope) for scope in message.uniqueness_scopes),
        allowed_scopes=tuple(Scope(scope) for scope in message.allowed_scopes),
        handler=_to_handler(message.handler) if message.HasField("handler") else None,
        actions=tuple(_to_action(action) for action in message.actions),
    )


def created(message: pb.ResourceType) -> Callable[[ResourceType | None], ResourceType]:
    """Returns what gives the type of a Create."""
    return lambda _: from_message(message)


def updated(message: pb.ResourceType, mask: FieldMask | None) -> Callable[[ResourceType | None], ResourceType]:
    """Returns what merges an Update onto a type, or onto none; types count ignoring case."""

    def onto(before: ResourceType | None) -> ResourceType:
        sent = pb.ResourceType()
        sent.CopyFrom(message)
        if before is None:
            stored = pb.ResourceType(name=sent.name, type=sent.type, parent_type=sent.parent_type)
        else:
            stored = to_message(before)
        sent.name = stored.name
        for field in ("type", "parent_type"):
            if getattr(sent, field).lower() == getattr(stored, field).lower():
                setattr(sent, field, getattr(stored, field))
        return from_message(masks.merge(stored, sent, mask, below="resource_type"))

    return onto


def _version(version: Version) -> pb.TypeVersion:
    message = pb.TypeVersion(
        version=version.version,
        rules=[
            pb.TypeRule(id=rule.id, expression=rule.expression, message=rule.message, field=rule.field)
            for rule in version.rules
        ],
        normalizations=[
            pb.Normalization(field=normalization.field, kind=int(normalization.kind))  # type: ignore[arg-type]
            for normalization in version.normalizations
        ],
        immutable_fields=version.immutable_fields,
        retired=version.retired,
    )
    _set(message.schema, version.schema)
    _set(message.output_schema, version.output_schema)
    return message


def _to_version(message: pb.TypeVersion) -> Version:
    return Version(
        version=message.version,
        schema=from_struct(message.schema) if message.HasField("schema") else None,
        output_schema=from_struct(message.output_schema) if message.HasField("output_schema") else None,
        rules=tuple(Rule(rule.id, rule.expression, rule.message, rule.field) for rule in message.rules),
        normalizations=tuple(
            Normalization(normalization.field, Kind(normalization.kind)) for normalization in message.normalizations
        ),
        immutable_fields=tuple(message.immutable_fields),
        retired=message.retired,
    )


def _action(action: Action) -> pb.TypeAction:
    message = pb.TypeAction(id=action.id, description=action.description)
    _set(message.parameter_schema, action.parameter_schema)
    _set(message.result_schema, action.result_schema)
    return message


def _to_action(message: pb.TypeAction) -> Action:
    return Action(
        id=message.id,
        description=message.description,
        parameter_schema=from_struct(message.parameter_schema) if message.HasField("parameter_schema") else None,
        result_schema=from_struct(message.result_schema) if message.HasField("result_schema") else None,
    )


def _handler(handler: Handler) -> pb.TypeHandler:
    message = pb.TypeHandler(max_attempts=handler.max_attempts, max_concurrency=handler.max_concurrency)
    if handler.plugin:
        message.plugin.plugin = handler.plugin
    elif handler.address:
        message.remote.address = handler.address
    else:
        message.record.SetInParent()
    for name in ("timeout", "idle_timeout", "min_backoff", "max_backoff"):
        length = getattr(handler, name)
        if length is not None:
            getattr(message, name).CopyFrom(duration(length))
    return message


def _to_handler(message: pb.TypeHandler) -> Handler:
    def length(name: str) -> float | None:
        field: Duration = getattr(message, name)
        return seconds(field) if message.HasField(name) else None  # type: ignore[arg-type]

    return Handler(
        plugin=message.plugin.plugin,
        address=message.remote.address,
        timeout=length("timeout"),
        idle_timeout=length("idle_timeout"),
        max_attempts=message.max_attempts,
        min_backoff=length("min_backoff"),
        max_backoff=length("max_backoff"),
        max_concurrency=message.max_concurrency,
    )


def _set(field: Struct, schema: Json | None) -> None:
    if schema is not None:
        field.CopyFrom(to_struct(schema))
