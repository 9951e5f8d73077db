"""Broken constraints: found before or by the database, and told with the texts that a real server uses."""

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from services.erp.sandbox.errors import ValidationError
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.sql import one_of
from services.erp.sandbox.schema.models import Model, Registry

FAILED = re.compile(r"(NOT NULL|UNIQUE|CHECK) constraint failed: (.+)")


@contextmanager
def explained(env: Env) -> Iterator[None]:
    """Turn a constraint that SQLite finds broken into the ValidationError of a real server."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        found = FAILED.fullmatch(str(error))
        if not found:
            raise ValidationError(f"The operation cannot be completed: {error}") from error
        kind, detail = found.groups()
        if kind == "NOT NULL":
            raise _mandatory(env.registry, detail) from error
        raise ValidationError(f"The operation cannot be completed: {_message(env.registry, kind, detail)}") from error


def _mandatory(registry: Registry, detail: str) -> ValidationError:
    table, _, column = detail.partition(".")
    model = registry.by_table(table)
    return ValidationError(
        "The operation cannot be completed:\n- Create/update: a mandatory field is not set.\n"
        "- Delete: another model requires the record being deleted. If possible, archive it instead.\n\n"
        f"Model: {model.description} ({model.name})\nField: {model.fields[column].string} ({column})\n"
    )


def _message(registry: Registry, kind: str, detail: str) -> str:
    for model in registry:
        for constraint in model.constraints:
            columns = ", ".join(f"{model.table}.{column}" for column in constraint.columns)
            if detail == (f"{model.table}_{constraint.name}" if kind == "CHECK" else columns):
                return constraint.message
    return detail


def check_references(env: Env, model: Model, columns: Mapping[str, Any]) -> None:
    """Raise ValidationError if a many2one points to a record that does not exist."""
    for column, value in columns.items():
        field = model.fields[column]
        if field.type == "many2one" and value is not None:
            _check(env, env.model(field.relation), value, model, f"{model.table}_{column}_fkey")


def check_reference(env: Env, comodel: Model, identifier: Any, table: str, column: str) -> None:
    """Raise ValidationError if a many2many command links a record that does not exist."""
    _check(env, comodel, identifier, comodel, f"{table}_{column}_fkey")


def _check(env: Env, comodel: Model, identifier: Any, blamed: Model, constraint: str) -> None:
    if env.value(f"SELECT 1 FROM {comodel.table} WHERE id = ?", (identifier,)) is None:
        raise foreign_key_error(blamed, constraint)


def check_unneeded(env: Env, model: Model, ids: Sequence[int]) -> None:
    """Raise ValidationError if another record that must not lose it refers to one of the records."""
    listed = one_of(ids)
    for other in env.registry:
        for name, field in other.columns():
            if field.relation != model.name or field.type != "many2one" or field.on_delete != "restrict":
                continue
            sql = f"SELECT 1 FROM {other.table} WHERE {name} IN {listed.text} LIMIT 1"
            if env.value(sql, listed.params) is not None:
                raise foreign_key_error(other, f"{other.table}_{name}_fkey")


def foreign_key_error(model: Model, constraint: str) -> ValidationError:
    """Return the error for a broken reference between two tables."""
    return ValidationError(
        "The operation cannot be completed: another model requires the record being deleted. If possible, archive it "
        f"instead.\n\nModel: {model.description} ({model.name})\nConstraint: {constraint}\n"
    )
