"""`export_data`: fields of records as a table of texts. Lists of records come as their names, joined by commas."""

from collections.abc import Sequence
from typing import Any

from services.erp.sandbox.errors import BadValue
from services.erp.sandbox.orm import access, externalids
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.paths import split_path
from services.erp.sandbox.orm.reading import display_names, read
from services.erp.sandbox.orm.writing import as_list
from services.erp.sandbox.schema.models import Model


def export_data(env: Env, model: Model, ids: Any, fields_to_export: Sequence[str]) -> dict[str, list[list[Any]]]:
    """Return `{"datas": rows}`. `id` is the external id (made where there is none), `.id` the database id."""
    access.check(env, model, "read")
    listed = as_list(ids)
    columns = [_values(env, model, listed, split_path(path)) for path in fields_to_export]
    return {"datas": [[column.get(identifier, "") for column in columns] for identifier in listed]}


def _values(env: Env, model: Model, ids: Sequence[int], path: list[str]) -> dict[int, Any]:
    head, rest = path[0], path[1:]
    if head == "id":
        return dict(externalids.names(env, model, ids))
    if head == ".id":
        return {identifier: str(identifier) for identifier in ids}
    field = model.field(head)
    records = {record["id"]: record[head] for record in read(env, model, ids, [head], pairs=False)}
    if field.to_many:
        if rest:
            raise BadValue(f"The sandbox exports {head} of {model.name} by name only")
        names = display_names(env, env.model(field.relation), {there for ids in records.values() for there in ids})
        return {here: ",".join(names[there] for there in linked) for here, linked in records.items()}
    if field.type != "many2one":
        return {here: "" if value is False and field.type != "boolean" else value for here, value in records.items()}
    comodel = env.model(field.relation)
    targets = sorted({value for value in records.values() if value})
    related = _values(env, comodel, targets, rest) if rest else dict(display_names(env, comodel, targets))
    return {here: related.get(value, "") for here, value in records.items()}
