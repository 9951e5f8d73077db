"""Nested reads by specification, as web clients of 17 and later do: `web_read`, `web_search_read`, `web_save`."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.erp.sandbox.orm import access, operations, searching
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.reading import Record, read
from services.erp.sandbox.orm.writing import as_list
from services.erp.sandbox.schema.models import Model

Specification = Mapping[str, Mapping[str, Any]]


def web_read(env: Env, model: Model, ids: Any, specification: Specification) -> list[Record]:
    """Return the fields that the specification names, and those of related records below `fields`."""
    access.check(env, model, "read")
    return _read(env, model, as_list(ids), specification)


def web_search_read(
    env: Env,
    model: Model,
    domain: Any,
    specification: Specification,
    offset: int = 0,
    limit: int | None = None,
    order: str | None = None,
    count_limit: int | None = None,
) -> dict[str, Any]:
    """Return the records and, under `length`, how many there are (counted up to `count_limit`)."""
    ids = operations.search(env, model, domain, offset, limit, order)
    full = limit is not None and len(ids) == limit
    length = searching.count(env, model, domain, count_limit) if full else len(ids) + (offset or 0)
    return {"length": length, "records": _read(env, model, ids, specification)}


def web_save(env: Env, model: Model, ids: Any, vals: dict[str, Any], specification: Specification) -> list[Record]:
    """Change the records, or create one if there are none, and read them back in the same transaction."""
    listed = as_list(ids)
    if listed:
        operations.write(env, model, listed, vals)
    else:
        access.check(env, model, "create")
        listed = [operations.create_one(env, model, vals)]
    return web_read(env, model, listed, specification)


def _read(env: Env, model: Model, ids: Sequence[int], specification: Specification) -> list[Record]:
    records = read(env, model, ids, list(specification) or ["id"], pairs=False)
    for name, wanted in specification.items():
        field = model.fields[name]
        if "fields" not in wanted or not field.relational:
            continue
        comodel = env.model(field.relation)
        if field.to_many:
            shown = {identifier for record in records for identifier in record[name][: wanted.get("limit")]}
        else:
            shown = {record[name] for record in records if record[name]}
        related = {record["id"]: record for record in _read(env, comodel, sorted(shown), wanted["fields"])}
        for record in records:
            if field.to_many:
                record[name] = [related.get(identifier, {"id": identifier}) for identifier in record[name]]
            elif record[name]:
                record[name] = related[record[name]]
    return records
