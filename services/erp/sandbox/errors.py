"""Errors as a caller of the sandbox sees them: each class carries the type name that Odoo 18 answers.

The names and texts come from the recordings of an Odoo 18 (`tests/conformance/recordings/odoo18`).
"""

from collections.abc import Iterable
from typing import ClassVar


class RpcError(Exception):
    """An error that is answered to the caller.

    `name` is what the answer says of its type; `status` is the HTTP status that goes with it in JSON-2.
    """

    name: ClassVar[str] = "builtins.Exception"
    status: ClassVar[int] = 500

    @property
    def message(self) -> str:
        """The text for people: the arguments, one per line."""
        return "\n".join(str(argument) for argument in self.args)


class AccessDenied(RpcError):
    """Wrong password."""

    name = "odoo.exceptions.AccessDenied"
    status = 403

    def __init__(self) -> None:
        super().__init__("Access Denied")


class UserError(RpcError):
    """The request makes no sense for the records as they are."""

    name = "odoo.exceptions.UserError"
    status = 422


class AccessError(UserError):
    """The user may not do this."""

    name = "odoo.exceptions.AccessError"
    status = 403


class MissingError(UserError):
    """A record that the call works on does not exist (any more)."""

    name = "odoo.exceptions.MissingError"
    status = 404

    def __init__(self, model: str, ids: Iterable[int], uid: int) -> None:
        super().__init__(
            f"Record does not exist or has been deleted.\n(Record: {model}{tuple(ids)!r}, User: {uid})",
        )


class ValidationError(UserError):
    """A value breaks a constraint."""

    name = "odoo.exceptions.ValidationError"


class RedirectWarning(RpcError):
    """Refused, with an action that a web client could offer instead."""

    name = "odoo.exceptions.RedirectWarning"


class BadValue(RpcError):
    """Unknown field, wrong selection value, date, number, operator, order."""

    name = "builtins.ValueError"


class BadArguments(RpcError):
    """The method does not take these arguments."""

    name = "builtins.TypeError"


class UnknownMethod(RpcError):
    """The model has no such method."""

    name = "builtins.AttributeError"


class UnknownKey(RpcError):
    """Unknown service, or a field that a method needs and the model lacks."""

    name = "builtins.KeyError"


class MissingPosition(RpcError):
    """Too few positional arguments for the service."""

    name = "builtins.IndexError"


class UnknownServiceMethod(RpcError):
    """The `object` service has no such method."""

    name = "builtins.NameError"


class UnknownDatabase(RpcError):
    """The sandbox has one database, and it has another name."""

    name = "psycopg2.OperationalError"

    def __init__(self, database: object) -> None:
        super().__init__(f'connection to the sandbox failed: FATAL:  database "{database}" does not exist\n')


class OutOfRange(RpcError):
    """A number that no column can keep."""

    name = "psycopg2.errors.NumericValueOutOfRange"


class DatabaseFailure(RpcError):
    """The database refused a statement: a value of an impossible type, a full disk."""

    name = "psycopg2.DatabaseError"


class BadDateInDomain(RpcError):
    """A domain compares a date or time with a text that is none."""

    name = "psycopg2.errors.InvalidDatetimeFormat"
