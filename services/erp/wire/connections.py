"""Connections on the wire."""

from __future__ import annotations

from pydantic import TypeAdapter
from sutler.erp.v1 import erp_pb2
from sutler.wire import duration, timestamp

from services.erp.administration import Checked
from services.erp.connections import Connection, ConnectionSpec, ErpContext, UserMapping, secret_slot
from services.erp.ports import DriverInfo
from services.erp.wire.plain import fill, to_plain

SPEC = TypeAdapter(ConnectionSpec)
CONTEXT = TypeAdapter(ErpContext)


def connection(one: Connection) -> erp_pb2.Connection:
    """Returns a connection, without its secrets."""
    message = fill(erp_pb2.Connection(), one.spec)
    message.name = one.name
    message.uid = one.uid
    message.etag = one.etag
    message.display_name = one.spec.display_name or one.id
    message.create_time.CopyFrom(timestamp(one.create_time))
    message.update_time.CopyFrom(timestamp(one.update_time))
    condition = one.condition
    message.state = erp_pb2.Connection.State.Value(f"STATE_{condition.state}")
    message.state_reason = condition.reason
    message.state_update_time.CopyFrom(timestamp(condition.since))
    message.server_version = condition.server_version
    if condition.clock_skew is not None:
        message.clock_skew.CopyFrom(duration(condition.clock_skew))
    message.creator = one.creator
    return message


def stored(one: Connection) -> erp_pb2.Connection:
    """Returns a connection as an update is merged into it: with nothing in it that was not set."""
    message = connection(one)
    message.display_name = one.spec.display_name
    return message


def settings(message: erp_pb2.Connection) -> tuple[ConnectionSpec, dict[str, str]]:
    """Returns what a caller decides about a connection, and the secrets that came with it by slot."""
    spec = SPEC.validate_python(to_plain(message))
    secrets = {secret_slot(): message.secret} if message.secret else {}
    for mapping in message.user_mappings:
        if mapping.secret:
            secrets[secret_slot(UserMapping(caller=mapping.caller, username=mapping.username))] = mapping.secret
    return spec, secrets


def context(message: erp_pb2.ErpContext) -> ErpContext:
    """Returns language, time zone and companies."""
    return CONTEXT.validate_python(to_plain(message))


def checked(found: Checked) -> erp_pb2.CheckConnectionResponse:
    """Returns what a check found."""
    message = fill(erp_pb2.CheckConnectionResponse(), _Without(found))
    message.connection.CopyFrom(connection(found.connection))
    return message


class _Without:
    """What a check found, without the connection, which has a form of its own."""

    def __init__(self, found: Checked) -> None:
        self.server_version = found.server_version
        self.latency = found.latency
        self.login_latency = found.login_latency
        self.clock_skew = found.clock_skew
        self.user = found.user
        self.rights = found.rights
        self.databases = found.databases


def driver(info: DriverInfo) -> erp_pb2.Driver:
    """Returns what a driver says of itself."""
    return fill(erp_pb2.Driver(), info)
