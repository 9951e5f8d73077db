"""What lists and watches can be filtered and ordered by: the fields of the contract, and where they are stored."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from sutler.filtering import Field, Kind, Schema
from sutler.paging import Order

from services.provider.cost.prices import PriceType, Source
from services.provider.machines import MachineState
from services.provider.providers import ProviderState
from services.provider.requests import RequestKind, RequestState


def _column(kind: Kind, column: str, *, required: bool = False) -> Field:
    return Field(kind, column, required=required)


def _enum(kind: type[IntEnum], prefix: str, *, column: str = "", key: str = "") -> Field:
    values = {f"{prefix}_{value.name}": int(value) for value in kind}
    return Field(Kind.ENUM, column or "body", () if column else (key,), values, required=bool(column))


def _body(kind: Kind, paths: Iterable[str]) -> dict[str, Field]:
    return {path: Field(kind, "body", tuple(path.split("."))) for path in paths}


_NAME = {"name": _column(Kind.STRING, "name", required=True)}
_TIMES = ("create_time", "update_time")


def _money(path: str) -> dict[str, Field]:
    """Returns the fields of an amount of money."""
    return {
        f"{path}.currency_code": Field(Kind.STRING, "body", (path, "currency")),
        **_body(Kind.INT, (f"{path}.units", f"{path}.nanos")),
    }


PROVIDERS = Schema(
    {
        **_NAME,
        "type": _column(Kind.STRING, "type", required=True),
        "state": _enum(ProviderState, "STATE", key="state"),
        **_body(Kind.STRING, ("uid", "display_name", "state_reason")),
        **_body(Kind.STRING_LIST, ("regions",)),
        **_body(Kind.BOOL, ("enabled",)),
        **_body(Kind.INT, ("priority", "weight", "max_machines")),
        **_body(Kind.TIME, (*_TIMES, "check_time", "reconcile_time")),
        **_body(Kind.OPEN, ("config",)),
    }
)

TEMPLATES = Schema(
    {
        **_NAME,
        "provider": _column(Kind.STRING, "provider", required=True),
        **_body(Kind.STRING, ("uid", "display_name", "description", "provider_type", "api")),
        **_body(Kind.STRING, ("process.working_directory", "process.stop_signal")),
        **_body(Kind.STRING_LIST, ("regions", "process.command")),
        **_body(Kind.STRING_MAP, ("tags", "process.environment")),
        **_body(Kind.INT, ("max_machines", "max_count")),
        **_money("max_price"),
        **_money("max_total_price"),
        **_body(Kind.TIME, _TIMES),
        **_body(Kind.DURATION, ("lease_duration", "max_lease_duration")),
    }
)

PRICE_TABLES = Schema(
    {
        **_NAME,
        "provider": _column(Kind.STRING, "provider", required=True),
        "source": _enum(Source, "SOURCE", key="source"),
        **_body(Kind.STRING, ("uid", "display_name")),
        **_body(Kind.TIME, (*_TIMES, "effective_time")),
        **_body(Kind.DURATION, ("refresh_interval",)),
        **_body(Kind.WHOLE, ("rows",)),
    }
)

REQUESTS = Schema(
    {
        **_NAME,
        "kind": _enum(RequestKind, "KIND", key="kind"),
        "state": _enum(RequestState, "STATE", column="state"),
        **{field: _column(Kind.STRING, field, required=True) for field in ("template", "provider", "owner")},
        "create_time": _column(Kind.TIME, "create_time", required=True),
        "end_time": _column(Kind.TIME, "end_time"),
        **_body(
            Kind.STRING,
            (
                *("uid", "state_reason", "region", "selection_reason", "source_request", "parent_request"),
                *("operation", "creator", "correlation_id"),
            ),
        ),
        **_body(Kind.INT, ("count", "fulfilled", "running_count", "pending_count", "failed_count")),
        **_body(Kind.TIME, ("update_time", "deadline_time", "start_time")),
        **_body(Kind.DURATION, ("lease_duration",)),
        **_body(Kind.BOOL, ("force",)),
        **_money("hourly_price"),
        **_money("reference_hourly_price"),
        **_body(Kind.STRING_LIST, ("child_requests",)),
        **_body(Kind.STRING_MAP, ("tags",)),
    }
)

MACHINES = Schema(
    {
        **_NAME,
        "state": _enum(MachineState, "STATE", column="state"),
        **{
            field: _column(Kind.STRING, field, required=True)
            for field in ("template", "provider", "owner", "machine_request", "return_request")
        },
        "create_time": _column(Kind.TIME, "create_time", required=True),
        "end_time": _column(Kind.TIME, "end_time"),
        **_body(Kind.STRING, ("uid", "state_reason", "native_id", "type", "region", "zone")),
        "price_type": _enum(PriceType, "PRICE_TYPE", key="price_type"),
        **_body(Kind.INT, ("exit_code",)),
        **_body(Kind.TIME, ("update_time", "lease_expire_time", "launch_time", "ready_time", "observe_time")),
        **_body(Kind.TIME, ("lost_time", "adopt_time")),
        **_body(Kind.STRING_MAP, ("tags",)),
        **_body(Kind.OPEN, ("attributes",)),
    }
)

BY_NAME = (Order("name"),)
NEWEST_FIRST = (Order("create_time", descending=True), Order("name"))
