"""The `order` of a search in SQL. Empty values come last going up and first going down, texts by code point."""

import re
from dataclasses import dataclass

from services.erp.sandbox.errors import UserError
from services.erp.sandbox.orm.columns import column_sql
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.schema.models import Model

TERM = re.compile(r"(?P<field>[a-z0-9_]+)(?:\s+(?P<way>asc|desc))?(?:\s+nulls\s+(?P<nulls>first|last))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Term:
    """One SQL expression to sort by."""

    sql: str
    down: bool
    nulls: str = ""

    def __str__(self) -> str:
        way = f"{self.sql} {'DESC' if self.down else 'ASC'}"
        return f"{way} NULLS {self.nulls}" if self.nulls else way


def order_sql(env: Env, model: Model, order: str | None, alias: str) -> str:
    """Return the ORDER BY expression; the model's own order if none is asked for.

    UserError if the text is no order, BadValue for a field that cannot be sorted by.
    """
    return ", ".join(map(str, _terms(env, model, order or model.order, alias, (), reverse=False)))


def _terms(env: Env, model: Model, order: str, alias: str, seen: tuple[str, ...], *, reverse: bool) -> list[_Term]:
    terms: list[_Term] = []
    for part in order.split(","):
        found = TERM.fullmatch(part.strip())
        if not found:
            raise UserError(
                f'Invalid "order" specified ({order}). A valid "order" specification is a comma-separated list of '
                "valid field names (optionally followed by asc/desc for the direction)"
            )
        down = ((found["way"] or "asc").lower() == "desc") != reverse
        name = found["field"]
        field = model.field(name)
        column = column_sql(env, model, name, alias)
        if field.type == "many2one":
            if field.relation not in seen:
                terms += _by_related(env, field.relation, column, (*seen, field.relation), reverse=down)
        elif name == "id":
            terms.append(_Term(column, down))
        else:
            nulls = (found["nulls"] or ("first" if down else "last")).upper()
            terms.append(_Term(f"COALESCE({column}, 0)" if field.type == "boolean" else column, down, nulls))
    return terms or [_Term(f"{alias}.id", down=False)]


def _by_related(env: Env, relation: str, column: str, seen: tuple[str, ...], *, reverse: bool) -> list[_Term]:
    """Sort by a many2one as its records are sorted themselves; each term becomes a subselect."""
    comodel = env.model(relation)
    inner = f"o{len(seen)}"
    source = f"FROM {comodel.table} {inner} WHERE {inner}.id = {column}"
    return [
        _Term(f"(SELECT {term.sql} {source})", term.down, term.nulls or ("FIRST" if term.down else "LAST"))
        for term in _terms(env, comodel, comodel.order, inner, seen, reverse=reverse)
    ]
