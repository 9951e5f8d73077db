"""The errors that only this service gives, one function for each reason of the contract."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta

from sutler.errors import (
    AlreadyExists,
    Conflict,
    Exhausted,
    FailedPrecondition,
    Invalid,
    NotFound,
    PermissionDenied,
    SutlerError,
    Unavailable,
    Unknown,
    Violation,
    invalid,
)

RETRY_AFTER = timedelta(seconds=1)
"""When a call to an ERP that does not answer makes sense again."""

ACCESS_DENIED = "ERP_ACCESS_DENIED"
"""The reason with which an ERP refuses what its user may not see or do."""

MAX_ERP_MESSAGE = 1000
"""How much of an ERP's text goes into an error: errors travel in headers, which are small."""

_NOT_FOR_CALLERS = re.compile(
    r'Traceback \(most recent call last\)|\bFile "[^"]*", line \d|\b(LINE \d+|DETAIL|QUERY|STATEMENT):'
)
"""Where a text stops being one for people: what follows is of a program or a database."""


TOO_LARGE = "TOO_LARGE"


class AnswerLostError(Exception):
    """The ERP was asked and no answer came: nobody knows whether it did it.

    Args:
        error: What a caller is told if it is safe to ask again.
    """

    def __init__(self, error: Unavailable | Exhausted) -> None:
        super().__init__(error.message)
        self.error = error


def record_name(connection: str, model: str, record_id: int | str) -> str:
    """Returns the name of a record in errors and events, such as ``connections/main/sale.order/30``."""
    return f"{connection}/{model}/{record_id}"


def unreachable(connection: str, cause: str) -> Unavailable:
    """The ERP cannot be reached; it was not asked."""
    return Unavailable(
        f"the ERP of {connection} cannot be reached ({cause}); check its address and that it runs",
        metadata={"dependency": "erp", "connection": connection, "cause": cause},
        retry_after=RETRY_AFTER,
    )


def erp_timeout(connection: str, seconds: float) -> Unavailable:
    """The ERP did not answer in time."""
    return Unavailable(
        f"the ERP of {connection} did not answer within {seconds:g}s; call again, or raise the connection's timeout",
        reason="ERP_TIMEOUT",
        metadata={"connection": connection, "timeout": f"{seconds:g}s"},
        retry_after=RETRY_AFTER,
    )


def answer_invalid(connection: str, cause: str) -> Unavailable:
    """What came is not an answer of an ERP."""
    return Unavailable(
        f"what {connection} answers is not an answer of its ERP ({cause}); check the connection's url",
        reason="ERP_ANSWER_INVALID",
        metadata={"connection": connection, "cause": cause},
        retry_after=RETRY_AFTER,
    )


def breaker_open(connection: str, retry_after: timedelta | None, cause: str) -> Unavailable:
    """Too many calls failed; none is made for a while. ``cause`` says how the last one did."""
    return Unavailable(
        f"the ERP of {connection} has failed too often and is left alone for a while; at last {cause}",
        reason="BREAKER_OPEN",
        metadata={"connection": connection},
        retry_after=retry_after or RETRY_AFTER,
    )


def erp_failed(connection: str, erp_error: str, incident: str) -> Unknown:
    """The ERP failed in a way that no other reason fits."""
    return Unknown(
        f"the ERP of {connection} failed with {erp_error}; incident {incident} in the gateway's log",
        reason="ERP_FAILED",
        metadata={"connection": connection, "erp_error": erp_error, "incident": incident},
    )


def connection_disabled(connection: str) -> FailedPrecondition:
    """The connection is switched off."""
    return FailedPrecondition(
        f"{connection} is switched off; set disabled to false to use it",
        reason="CONNECTION_DISABLED",
        metadata={"connection": connection},
    )


def database_not_found(connection: str, database: str) -> FailedPrecondition:
    """The ERP has no such database."""
    return FailedPrecondition(
        f"the ERP of {connection} has no database {database!r}; correct the connection",
        reason="DATABASE_NOT_FOUND",
        metadata={"connection": connection, "database": database},
    )


def login_refused(connection: str, username: str) -> FailedPrecondition:
    """The ERP refuses the user or the secret."""
    return FailedPrecondition(
        f"the ERP of {connection} refuses the user {username!r} or its secret; update the connection",
        reason="LOGIN_REFUSED",
        metadata={"connection": connection, "username": username},
    )


