"""What an Odoo error means: from its type and text to a code and a reason.

Odoo tells errors apart by the name of a Python class and, within ``ValidationError`` and ``ValueError``, by text only.
The texts are those of Odoo 18 in English; a text that no rule knows, or a translated one, gets the reason of its class.
Nothing of ``error.data.debug`` is ever looked at or passed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sutler.errors import AlreadyExists, Conflict, FailedPrecondition, PermissionDenied, SutlerError

from services.erp import faults
from services.erp.adapters import meanings
from services.erp.adapters.meanings import Make, Place

ANY = r"(?s:.*)"
ARGUMENTS = r"(?P<told>\w+\(\) (missing|got|takes) [^\n]*argument[^\n]*)"
"""What Python says of arguments that do not fit a method; it names nothing but the method and its arguments."""

INTERNAL = ("builtins.", "psycopg2.")
"""Where the errors come from whose texts are not for people."""

UNKNOWN_COMPANY = meanings.bad_context("context.company_ids")
UNKNOWN_LANGUAGE = meanings.bad_context("context.language")
RULES: tuple[tuple[str, str, Make], ...] = (
    (r"odoo\.exceptions\.AccessDenied", r"(?i)too many login failures", meanings.cooldown),
    (r"odoo\.exceptions\.AccessDenied", ANY, meanings.login),
    (r"odoo\.http\.SessionExpiredException|werkzeug\.exceptions\.Unauthorized", ANY, meanings.login),
    (
        r"odoo\.exceptions\.MissingError",
        r"(?s:.*)\(Record: (?P<model>[\w.]+)\((?P<ids>[^)]*)\)",
        meanings.missing_record,
    ),
    (
        r"odoo\.exceptions\.AccessError",
        r".*unauthorized or invalid compan",
        UNKNOWN_COMPANY,
    ),
    (r"odoo\.exceptions\.AccessError", r"Private methods ", meanings.private),
    (r"odoo\.exceptions\.AccessError", ANY, meanings.refused(PermissionDenied, "ERP_ACCESS_DENIED")),
    (r"odoo\.exceptions\.UserError", r"Object (?P<model>[\w.-]+) doesn't exist", meanings.no_model),
    (
        r"odoo\.exceptions\.UserError",
        r"Invalid language code: (?P<value>\S+)",
        UNKNOWN_LANGUAGE,
    ),
    (
        r"odoo\.exceptions\.(Validation|User)Error",
        r"(?s:.*)You are not allowed to ",
        meanings.refused(PermissionDenied, "ERP_ACCESS_DENIED"),
    ),
    (
        r"odoo\.exceptions\.ValidationError",
        r"(?s:.*)mandatory field is not set(?s:.*)Field: [^\n]*\((?P<field>\w+)\)",
        meanings.missing_value,
    ),
    (
        r"odoo\.exceptions\.ValidationError",
        r"Missing required value for the field .*\((?P<field>\w+)\)",
        meanings.missing_value,
    ),
    (
        r"odoo\.exceptions\.ValidationError",
        r"(?s:.*)another model requires the record being deleted(?s:.*)Constraint: (?P<constraint>\w+)",
        meanings.foreign_key,
    ),
    (r"odoo\.exceptions\.ValidationError", r"The operation cannot be completed: .* require", meanings.missing_value),
    (
        r"odoo\.exceptions\.ValidationError",
        r"For external id (?P<key>\S+) when trying to create/update a record .* of different model (?P<owner>\S+)",
        meanings.refused(FailedPrecondition, "EXTERNAL_ID_CONFLICT", external_id="key", model="owner"),
    ),
    (
        r"odoo\.exceptions\.ValidationError",
        r"(?i)(?s:.*)(\bunique\b|\balready exists?\b|\bwith the same\b|\bduplicate)",
        meanings.refused(AlreadyExists, "UNIQUE_VIOLATION"),
    ),
    (
        r"odoo\.exceptions\.ValidationError",
        r"Value '(?P<value>[^']*)' not found in selection field|.* does not seem to be an? |Unknown value '",
        meanings.wrong_value,
    ),
    (
        r"odoo\.exceptions\.ValidationError",
        r"No matching record found for (?P<kind>.*) '(?P<id>[^']*)' in field",
        meanings.refused(FailedPrecondition, "REFERENCE_MISSING", id="id"),
    ),
    (
        r"odoo\.exceptions\.(ValidationError|UserError|RedirectWarning|Warning)",
        ANY,
        meanings.refused(FailedPrecondition, "ERP_RULE_VIOLATED"),
    ),
    (r"builtins\.ValueError", r"Invalid field '?(?P<field>\w+)'? on model '(?P<model>[\w.]+)'", meanings.unknown_field),
    (
        r"builtins\.ValueError",
        r"Invalid field (?P<model>[\w.]+)\.(?P<field>\w+) in (leaf|condition)",
        meanings.unknown_field,
    ),
    (r"builtins\.ValueError", r"Wrong value for [\w.]+\.(?P<field>\w+): '?(?P<value>.*?)'?$", meanings.wrong_value),
    (r"builtins\.ValueError", r"time data '(?P<value>.*)' does not match", meanings.wrong_value),
    (
        r"builtins\.ValueError",
        r"(invalid literal for int|could not convert string to float).*'(?P<value>.*)'",
        meanings.wrong_value,
    ),
    (
        r"builtins\.(ValueError|TypeError)",
        r"(?P<told>Invalid (leaf|domain|operator|condition|comparator)\b[^\n]*)",
        meanings.by_doing,
    ),
    (r"builtins\.TypeError", rf"(?s:.*?){ARGUMENTS}", meanings.by_doing),
    (r"builtins\.AttributeError", r"(?s:.*)(method|attribute) .*", meanings.no_method),
    (r"builtins\.KeyError", r"'?(?P<model>[a-z_]+(\.[\w-]+)+)'?$", meanings.no_model),
    (r"builtins\.(ValueError|TypeError|KeyError|AssertionError)", ANY, meanings.by_doing),
    (r"werkzeug\.exceptions\.NotFound", r"(?i)the model '?(?P<model>[\w.-]+?)'? does not exist", meanings.no_model),
    (r"werkzeug\.exceptions\.NotFound", r"(?i)(?s:.*)method ", meanings.no_method),
    (r"werkzeug\.exceptions\.UnprocessableEntity", ANY, meanings.by_doing),
    (r"odoo\.exceptions\.(LockError|ConcurrencyError)", ANY, meanings.refused(Conflict, "WRITE_CONFLICT")),
    (
        r"psycopg2\.errors\.(SerializationFailure|DeadlockDetected|LockNotAvailable)",
        ANY,
        meanings.refused(Conflict, "WRITE_CONFLICT"),
    ),
    (
        r"psycopg2\.errors\.UniqueViolation",
        r'(?s:.*)(?P<told>unique constraint "(?P<constraint>[^"]+)")',
        meanings.refused(AlreadyExists, "UNIQUE_VIOLATION", constraint="constraint"),
    ),
    (r"psycopg2\.errors\.UniqueViolation", ANY, meanings.refused(AlreadyExists, "UNIQUE_VIOLATION")),
    (
        r"psycopg2\.errors\.(InvalidDatetimeFormat|DatetimeFieldOverflow|InvalidTextRepresentation|NumericValueOutOfRange)",
        ANY,
        meanings.by_doing,
    ),
    (r"psycopg2\.OperationalError", r'(?s:.*)database "[^"]*" does not exist', meanings.no_database),
    (
        r"psycopg2\.(OperationalError|InterfaceError|pool\.PoolError)|odoo\.sql_db\.PoolError",
        ANY,
        meanings.database_down,
    ),
)
"""Type of the error, beginning of its text, and what it becomes; the first that matches counts."""

_COMPILED = [(re.compile(name), re.compile(text), make) for name, text, make in RULES]


def refusal(place: Place, data: Mapping[str, Any]) -> SutlerError:
    """Returns what an error of Odoo means to a caller.

    Args:
        place: What was asked.
        data: ``error.data`` of the answer.
    """
    name = str(data.get("name") or "")
    place = replace(place, error=name, internal=name.startswith(INTERNAL))
    message = _text(name, data)
    for wanted, text, make in _COMPILED:
        if wanted.fullmatch(name):
            match = text.match(message)
            if match:
                return make(place, message, match)
    return meanings.failed(place, message)


def _text(name: str, data: Mapping[str, Any]) -> str:
    """Returns the text for people; a RedirectWarning's message has an action of the web client after it."""
    arguments = data.get("arguments")
    if name.endswith("RedirectWarning") and isinstance(arguments, list) and arguments:
        return faults.clean_message(str(arguments[0]))
    return faults.clean_message(str(data.get("message") or ""))
