"""Creating, changing and deleting records, without asking whether the user may: callers inside the sandbox decide."""

from collections.abc import Sequence
from typing import Any

from services.erp.sandbox.errors import BadValue
from services.erp.sandbox.orm import commands, integrity, searching
from services.erp.sandbox.orm.behaviour import Values
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.sql import one_of
from services.erp.sandbox.orm.values import to_column
from services.erp.sandbox.schema.models import MAGIC, Model


def create(env: Env, model: Model, values: Values) -> int:
    """Create a record and what its x2many commands ask for; return its id.

    BadValue for unknown fields and impossible values, ValidationError for broken constraints.
    """
    complete = {**default_values(env, model), **values}
    _check_names(model, values)
    behaviour = env.behaviour(model)
    behaviour.complete(env, complete)
    columns = _columns(model, complete)
    integrity.check_references(env, model, columns)
    for prefix in ("create", "write"):
        columns |= {f"{prefix}_uid": env.user.id, f"{prefix}_date": env.stamp}
    names = ", ".join(columns)
    marks = ", ".join("?" for _ in columns)
    with integrity.explained(env):
        identifier = env.execute(f"INSERT INTO {model.table} ({names}) VALUES ({marks})", tuple(columns.values()))
    _run_commands(env, model, [identifier], complete)
    behaviour.created(env, identifier, complete)
    return identifier


def write(env: Env, model: Model, ids: Sequence[int], values: Values) -> None:
    """Change records; MissingError if one does not exist, else as for `create`."""
    searching.require(env, model, ids)
    _check_names(model, values)
    if not ids:
        return
    behaviour = env.behaviour(model)
    complete = dict(values)
    behaviour.writing(env, ids, complete)
    columns = _columns(model, complete)
    integrity.check_references(env, model, columns)
    update(env, model, ids, columns)
    _run_commands(env, model, ids, complete)
    behaviour.written(env, ids, complete)


def update(env: Env, model: Model, ids: Sequence[int], columns: Values) -> None:
    """Set columns and the change stamp of records, without hooks."""
    columns = {**columns, "write_uid": env.user.id, "write_date": env.stamp}
    assignments = ", ".join(f"{column} = ?" for column in columns)
    listed = one_of(ids)
    with integrity.explained(env):
        env.execute(
            f"UPDATE {model.table} SET {assignments} WHERE id IN {listed.text}", (*columns.values(), *listed.params)
        )


def unlink(env: Env, model: Model, ids: Sequence[int]) -> None:
    """Delete records and their external ids; MissingError if one does not exist, ValidationError if one is needed."""
    searching.require(env, model, ids)
    finish = env.behaviour(model).unlinking(env, ids)
    integrity.check_unneeded(env, model, ids)
    listed = one_of(ids)
    with integrity.explained(env):
        env.execute(f"DELETE FROM {model.table} WHERE id IN {listed.text}", listed.params)
    env.execute(f"DELETE FROM ir_model_data WHERE model = ? AND res_id IN {listed.text}", (model.name, *listed.params))
    finish()


def default_values(env: Env, model: Model) -> Values:
    """Return the fields' defaults, and what the context says with `default_<field>`."""
    defaults = {name: field.default for name, field in model.fields.items() if field.default is not None}
    asked = {name: env.context[f"default_{name}"] for name in model.fields if f"default_{name}" in env.context}
    return {**defaults, **asked}


def _check_names(model: Model, values: Values) -> None:
    if not isinstance(values, dict):
        raise BadValue(f"Wrong values for {model.name}: {values!r}")
    for name in values:
        model.field(name)


def _columns(model: Model, values: Values) -> Values:
    """Convert the values that go into the record's own row. What the sandbox keeps itself is passed over."""
    columns: Values = {}
    for name, value in values.items():
        field = model.fields.get(name)
        if field is None or name in MAGIC or field.kept or not field.has_column:
            continue
        columns[model.column(name)] = to_column(model, name, field, value)
    return columns


def _run_commands(env: Env, model: Model, ids: Sequence[int], values: Values) -> None:
    for name, value in values.items():
        field = model.fields.get(name)
        if field is not None and field.to_many and not field.readonly:
            for identifier in ids:
                commands.run(env, model, name, identifier, value)


def as_list(value: Any) -> list[int]:
    """Return ids that came as one id, a list, or nothing."""
    if isinstance(value, bool) or value is None:
        return []
    return [value] if isinstance(value, int) else list(value)
