"""External ids: names such as `module.name` for records, kept in `ir.model.data`."""

import secrets
from collections.abc import Sequence

from services.erp.sandbox.errors import ValidationError
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.sql import one_of
from services.erp.sandbox.schema.models import Model

IMPORT_MODULE = "__import__"
EXPORT_MODULE = "__export__"


def qualified(name: str, module: str) -> str:
    """Return `module.name`, with the given module unless the name has one."""
    return name if "." in name else f"{module}.{name}"


def resolve(env: Env, model: Model, name: str) -> int | None:
    """Return the id behind an external id, or None if there is none (any more).

    ValidationError if the name belongs to a record of another model.
    """
    module, _, rest = name.partition(".")
    rows = env.rows("SELECT model, res_id FROM ir_model_data WHERE module = ? AND name = ?", (module, rest))
    if not rows:
        return None
    owner, identifier = rows[0]
    if owner != model.name:
        raise ValidationError(
            f"For external id {name} when trying to create/update a record of model {model.name} found record of "
            f"different model {owner} ({identifier})"
        )
    if env.value(f"SELECT 1 FROM {model.table} WHERE id = ?", (identifier,)) is None:
        env.execute("DELETE FROM ir_model_data WHERE module = ? AND name = ?", (module, rest))
        return None
    return int(identifier)


def assign(env: Env, model: Model, name: str, identifier: int, *, noupdate: bool = False) -> None:
    """Give a record an external id."""
    module, _, rest = name.partition(".")
    columns = "module, name, model, res_id, noupdate, create_uid, create_date, write_uid, write_date"
    values = (module, rest, model.name, identifier, noupdate, env.user.id, env.stamp, env.user.id, env.stamp)
    env.execute(f"INSERT INTO ir_model_data ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def names(env: Env, model: Model, ids: Sequence[int]) -> dict[int, str]:
    """Return an external id for every record, giving one to records that have none."""
    listed = one_of(ids)
    rows = env.rows(
        f"SELECT res_id, module || '.' || name FROM ir_model_data WHERE model = ? AND res_id IN {listed.text} "
        "ORDER BY id DESC",
        (model.name, *listed.params),
    )
    known = dict(rows)
    for identifier in ids:
        if identifier not in known:
            known[identifier] = f"{EXPORT_MODULE}.{model.table}_{identifier}_{secrets.token_hex(4)}"
            assign(env, model, known[identifier], identifier)
    return known