def login_limited(connection: str, username: str, seconds: float) -> Exhausted:
    """Too many logins of one user in a minute."""
    return Exhausted(
        f"too many logins of {username!r} to {connection}; try again in {seconds:.0f}s",
        reason="LOGIN_LIMITED",
        metadata={"connection": connection, "username": username},
        retry_after=timedelta(seconds=max(0.1, seconds)),
    )


def secret_unreadable(connection: str) -> FailedPrecondition:
    """The stored secret was encrypted with a key that is not in the settings."""
    return FailedPrecondition(
        f"the secret of {connection} cannot be decrypted with the configured keys; "
        "add the old key to SUTLER_ERP_SECRET_KEYS, or set the secret again",
        reason="SECRET_UNREADABLE",
        metadata={"connection": connection},
    )


def user_mapping_missing(connection: str, caller: str) -> PermissionDenied:
    """No user mapping names the caller."""
    return PermissionDenied(
        f"no user mapping of {connection} names {caller}, and it requires one",
        reason="USER_MAPPING_MISSING",
        metadata={"connection": connection, "caller": caller},
    )


def address_not_allowed(address: str, setting: str) -> PermissionDenied:
    """The operator's settings do not have the address."""
    return PermissionDenied(
        f"the address {address} is not one that the operator allows in the setting {setting}",
        reason="ADDRESS_NOT_ALLOWED",
        metadata={"address": address},
    )


def driver_unknown(driver: str, drivers: Iterable[str]) -> Invalid:
    """This deployment does not have the driver."""
    known = ", ".join(sorted(drivers))
    return invalid(
        "connection.driver",
        f"there is no driver {driver!r}; there are {known}",
        reason="DRIVER_UNKNOWN",
        metadata={"driver": driver, "drivers": known},
    )


def model_not_found(connection: str, model: str) -> NotFound:
    """The ERP has no such model."""
    return NotFound(
        f"the ERP of {connection} has no model {model!r}",
        reason="MODEL_NOT_FOUND",
        metadata={"connection": connection, "model": model},
    )


def record_missing(connection: str, model: str, ids: Iterable[int]) -> NotFound:
    """The ERP has no such records, or hides them from its user."""
    listed = list(ids)
    shown = ", ".join(str(one) for one in listed[:20])
    first = record_name(connection, model, listed[0] if listed else "")
    what = f"{first} does not exist" if len(listed) == 1 else f"{model} {shown} of {connection} do not exist"
    return NotFound(f"{what}, or the ERP hides it from its user", resource=first, metadata={"ids": shown})


def created_rows_missing(connection: str, model: str, rows: Iterable[int]) -> NotFound:
    """A create is repeated, and some of what it created was deleted since."""
    shown = ", ".join(str(one) for one in list(rows)[:20])
    return NotFound(
        f"these rows were created before as {model} of {connection} and deleted since, the others exist: {shown}; "
        "create them anew under another request_id",
        resource=connection,
        metadata={"model": model, "rows": shown},
    )


def field_not_found(model: str, field: str, place: str = "fields") -> Invalid:
    """The model has no such field."""
    return invalid(
        place,
        f"the model {model} has no field {field!r}",
        reason="FIELD_NOT_FOUND",
        metadata={"model": model, "field": field},
    )


def domain_invalid(model: str, cause: str, place: str = "domain") -> Invalid:
    """The domain is not one."""
    return invalid(
        place,
        f"is not a domain that the ERP understands: {cause}",
        reason="DOMAIN_INVALID",
        metadata={"model": model, "cause": cause},
    )


def value_invalid(model: str, field: str, description: str, value: str = "") -> Invalid:
    """A value does not fit its field."""
    return invalid(
        f"values.{field}" if field else "values",
        description,
        reason="VALUE_INVALID",
        metadata={"model": model, "field": field, "value": value[:200]},
    )


def values_invalid(model: str, violations: list[Violation]) -> Invalid:
    """Several values do not fit their fields; the first decides the reason."""
    first = violations[0]
    return Invalid(
        f"{first.field}: {first.description}",
        reason=first.reason,
        metadata={"model": model, "field": first.field.removeprefix("values.")},
        violations=violations,
    )


