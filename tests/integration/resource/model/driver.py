"""Between the model and the contract: wishes and types as messages, and what the service shows as the model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.longrunning.operations_pb2 import Operation
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import from_struct, to_struct

from tests.integration.resource.model.rulings import RULINGS, Ruling
from tests.integration.resource.model.stacks import Piece
from tests.integration.resource.model.things import RULES, Json, Kind, Wish

FUTURE = 4_000_000_000
PATHS = {"expires": "expire_time", "version": "type_version"}
SCHEMA = {"size": {"type": "integer", "default": 1}, "tier": {"type": "string", "default": "a"}}
ACTION: Mapping[str, Any] = {"type": "object", "properties": {"behave": {}}, "additionalProperties": False}


def resource(wish: Wish, soon: Timestamp | None = None, **fields: Any) -> pb.Resource:
    """A wish as a message; ``soon`` is when it expires where it is to be gone at once."""
    message = pb.Resource(tags=wish.tags, references=wish.references, type_version=wish.version, **fields)
    if wish.properties:
        message.properties.CopyFrom(to_struct(wish.properties))
    if wish.lock:
        message.lock = pb.Resource.Lock.Value(f"LOCK_{wish.lock}")
    if wish.expires == "future":
        message.expire_time.FromSeconds(FUTURE)
    elif wish.expires and soon is not None:
        message.expire_time.CopyFrom(soon)
    return message


def mask_of(mask: tuple[str, ...] | None) -> FieldMask | None:
    """An update mask of the model's field names."""
    return None if mask is None else FieldMask(paths=[PATHS.get(name, name) for name in mask])


def update(name: str, wish: Wish, mask: tuple[str, ...] | None, **fields: Any) -> pb.UpdateResourceRequest:
    """The request for an update."""
    message = resource(
        wish, fields.pop("soon", None), name=name, type=fields.pop("type", ""), etag=fields.pop("etag", "")
    )
    return pb.UpdateResourceRequest(resource=message, update_mask=mask_of(mask), **fields)


def resource_type(kind: Kind, handler: str) -> pb.ResourceType:
    """A type as a message; a handled one is made real at an address."""
    message = pb.ResourceType(
        name=f"resourceTypes/{kind.type.replace('/', '.')}",
        versions=[_version(kind, index) for index in range(len(kind.versions))],
        uniqueness_scopes=sorted(kind.scopes),
        allowed_scopes=sorted(kind.allowed),
    )
    if kind.handled:
        message.handler.remote.address = handler
        message.actions.add(id="restart", parameter_schema=to_struct(ACTION))
    return message


def _version(kind: Kind, index: int) -> pb.TypeVersion:
    version = kind.versions[index]
    size = {**SCHEMA["size"], "maximum": version.maximum}
    return pb.TypeVersion(
        version=version.name,
        schema=to_struct({"type": "object", "properties": {**SCHEMA, "size": size}}),
        rules=[pb.TypeRule(id=rule, expression=RULES[rule].expression, message=rule) for rule in version.rules],
        normalizations=[
            pb.Normalization(field="properties.label", kind=pb.Normalization.KIND_TRIM),
            pb.Normalization(field="properties.label", kind=pb.Normalization.KIND_LOWER_CASE),
        ],
        immutable_fields=["properties.tier"],
        retired=version.retired,
    )


def shown(message: pb.Resource) -> Json:
    """What the service shows of a resource, as :func:`tests.integration.resource.model.lives.shown` writes it."""
    expires = "future" if message.expire_time.seconds == FUTURE else "past"
    return {
        "type": message.type,
        "properties": from_struct(message.properties),
        "tags": dict(message.tags),
        "references": tuple(message.references),
        "lock": pb.Resource.Lock.Name(message.lock).removeprefix("LOCK_") if message.lock else "",
        "expires": expires if message.HasField("expire_time") else "",
        "version": message.type_version,
        "state": pb.Resource.State.Name(message.provisioning_state).removeprefix("STATE_"),
        "reason": message.state_reason,
        "outputs": from_struct(message.outputs),
        "generation": message.generation,
        "observed": message.observed_generation,
        "reconciling": message.reconciling,
        "findings": tuple((finding.source, finding.rule) for finding in message.findings),
        "stack": message.stack,
    }


def policy(ids: Sequence[str], **more: Any) -> Json:
    """The properties of a policy with these rules."""
    return {"rules": [_ruling(id, RULINGS[id]) for id in ids], **more}


def _ruling(id: str, ruling: Ruling) -> Json:
    sets = {"field": ruling.field, "value": ruling.value} if ruling.effect == "SET_DEFAULT" else {}
    return {"id": id, "condition": ruling.condition, "effect": f"EFFECT_{ruling.effect}", **sets}


def stack(name: str, scope: str, pieces: Sequence[Piece], policy: str, etag: str = "") -> pb.Stack:
    """A stack as a message."""
    value = pb.Stack.FailurePolicy.Value(f"FAILURE_POLICY_{policy}")
    return pb.Stack(name=name, scope=scope, members=map(_member, pieces), failure_policy=value, etag=etag)


def _member(piece: Piece) -> pb.StackMember:
    label = {"label": f"${{members.{piece.label[0]}.{piece.label[1]}}}"} if piece.label else {}
    return pb.StackMember(
        id=piece.id,
        type=piece.type,
        parent=f"${{members.{piece.within}.name}}" if piece.within else piece.parent,
        properties=to_struct({**piece.properties, **label}),
        tags=piece.tags,
        dependencies=piece.needs,
        keep=piece.keep,
        lock=pb.Resource.Lock.Value(f"LOCK_{piece.lock or 'UNSPECIFIED'}"),
    )


def stack_shown(message: pb.Stack) -> Json:
    """What the service shows of a stack, as :meth:`tests.integration.resource.model.Stack.shown` writes it."""
    return {
        "scope": message.scope.lower(),
        "state": pb.Stack.State.Name(message.state).removeprefix("STATE_"),
        "error": _reason(message.error),
        "busy": bool(message.operation),
        "members": sorted(
            (
                state.member,
                state.resource.lower(),
                pb.StackMemberState.State.Name(state.state).removeprefix("STATE_"),
                _reason(state.error),
            )
            for state in message.member_states
        ),
    }


def _reason(status: Status) -> str:
    """The reason of an error; empty for none."""
    info = ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return info.reason
    return ""


def kind_shown(message: pb.ResourceType) -> Json:
    """What is compared of a registered type."""
    return {
        "versions": [
            (version.version, [rule.id for rule in version.rules], version.retired) for version in message.versions
        ],
        "scopes": set(message.uniqueness_scopes),
        "allowed": set(message.allowed_scopes),
    }


def ended_with(operation: Operation) -> str:
    """The reason of the error with which an operation has ended; empty for success."""
    return _reason(operation.error)


def altered(request: Any) -> Any:
    """The same request with another body and the same id."""
    other = type(request)()
    other.CopyFrom(request)
    for field in ("resource", "resource_type", "stack"):
        if hasattr(other, field):
            getattr(other, field).display_name += "other"
            return other
    if hasattr(other, "allow_missing"):
        other.allow_missing = not other.allow_missing
    elif hasattr(other, "etag"):
        other.etag += "other"
    else:
        other.name = "resourceOperations/00000000-0000-4000-8000-000000000000"
    return other
