"""The common methods of every model, as a remote caller may call them: rights are checked, changes are noted.

Each function takes the environment and the model, then the caller's arguments under the names that a real server has.
"""

from collections.abc import Sequence
from typing import Any

from services.erp.sandbox.errors import BadValue
from services.erp.sandbox.orm import access, searching, writing
from services.erp.sandbox.orm.env import Env, Write
from services.erp.sandbox.orm.reading import Record, display_names
from services.erp.sandbox.orm.reading import read as read_records
from services.erp.sandbox.schema.models import Model, Operation

SECRET = "<hidden>"


def search(
    env: Env, model: Model, domain: Any, offset: int = 0, limit: int | None = None, order: str | None = None
) -> list[int]:
    """Return the ids of the records that fulfil the domain."""
    access.check(env, model, "read")
    return searching.find(env, model, domain, offset, limit, order)


def search_count(env: Env, model: Model, domain: Any, limit: int | None = None) -> int:
    """Return how many records fulfil the domain, at most `limit`."""
    access.check(env, model, "read")
    return searching.count(env, model, domain, limit)


def search_read(
    env: Env,
    model: Model,
    domain: Any = None,
    fields: Sequence[str] | None = None,
    offset: int = 0,
    limit: int | None = None,
    order: str | None = None,
    load: str | None = "_classic_read",
) -> list[Record]:
    """Return the fields of the records that fulfil the domain."""
    ids = search(env, model, domain, offset, limit, order)
    return read(env, model, ids, fields, load)


def read(
    env: Env, model: Model, ids: Any, fields: Sequence[str] | None = None, load: str | None = "_classic_read"
) -> list[Record]:
    """Return fields of records; those that do not exist are left out without a word."""
    access.check(env, model, "read")
    return read_records(env, model, writing.as_list(ids), fields, pairs=load == "_classic_read")


def create(env: Env, model: Model, vals_list: Any) -> int | list[int]:
    """Create one record from an object, answering its id, or several from a list, answering theirs."""
    access.check(env, model, "create")
    if not isinstance(vals_list, list):
        return create_one(env, model, vals_list)
    return [create_one(env, model, values) for values in vals_list]


def create_one(env: Env, model: Model, values: dict[str, Any]) -> int:
    """Create a record and note it for the write log."""
    identifier = writing.create(env, model, values)
    note(env, model, "create", [identifier], values)
    return identifier


def write(env: Env, model: Model, ids: Any, vals: dict[str, Any]) -> bool:
    """Change records."""
    access.check(env, model, "write")
    listed = writing.as_list(ids)
    check_records(env, model, "write", listed)
    writing.write(env, model, listed, vals)
    note(env, model, "write", listed, vals)
    return True


def unlink(env: Env, model: Model, ids: Any) -> bool:
    """Delete records."""
    access.check(env, model, "unlink")
    listed = writing.as_list(ids)
    check_records(env, model, "unlink", listed)
    writing.unlink(env, model, listed)
    note(env, model, "unlink", listed, {})
    return True


def copy(env: Env, model: Model, ids: Any, default: dict[str, Any] | None = None) -> list[int]:
    """Duplicate records and answer the new ids, in a list even for one."""
    access.check(env, model, "create")
    listed = writing.as_list(ids)
    searching.require(env, model, listed)
    check_records(env, model, "read", listed)
    return [create_one(env, model, copied_values(env, model, source, default or {})) for source in listed]


def copied_values(env: Env, model: Model, source: int, default: dict[str, Any]) -> dict[str, Any]:
    """Return the values that make a duplicate; of x2many fields links are repeated, owned records duplicated."""
    names = [
        name
        for name, field in model.fields.items()
        if field.copied and not field.kept and (field.has_column or field.to_many) and not field.column
    ]
    [record] = read_records(env, model, [source], [name for name in names if name != "id"] or ["id"], pairs=False)
    values: dict[str, Any] = {}
    for name in names:
        field = model.fields[name]
        if name == "id" or name in default:
            continue
        if field.type == "many2many":
            values[name] = [[6, 0, record[name]]]
        elif field.type == "one2many":
            comodel = env.model(field.relation)
            given = {field.inverse: False}
            values[name] = [[0, 0, copied_values(env, comodel, owned, given)] for owned in record[name]]
        else:
            values[name] = record[name]
    env.behaviour(model).copying(env, values)
    return values | default


def name_search(
    env: Env, model: Model, name: str = "", args: Any = None, operator: str = "ilike", limit: int | None = 100
) -> list[list[Any]]:
    """Return `[id, name]` of the records whose name matches."""
    access.check(env, model, "read")
    domain = [*(["&"] if args else []), *(args or []), ["display_name", operator, name]]
    ids = searching.find(env, model, domain if name else args, limit=limit)
    names = display_names(env, model, ids)
    return [[identifier, names[identifier]] for identifier in ids]


def name_create(env: Env, model: Model, name: str) -> list[Any]:
    """Create a record from a name alone and answer `[id, name]`."""
    access.check(env, model, "create")
    identifier = create_one(env, model, {model.rec_name: name})
    return [identifier, display_names(env, model, [identifier])[identifier]]


def check_access_rights(env: Env, model: Model, operation: str, raise_exception: bool = True) -> bool:
    """Tell whether the user may do the operation on the model at all; AccessError instead of false if asked for."""
    known = _operation(operation)
    if raise_exception:
        access.check(env, model, known)
    return access.may(env, model, known)


def has_access(env: Env, model: Model, ids: Any, operation: str) -> bool:
    """Tell whether the user may do the operation on the model, and on all of the records."""
    known = _operation(operation)
    if not access.may(env, model, known):
        return False
    listed = writing.as_list(ids)
    return not access.record_rule(env, model) or set(listed) <= searching.allowed(env, model, listed)


def _operation(name: str) -> Operation:
    known: tuple[Operation, ...] = ("read", "create", "write", "unlink")
    for operation in known:
        if operation == name:
            return operation
    raise BadValue(f"Invalid access mode {name!r}")


def check_records(env: Env, model: Model, operation: Operation, ids: Sequence[int]) -> None:
    """Raise AccessError for records that exist but that a record rule hides from the user."""
    if access.record_rule(env, model):
        hidden = searching.existing(env, model, ids) - searching.allowed(env, model, ids)
        access.refuse_records(env, model, operation, sorted(hidden))


def note(env: Env, model: Model, method: str, ids: Sequence[int], values: dict[str, Any]) -> None:
    """Remember a change of some records for the write log; passwords are not kept."""
    shown = {name: SECRET if name == "password" else value for name, value in values.items()}
    if ids:
        env.writes.append(Write(model.name, method, tuple(ids), shown))
