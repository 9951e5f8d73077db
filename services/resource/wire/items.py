"""Messages as plain data, for filters: times as seconds, enums by their names without prefix."""

from __future__ import annotations

from typing import Any

from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import from_struct, seconds

Item = dict[str, Any]

_PLAIN = (
    *("name", "uid", "etag", "type", "type_version", "display_name", "location", "state_reason", "operation"),
    *("creator", "updater", "stack", "generation", "observed_generation", "revision", "reconciling"),
)


def item(message: pb.Resource) -> dict[str, Any]:
    """Returns a resource as filters see it."""
    found: dict[str, Any] = {name: getattr(message, name) for name in _PLAIN}
    found |= {
        "properties": from_struct(message.properties),
        "outputs": from_struct(message.outputs),
        "tags": dict(message.tags),
        "references": list(message.references),
        "provisioning_state": pb.Resource.State.Name(message.provisioning_state).removeprefix("STATE_"),
        "findings": [{"source": f.source, "rule": f.rule, "message": f.message} for f in message.findings],
    }
    if message.lock:
        found["lock"] = pb.Resource.Lock.Name(message.lock).removeprefix("LOCK_")
    for name in ("create_time", "update_time", "expire_time"):
        if message.HasField(name):
            found[name] = seconds(getattr(message, name))
    if message.HasField("error"):
        found["error"] = {"code": message.error.code, "message": message.error.message, "reason": message.state_reason}
    return found
