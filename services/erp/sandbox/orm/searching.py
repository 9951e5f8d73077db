"""Finding records: ids, counts, and which of given ids exist."""

from collections.abc import Sequence
from typing import Any

from services.erp.sandbox.errors import MissingError
from services.erp.sandbox.orm.conditions import visible
from services.erp.sandbox.orm.domain import parse
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.ordering import order_sql
from services.erp.sandbox.orm.sql import one_of
from services.erp.sandbox.schema.models import Model

ALIAS = "t"


def find(
    env: Env, model: Model, domain: Any, offset: int = 0, limit: int | None = None, order: str | None = None
) -> list[int]:
    """Return the ids of the records that fulfil the domain, in order."""
    where = visible(env, model, parse(env.registry, model, domain), ALIAS)
    sorting = order_sql(env, model, order, ALIAS)
    sql = f"SELECT t.id FROM {model.table} t WHERE {where.text} ORDER BY {sorting} LIMIT ? OFFSET ?"
    return [row[0] for row in env.rows(sql, (*where.params, limit or -1, offset or 0))]


def count(env: Env, model: Model, domain: Any, limit: int | None = None) -> int:
    """Return how many records fulfil the domain, at most `limit`."""
    where = visible(env, model, parse(env.registry, model, domain), ALIAS)
    inner = f"SELECT 1 FROM {model.table} t WHERE {where.text} LIMIT ?"
    return int(env.value(f"SELECT count(*) FROM ({inner})", (*where.params, limit or -1)))


def existing(env: Env, model: Model, ids: Sequence[int]) -> set[int]:
    """Return those of the ids that exist, whoever may see them."""
    listed = one_of(ids)
    return {row[0] for row in env.rows(f"SELECT id FROM {model.table} WHERE id IN {listed.text}", listed.params)}


def require(env: Env, model: Model, ids: Sequence[int]) -> None:
    """Raise MissingError unless all ids exist."""
    found = existing(env, model, ids)
    missing = [identifier for identifier in ids if identifier not in found]
    if missing:
        raise MissingError(model.name, missing, env.user.id)


def allowed(env: Env, model: Model, ids: Sequence[int]) -> set[int]:
    """Return those of the ids that the user may see."""
    seen = env.with_context(active_test=False)
    return set(find(seen, model, [["id", "in", list(ids)]], order="id"))
