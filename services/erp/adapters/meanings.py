"""What the errors of ERPs become; the tables in the ``refusals`` of each ERP say when."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import structlog
from sutler.errors import FailedPrecondition, Invalid, NotFound, SutlerError, Unavailable, invalid

from services.erp import faults

log = structlog.get_logger("erp.driver")

COOLDOWN_SECONDS = 60.0

Doing = Literal["read", "search", "write", "delete", "call", "login"]
"""What the call was for; the same text means different things."""


@dataclass(frozen=True, slots=True)
class Place:
    """What was asked, for the metadata of errors.

    ``error`` is the type that the ERP names, ``labels`` those of its fields. ``internal`` says that the text is of the
    ERP's program or database and not for people: it may have queries, paths and values of other records.
    """

    connection: str
    database: str
    username: str
    model: str = ""
    method: str = ""
    ids: Sequence[int] = ()
    doing: Doing = "read"
    error: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    internal: bool = False

    def named(self, match: re.Match[str]) -> str:
        """Returns the field that a text names, maybe by its label; empty if it names none."""
        groups = match.groupdict()
        return groups.get("field") or self.labels.get(groups.get("label") or "", "")


Make = Callable[[Place, str, re.Match[str]], SutlerError]


def _told(place: Place, message: str, **more: str) -> dict[str, str]:
    known = {"connection": place.connection, "model": place.model, "erp_message": message}
    return {key: value for key, value in {**known, **more}.items() if value}


def _shown(place: Place, message: str, match: re.Match[str]) -> str:
    """Returns what callers may read of a text: of an internal one what its rule calls ``told``, else where it is."""
    if not place.internal:
        return message
    if told := match.groupdict().get("told"):
        return str(told)
    incident = uuid.uuid4().hex
    log.warning("erp refused", incident=incident, connection=place.connection, erp_error=place.error, message=message,
                model=place.model, method=place.method)  # fmt: skip
    return f"{place.error}; incident {incident} in the gateway's log"


def refused(kind: type[SutlerError], reason: str, **named: str) -> Make:
    """Returns what makes an error with the ERP's own text; ``named`` takes metadata from groups of the match."""

    def make(place: Place, message: str, match: re.Match[str]) -> SutlerError:
        message = _shown(place, message, match)
        more = {key: match[group] for key, group in named.items() if match.groupdict().get(group)}
        return faults.refused(kind, reason, f"the ERP refuses: {message}", _told(place, message, **more))

    return make


def wrong_value(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """A value does not fit its field."""
    message = _shown(place, message, match)
    name = place.named(match)
    error = invalid(
        f"values.{name}" if name else "values",
        f"does not fit: {message}",
        reason="VALUE_INVALID",
        metadata=_told(place, message, value=match.groupdict().get("value") or ""),
    )
    error.metadata["field"] = name
    return error


def missing_value(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """A value that is needed is missing."""
    message = _shown(place, message, match)
    name = place.named(match)
    where = f"values.{name}" if name else "values"
    error = invalid(where, f"is needed: {message}", reason="VALUE_MISSING", metadata=_told(place, message))
    error.metadata["field"] = name
    return error


def unknown_field(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """The model has no such field."""
    model = match.groupdict().get("model") or place.model
    where = {"write": "values", "search": "domain"}.get(place.doing, "fields")
    return faults.field_not_found(model, match["field"], where)


def foreign_key(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """A reference leads nowhere, or something refers to what would be deleted."""
    message = _shown(place, message, match)
    if place.doing == "delete":
        ids = ", ".join(str(one) for one in place.ids[:20])
        return faults.refused(
            FailedPrecondition,
            "RECORD_REFERENCED",
            f"other records point to {place.model} {ids}; archive it instead",
            _told(place, message, id=ids),
        )
    table = place.model.replace(".", "_")
    name = match["constraint"].removeprefix(f"{table}_").removesuffix("_fkey")
    return faults.refused(
        FailedPrecondition,
        "REFERENCE_MISSING",
        f"{place.model}.{name} points to a record that does not exist",
        _told(place, message, field=name),
    )


def missing_record(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """A record does not exist, or the user of the cached login does not."""
    if match["model"] == "res.users" and place.model != "res.users":
        return faults.login_refused(place.connection, place.username)
    listed = [int(part) for part in re.findall(r"\d+", match["ids"])] or list(place.ids)
    return faults.record_missing(place.connection, match["model"], listed)


def no_database(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """The server has no such database."""
    return faults.database_not_found(place.connection, place.database)


def database_down(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """The database behind the ERP does not answer."""
    # Its text names hosts and ports of the ERP's own network.
    return Unavailable(
        f"the database behind the ERP of {place.connection} does not answer",
        metadata={"dependency": "erp", "connection": place.connection, "cause": "database"},
        retry_after=faults.RETRY_AFTER,
    )


def no_model(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """There is no such model."""
    return faults.model_not_found(place.connection, match["model"])


def no_method(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """The model has no such method."""
    return faults.refused(
        NotFound,
        "METHOD_NOT_FOUND",
        f"the model {place.model} has no method {place.method!r}",
        {"connection": place.connection, "model": place.model, "method": place.method},
    )


def login(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """The user or the secret is refused."""
    return faults.login_refused(place.connection, place.username)


def cooldown(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """After ten wrong secrets Odoo refuses the right one too, for a minute unless it is set otherwise."""
    return faults.login_limited(place.connection, place.username, COOLDOWN_SECONDS)


def private(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """The method is private."""
    return faults.method_not_allowed(place.model, place.method)


def bad_context(name: str) -> Make:
    """Returns what makes the error for a context that the ERP does not know."""

    def make(place: Place, message: str, match: re.Match[str]) -> SutlerError:
        message = _shown(place, message, match)
        value = match.groupdict().get("value") or ""
        told = {"field": name, "value": value, "erp_message": message}
        return invalid(name, f"is unknown to the ERP: {message}", reason="CONTEXT_INVALID", metadata=told)

    return make


def by_doing(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """A Python error without a rule of its own: what the caller sent decides what it says."""
    if place.doing == "write":
        return wrong_value(place, message, match)
    if place.doing not in ("search", "call"):
        return failed(place, message)
    message = _shown(place, message, match)
    if place.doing == "search":
        error: SutlerError = faults.domain_invalid(place.model, message)
    else:
        error = faults.refused(Invalid, "ARGUMENTS_INVALID", f"the method does not take these arguments: {message}", {})
    error.metadata.update(_told(place, message, method=place.method))
    return error


def failed(place: Place, message: str) -> SutlerError:
    """The ERP failed in a way that no rule knows; the log has what it said."""
    incident = uuid.uuid4().hex
    log.error("erp failed", incident=incident, connection=place.connection, erp_error=place.error, message=message,
              model=place.model, method=place.method)  # fmt: skip
    return faults.erp_failed(place.connection, place.error or "an unknown error", incident)
