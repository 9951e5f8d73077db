"""What a Tryton error means: from its kind and text to a code and a reason.

Tryton tells most errors apart by text only. The texts are those of versions 7.0 to 8.2 in English; a text that no rule
knows, or a translated one, gets the reason of its kind. Tracebacks are never looked at.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

from sutler.errors import AlreadyExists, Conflict, FailedPrecondition, Invalid, PermissionDenied, SutlerError

from services.erp import faults
from services.erp.adapters import meanings
from services.erp.adapters.meanings import Make, Place
from services.erp.adapters.tryton.transport import RpcError

ANY = r"(?s:.*)"
LABEL = r'(?s:.*)field "(?P<label>[^"]*)"'
LOGIN_PAUSE = timedelta(seconds=30)


def _missing(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """Records do not exist: those that were asked for or, of a search, one behind a relation of what it found."""
    if place.doing == "search":
        return meanings.refused(FailedPrecondition, "ERP_RULE_VIOLATED")(place, message, match)
    ids = [int(part) for part in re.findall(r"\d+", match["ids"])]
    return faults.record_missing(place.connection, place.model, ids)


def _referenced(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    ids = ", ".join(str(one) for one in place.ids[:20])
    told = {"connection": place.connection, "model": place.model, "id": ids, "erp_message": message}
    return faults.refused(
        FailedPrecondition,
        "RECORD_REFERENCED",
        f"other records point to {place.model} {ids}; archive it instead",
        told,
    )


def _reference_missing(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    name = place.named(match)
    told = {"model": place.model, "field": name, "id": match["value"], "erp_message": message}
    return faults.refused(FailedPrecondition, "REFERENCE_MISSING", f"{place.model}.{name}: {message}", told)


def _unknown_name(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    """A KeyError: of a model, of a field, or of something within a method."""
    name = match["name"]
    if "." in name:  # no field's name has one
        return faults.model_not_found(place.connection, name)
    if place.doing == "call":
        return meanings.by_doing(place, message, match)
    where = {"write": "values", "search": "domain"}.get(place.doing, "fields")
    return faults.field_not_found(place.model, name, where)


def _stale(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    shown = ", ".join(str(one) for one in place.ids[:20])
    return Conflict(
        f"{place.model} {shown} changed meanwhile: read it again, then write",
        reason="ETAG_MISMATCH",
        metadata={"resource": faults.record_name(place.connection, place.model, shown)},
    )


def _arguments(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    told = {"model": place.model, "method": place.method, "erp_message": message}
    return faults.refused(Invalid, "ARGUMENTS_INVALID", f"the method does not take these arguments: {message}", told)


def _login_limited(place: Place, message: str, match: re.Match[str]) -> SutlerError:
    return faults.login_limited(place.connection, place.username, LOGIN_PAUSE.total_seconds())


_denied = meanings.refused(PermissionDenied, "ERP_ACCESS_DENIED")
_conflict = meanings.refused(Conflict, "WRITE_CONFLICT")

RULES: tuple[tuple[str, str, Make], ...] = (
    (r"http 401", ANY, meanings.login),
    (r"http 403", ANY, meanings.no_method),
    (r"http 404", ANY, meanings.no_database),
    (r"http 4(00|05|13|22)", ANY, _arguments),
    (r"http 429", ANY, _login_limited),
    (r"ConcurrencyException", ANY, _stale),
    (r"LoginException", ANY, meanings.login),
    (r"UserError", r'You are trying to \w+( to)? records "(?P<ids>[^"]*)" of .* that don\'t exist', _missing),
    (r"UserError", r"You are not allowed to (access|execute|search|(create|read|write to|delete) records) ", _denied),
    (r"UserError", r"Calling button .* is not allowed", _denied),
    (r"UserError", rf"A value is required for {LABEL}", meanings.missing_value),
    (r"UserError", rf'The value "(?P<value>[^"]*)" for {LABEL}(?s:.*) does not exist', _reference_missing),
    (r"UserError", rf'The (time )?value "(?P<value>(?s:.*?))" for {LABEL}', meanings.wrong_value),
    (r"UserError", rf"The number of digits {LABEL}", meanings.wrong_value),
    (r"UserError", r"The records could not be deleted because they are used by ", _referenced),
    (r"UserError", r"Failed to save, please retry", _conflict),
    (
        r"UserError",
        r"(?i)(?s:.*)(\bunique\b|\balready exists?\b|\bduplicate)",
        meanings.refused(AlreadyExists, "UNIQUE_VIOLATION"),
    ),
    (r"User(Error|Warning)", ANY, meanings.refused(FailedPrecondition, "ERP_RULE_VIOLATED")),
    (r"", r"database (table )?is locked|could not serialize|deadlock detected", _conflict),
    (r"", r"'(?P<name>[\w.-]+)'$", _unknown_name),
    (r"", r"(?P<told>Missing (search|order) function for field[^\n]*)", meanings.by_doing),
    (r"", r"(?P<told>(\w+\.)*\w+\(\) (missing|got|takes) [^\n]*argument[^\n]*)", meanings.by_doing),
    (
        r"",
        r"(?s:.*)(ConversionSyntax|InvalidOperation|could not convert|invalid literal|has no attribute"
        r"|positional argument|object is not|index out of range|Duplicate ids|unsupported operand|expected )",
        meanings.by_doing,
    ),
)
"""Kind of the error, beginning of its text, and what it becomes; the first that matches counts."""

_COMPILED = [(re.compile(kind), re.compile(text), make) for kind, text, make in RULES]


def refusal(place: Place, error: RpcError) -> SutlerError:
    """Returns what an error of Tryton means to a caller.

    Args:
        place: What was asked.
        error: What the server answered.
    """
    message = faults.clean_message(error.message or error.kind)
    place = replace(place, error=error.kind or "an error of Python", internal=not error.kind)
    for wanted, text, make in _COMPILED:
        if wanted.fullmatch(error.kind):
            match = text.match(message)
            if match:
                return make(place, message, match)
    return meanings.failed(place, message)