def rows_invalid(model: str, violations: list[Violation]) -> Invalid:
    """Rows of a batch do not fit, and nothing was written; each violation's field begins with ``rows[``."""
    rows = ", ".join(dict.fromkeys(v.field.partition("]")[0].removeprefix("rows[") for v in violations))
    return Invalid(
        f"{violations[0].field}: {violations[0].description}",
        reason="ROWS_INVALID",
        metadata={"model": model, "rows": rows},
        violations=violations,
    )


def too_many_values(model: str, field: str, limit: int) -> Exhausted:
    """The paths of the fields that are asked for lead to too much."""
    return Exhausted(
        f"the fields that lead to {model} through {field!r} make more than {limit} values in one answer; "
        "ask for shorter paths, or for fewer records at a time",
        reason=TOO_LARGE,
        metadata={"model": model, "field": field, "limit_values": str(limit)},
    )


def answer_too_large(connection: str, limit: int) -> Exhausted:
    """The ERP did what it was asked, and its answer is too large to be taken in; to ask again would fetch it again."""
    return Exhausted(
        f"the answer of {connection} is above {limit} bytes; ask for fewer records at a time, or for fewer fields",
        reason=TOO_LARGE,
        metadata={"connection": connection, "limit_bytes": str(limit)},
    )


def record_too_large(connection: str, model: str, record_id: int, field: str, size: int, limit: int) -> Exhausted:
    """A record does not fit into an answer."""
    name = record_name(connection, model, record_id)
    return Exhausted(
        f"{name} takes {size} bytes, more than the {limit} of an answer, most of it in {field!r}; leave that out, or "
        "read without include_binaries (ExportRecords takes 1 MiB for each record)",
        reason=TOO_LARGE,
        metadata={"model": model, "field": field, "size_bytes": str(size), "limit_bytes": str(limit)},
        resource=name,
    )


def too_large(error: SutlerError) -> bool:
    """Returns whether an answer was too large, so that a smaller one may do."""
    return isinstance(error, Exhausted) and error.reason == TOO_LARGE


def refused(kind: type[SutlerError], reason: str, message: str, metadata: Mapping[str, str]) -> SutlerError:
    """An ERP's refusal whose text is the ERP's own; ``erp_message`` in the metadata has it."""
    return kind(message, reason=reason, metadata=metadata)


def method_not_allowed(model: str, method: str) -> PermissionDenied:
    """No rule of the connection allows the method."""
    return PermissionDenied(
        f"no method rule of the connection allows {model}.{method}",
        reason="METHOD_NOT_ALLOWED",
        metadata={"model": model, "method": method},
    )


def outcome_unknown(journal: str) -> Conflict:
    """The ERP may or may not have done it; nobody repeats it."""
    return Conflict(
        f"the ERP was asked and its answer was lost: look there what happened; {journal} tells what was asked",
        reason="OUTCOME_UNKNOWN",
        metadata={"journal": journal},
    )


def external_id_taken(connection: str, external_id: str) -> AlreadyExists:
    """Another record has the external id."""
    return AlreadyExists(
        f"{connection} has a record with the external id {external_id}",
        metadata={"resource": connection, "external_id": external_id},
    )


def key_in_use(connection: str, model: str, key: str) -> Conflict:
    """Another write is creating a record under the same key, or died and the ERP may still be at it."""
    return Conflict(
        f"another write through {connection} is creating a {model} under the key {key}; ask again when it has ended",
        reason="OPERATION_IN_PROGRESS",
        metadata={"operation": record_name(connection, model, key)},
        retry_after=RETRY_AFTER,
    )


def keys_lost(connection: str, model: str) -> Unavailable:
    """The store did not answer for so long that another write may be at the same keys; the ERP was not asked."""
    return Unavailable(
        f"the store of the gateway did not answer while a {model} was to be created through {connection}; call again",
        metadata={"dependency": "store", "connection": connection},
        retry_after=RETRY_AFTER,
    )


def clean_message(text: str) -> str:
    """Returns an ERP's text without what is never for callers: tracebacks, queries, other values, and much text."""
    text = _NOT_FOR_CALLERS.split(text, maxsplit=1)[0].strip()
    return text if len(text) <= MAX_ERP_MESSAGE else f"{text[:MAX_ERP_MESSAGE]}…"
