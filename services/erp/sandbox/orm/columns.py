"""The SQL that yields a field's value for a row: a column, an expression, or a path through related records."""

from services.erp.sandbox.errors import BadValue
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.schema.models import Model


def column_sql(env: Env, model: Model, name: str, alias: str) -> str:
    """Return the SQL of a field for the table that goes by `alias`; BadValue for lists of records."""
    field = model.field(name)
    if field.related:
        return _related(env, model, field.related, alias)
    if field.expression:
        return f"({field.expression.replace('{t}', alias)})"
    if field.to_many:
        raise BadValue(f"Cannot convert {model.name}.{name} to SQL because it is not stored")
    return f"{alias}.{model.column(name)}"


def _related(env: Env, model: Model, path: str, alias: str) -> str:
    head, _, rest = path.partition(".")
    if not rest:
        return column_sql(env, model, head, alias)
    comodel = env.model(model.fields[head].relation)
    inner = f"{alias}x"
    value = _related(env, comodel, rest, inner)
    return f"(SELECT {value} FROM {comodel.table} {inner} WHERE {inner}.id = {column_sql(env, model, head, alias)})"
