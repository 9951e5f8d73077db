"""What lists can be filtered and ordered by, and the same fields of an object for page tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from sutler.filtering import Field, Kind, Schema
from sutler.paging import Order

from services.erp import connections, journal
from services.erp.connections import Connection
from services.erp.journal import Entry
from services.erp.schemas import Model
from services.erp.subscriptions import Subscription


def _spec(kind: Kind, *path: str) -> Field:
    return Field(kind, "spec", json=path)


def _states(kind: type[StrEnum], prefix: str) -> Mapping[str, str]:
    """Returns by the names of the contract what is stored for an enum."""
    return {f"{prefix}{one.name}": str(one) for one in kind}


CONNECTIONS = Schema(
    {
        "name": Field(Kind.STRING, "name", required=True),
        "uid": Field(Kind.STRING, "uid", required=True),
        "create_time": Field(Kind.TIME, "create_time", required=True),
        "update_time": Field(Kind.TIME, "update_time", required=True),
        "creator": Field(Kind.STRING, "creator", required=True),
        "state": Field(Kind.ENUM, "state", values=_states(connections.State, "STATE_")),
        "state_reason": Field(Kind.STRING, "state_reason"),
        "state_update_time": Field(Kind.TIME, "state_time"),
        "server_version": Field(Kind.STRING, "server_version"),
        "display_name": _spec(Kind.STRING, "display_name"),
        "driver": _spec(Kind.STRING, "driver"),
        "url": _spec(Kind.STRING, "url"),
        "database": _spec(Kind.STRING, "database"),
        "username": _spec(Kind.STRING, "username"),
        "max_concurrency": _spec(Kind.INT, "max_concurrency"),
        "max_login_rate": _spec(Kind.INT, "max_login_rate"),
        "require_user_mapping": _spec(Kind.BOOL, "require_user_mapping"),
        "skip_certificate_check": _spec(Kind.BOOL, "skip_certificate_check"),
        "disabled": _spec(Kind.BOOL, "disabled"),
        "driver_options": _spec(Kind.OPEN, "driver_options"),
    }
)

SUBSCRIPTIONS = Schema(
    {
        "name": Field(Kind.STRING, "name", required=True),
        "uid": Field(Kind.STRING, "uid", required=True),
        "create_time": Field(Kind.TIME, "create_time", required=True),
        "update_time": Field(Kind.TIME, "update_time", required=True),
        "creator": Field(Kind.STRING, "creator", required=True),
        "event_count": Field(Kind.INT, "event_count", required=True),
        "model": _spec(Kind.STRING, "model"),
        "filter": _spec(Kind.STRING, "filter"),
        "entity": _spec(Kind.STRING, "entity"),
        "fields": _spec(Kind.STRING_LIST, "fields"),
        "event_target": _spec(Kind.STRING, "event_target"),
        "max_event_rate": _spec(Kind.INT, "max_event_rate"),
        "replay_existing": _spec(Kind.BOOL, "replay_existing"),
        "disabled": _spec(Kind.BOOL, "disabled"),
    }
)

TRANSACTIONS = Schema(
    {
        "name": Field(Kind.STRING, "name", required=True),
        "uid": Field(Kind.STRING, "uid", required=True),
        "create_time": Field(Kind.TIME, "create_time", required=True),
        "update_time": Field(Kind.TIME, "update_time", required=True),
        "end_time": Field(Kind.TIME, "end_time"),
        "state": Field(Kind.ENUM, "state", values=_states(journal.State, "STATE_")),
        "method": Field(Kind.STRING, "method", required=True),
        "creator": Field(Kind.STRING, "creator", required=True),
        "username": Field(Kind.STRING, "username", required=True),
        "request_id": Field(Kind.STRING, "request_id", required=True),
        "correlation_id": Field(Kind.STRING, "correlation_id", required=True),
    }
)

MODELS = Schema(
    {
        "model": Field(Kind.STRING, "model", required=True),
        "display_name": Field(Kind.STRING, "display_name"),
        "description": Field(Kind.STRING, "description"),
        "temporary": Field(Kind.BOOL, "temporary"),
        "modules": Field(Kind.STRING_LIST, "modules"),
        "archive_field": Field(Kind.STRING, "archive_field"),
    }
)

BY_NAME = (Order("name"),)
NEWEST_FIRST = (Order("create_time", descending=True), Order("name"))
BY_MODEL = (Order("model"),)


def connection_fields(one: Connection) -> dict[str, Any]:
    """Returns the fields of a connection as its filter knows them."""
    condition = one.condition
    return asdict(one.spec) | {
        "name": one.name,
        "uid": one.uid,
        "create_time": one.create_time,
        "update_time": one.update_time,
        "creator": one.creator,
        "state": str(condition.state),
        "state_reason": condition.reason,
        "state_update_time": condition.since,
        "server_version": condition.server_version,
    }


def subscription_fields(one: Subscription) -> dict[str, Any]:
    """Returns the fields of a subscription as its filter knows them."""
    return asdict(one.spec) | {
        "name": one.name,
        "uid": one.uid,
        "create_time": one.create_time,
        "update_time": one.update_time,
        "creator": one.creator,
        "event_count": one.event_count,
    }


def transaction_fields(one: Entry) -> dict[str, Any]:
    """Returns the fields of a transaction as its filter knows them."""
    return asdict(one) | {"name": one.name, "state": str(one.state)}


def model_fields(one: Model) -> dict[str, Any]:
    """Returns the fields of a model as its filter knows them."""
    return asdict(one) | {"modules": list(one.modules)}
