"""The errors of imports: of whole streams, and of single rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from sutler.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    Invalid,
    NotFound,
    PermissionDenied,
    SutlerError,
    Unimplemented,
    Unknown,
    Violation,
    invalid,
)

from services.erp.faults import values_invalid

KINDS: Mapping[str, type[SutlerError]] = {
    "FIELD_NOT_FOUND": Invalid,
    "VALUE_INVALID": Invalid,
    "VALUE_MISSING": Invalid,
    "ROWS_INVALID": Invalid,
    "UNIQUE_VIOLATION": AlreadyExists,
    "ALREADY_EXISTS": AlreadyExists,
    "REFERENCE_MISSING": FailedPrecondition,
    "ERP_RULE_VIOLATED": FailedPrecondition,
    "KEY_NOT_UNIQUE": FailedPrecondition,
    "EXTERNAL_ID_CONFLICT": FailedPrecondition,
    "ERP_ACCESS_DENIED": PermissionDenied,
    "NOT_FOUND": NotFound,
    "NOT_IMPLEMENTED": Unimplemented,
    "OUTCOME_UNKNOWN": Conflict,
    "ERP_FAILED": Unknown,
}
"""What can be wrong with a row, with its class; any other error ends the stream, which can go on later."""

MAX_TEXT = 500
"""How much is told of each row: a message has up to 1000."""

_ROW = re.compile(r"rows\[(\d+)\]\.?")


def concerns_rows(error: SutlerError) -> bool:
    """Returns whether an error says what is wrong with rows; others are about the ERP or the caller."""
    return error.reason in KINDS


def of_rows(error: SutlerError) -> dict[int, SutlerError]:
    """Returns what the violations of a refused chunk say of single rows, by their places in it."""
    found: dict[int, SutlerError] = {}
    for violation in error.violations:
        place = _ROW.match(violation.field)
        if place is not None:
            at = violation.field[place.end() :]
            reason = violation.reason or error.reason
            text = violation.description[:MAX_TEXT]
            found.setdefault(
                int(place[1]),
                KINDS.get(reason, Invalid)(
                    f"{at}: {text}" if at else text,
                    reason=reason,
                    metadata={name: value for name, value in error.metadata.items() if name == "model"}
                    | ({"field": at.removeprefix("values.")} if at else {}),
                    violations=[Violation(at, text, reason)],
                ),
            )
    return found


def refused_together(model: str, rows: Iterable[int]) -> Invalid:
    """A chunk was refused again, and the ERP did not say what is wrong with this row."""
    shown = ", ".join(str(one) for one in list(rows)[:20])
    return Invalid(
        f"was not written, as the ERP refused its chunk twice, the second time because of the rows {shown}; "
        "import it again",
        reason="ROWS_INVALID",
        metadata={"model": model, "rows": shown},
    )


def external_id_missing(model: str) -> Invalid:
    """A row has nothing to find its record by."""
    return values_invalid(model, [Violation("external_id", "is needed, as there are no key_fields", "VALUE_MISSING")])


def key_not_unique(error: SutlerError, row: int, rows: Sequence[int]) -> FailedPrecondition:
    """Several records, or several rows of the chunk, have the key of a row.

    Args:
        error: What was found, with places in the chunk.
        row: The index of the row in the import.
        rows: The index of each place.
    """
    told = {**error.metadata, "row": str(row)}
    if "rows" in told:
        told["rows"] = ", ".join(str(rows[int(place)]) for place in told["rows"].split(", "))
        text = f"these rows of the chunk have the same key: {told['rows']}; send them in chunks of their own"
    else:
        text = f"several records have the key of the row: {told['ids']}"
    return FailedPrecondition(text, reason="KEY_NOT_UNIQUE", metadata=told)


def external_id_repeated(connection: str, external_id: str) -> AlreadyExists:
    """Another row of the chunk has the same external id."""
    return AlreadyExists(
        f"another row of the chunk has the external id {external_id}",
        metadata={"resource": connection, "external_id": external_id},
    )


def external_id_impossible(model: str) -> Unimplemented:
    """The values cannot carry a key."""
    return Unimplemented(
        "values of this form cannot be created together with an external id",
        metadata={"method": "external_id", "model": model},
    )


def first_lacks(fields: Sequence[str]) -> Invalid:
    """The first message does not say what is imported."""
    return invalid(fields[0], "is needed in the first message", reason="IMPORT_INVALID")


def differs(name: str, fields: Sequence[str]) -> Invalid:
    """The first message is not that of the import which it names."""
    shown = ", ".join(fields)
    return invalid(
        fields[0],
        f"{name} began with other values of {shown}; go on with the same, or take another import_id",
        reason="IMPORT_INVALID",
        metadata={"import": name, "fields": shown},
    )


def of_another(name: str) -> PermissionDenied:
    """Somebody else began the import, or its creator works as another user of the ERP now."""
    return PermissionDenied(
        f"{name} was begun by another caller, or as another user of the ERP; take another import_id",
        metadata={"target": name},
    )


def gap(name: str, next_index: int) -> Invalid:
    """The rows begin behind the first one that has no result."""
    return invalid(
        "first_index",
        f"is beyond the next row of {name}, {next_index}; rows leave no gaps",
        reason="IMPORT_INVALID",
        metadata={"import": name, "next_index": str(next_index)},
    )


def ended(name: str, state: str) -> FailedPrecondition:
    """Nothing can be added to an import that has ended."""
    return FailedPrecondition(
        f"{name} has ended; take another import_id",
        metadata={"state": state, "allowed": "RUNNING, INTERRUPTED"},
        resource=name,
    )


def fed(name: str, seconds: float) -> Conflict:
    """Another stream feeds the import."""
    return Conflict(
        f"another stream feeds {name} now; go on when it has ended",
        reason="OPERATION_IN_PROGRESS",
        metadata={"operation": name},
        retry_after=timedelta(seconds=seconds),
    )


def stopped(name: str, failed: int) -> Conflict:
    """Too many rows failed."""
    return Conflict(
        f"{failed} rows of {name} failed, as many as it allows; its results tell why",
        reason="IMPORT_STOPPED",
        metadata={"import": name, "failed_rows": str(failed)},
    )


def abandoned(name: str, days: int) -> Conflict:
    """Nobody went on with an import."""
    return Conflict(
        f"nobody went on with {name} for {days} days",
        reason="IMPORT_STOPPED",
        metadata={"import": name, "days": str(days)},
    )
