"""Types and behaviours of fields (AIP-141 to 146, AIP-203)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.contract.descriptors import Contracts, Field, Message, fields, messages
from tests.contract.rule import rules

TIMESTAMP = "google.protobuf.Timestamp"
TIMES = (TIMESTAMP, "google.type.TimeOfDay", "google.type.DateTime")
SCALARS = ("int32", "int64", "double", "bool", "string", "bytes")
COMPOSITES = ("message", "enum", "map")
FORBIDDEN_WRAPPERS = ("google.protobuf.UInt32Value", "google.protobuf.UInt64Value", "google.protobuf.FloatValue")
BASIC_BEHAVIORS = ("REQUIRED", "OPTIONAL", "OUTPUT_ONLY", "IDENTIFIER")
SPAN_UNITS = ("seconds", "secs", "ms", "millis", "milliseconds", "micros", "minutes", "hours", "days")
NUMBERS = ("int32", "int64", "double")
# Every message whose name ends so is checked for the types of these fields, whoever uses it.
REQUEST_TYPES = {
    "validate_only": "bool",
    "allow_missing": "bool",
    "force": "bool",
    "update_mask": "google.protobuf.FieldMask",
    "request_id": "string",
    "etag": "string",
    "parent": "string",
    "filter": "string",
    "order_by": "string",
}


def type_is_allowed(field: Field, _: Contracts) -> Iterator[str]:
    """Only int32, int64, double, bool, string and bytes, messages, enums and maps (AIP-141)."""
    for part in field.map_of or (field,):
        if part.kind not in (*SCALARS, *COMPOSITES) or part.type_name in FORBIDDEN_WRAPPERS:
            yield f"is of type {part.type}; use one of {', '.join(SCALARS)}"


def no_any(field: Field, _: Contracts) -> Iterator[str]:
    """Open data is Struct or Value, never Any (AIP-146)."""
    if any(part.type_name == "google.protobuf.Any" for part in field.map_of or (field,)):
        yield "is google.protobuf.Any; use Struct, Value or a message"


def timestamp_ends_in_time(field: Field, _: Contracts) -> Iterator[str]:
    """The name of a Timestamp ends in `_time` (AIP-142)."""
    if field.type_name == TIMESTAMP and field.name.split("_")[-1] not in ("time", "times"):
        yield "is a Timestamp, but its name does not end in _time"


def time_is_timestamp(field: Field, _: Contracts) -> Iterator[str]:
    """A field whose name says that it is a time is a Timestamp, and no name ends in `_at` (AIP-142)."""
    if field.name.endswith("_at"):
        yield "ends in _at; use _time"
    if field.name.endswith(("_time", "_timestamp")) and field.type_name not in TIMES:
        yield f"is of type {field.type}, not Timestamp"


def span_is_duration(field: Field, _: Contracts) -> Iterator[str]:
    """A span is a Duration, not a number of some unit."""
    if field.kind in NUMBERS and field.name.split("_")[-1] in SPAN_UNITS:
        yield f"is {field.type}; a span is google.protobuf.Duration"


def price_is_money(field: Field, _: Contracts) -> Iterator[str]:
    """A price is google.type.Money."""
    if field.name.split("_")[-1] in ("price", "cost") and field.type_name != "google.type.Money":
        yield f"is {field.type}; money is google.type.Money"


def field_behavior(field: Field, contracts: Contracts) -> Iterator[str]:
    """Every field of requests and resources, at any depth, says how it is used (AIP-203)."""
    basic = sorted(field.behaviors & set(BASIC_BEHAVIORS))
    if len(basic) > 1:
        yield f"is at once {' and '.join(basic)}"
    if not basic and field.message in contracts.inputs:
        yield f"has no google.api.field_behavior of {', '.join(BASIC_BEHAVIORS)}"


def request_field_is_input(field: Field, contracts: Contracts) -> Iterator[str]:
    """A field of a request is REQUIRED or OPTIONAL (AIP-203)."""
    if field.message in contracts.requests and field.behaviors & {"OUTPUT_ONLY", "IDENTIFIER"}:
        yield f"is in a request, but {' '.join(sorted(field.behaviors))}"


def common_field_type(message: Message, contracts: Contracts) -> Iterator[str]:
    """Fields that many requests share have one type everywhere."""
    if message.full_name not in contracts.requests:
        return
    for name, expected in REQUEST_TYPES.items():
        field = message.field(name)
        if field and field.type != expected:
            yield f"{name} is {field.type}, not {expected}"


def mask_is_optional(field: Field, _: Contracts) -> Iterator[str]:
    """`update_mask` may be left out (AIP-134)."""
    if field.name == "update_mask" and "OPTIONAL" not in field.behaviors:
        yield "is not OPTIONAL"


RULES = [
    *rules(
        fields,
        type_is_allowed,
        no_any,
        timestamp_ends_in_time,
        time_is_timestamp,
        span_is_duration,
        price_is_money,
        field_behavior,
        request_field_is_input,
        mask_is_optional,
    ),
    *rules(messages, common_field_type),
]
