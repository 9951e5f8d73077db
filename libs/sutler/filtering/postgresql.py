"""Filters in PostgreSQL: TEXT columns cast to jsonb."""

from __future__ import annotations

from collections.abc import Sequence

from sutler.filtering.fragments import FALSE, Sql, Test, param, sql
from sutler.filtering.schema import Type


class PostgresqlFilters:
    """The SQL of PostgreSQL. See :class:`sutler.filtering.engines.Engine`.

    Casts stand in CASE, which alone promises that they run only where they can succeed
    (https://www.postgresql.org/docs/current/sql-expressions.html#SYNTAX-EXPRESS-EVAL).
    """

    collation = 'COLLATE "C"'

    def suffix(self, value: Sql, text: str) -> Sql:
        """Returns whether a text ends with another."""
        return sql('right({}, {}::int) COLLATE "C" = {}', value, param(len(text)), param(text))

    def contains(self, value: Sql, text: str) -> Sql:
        """Returns whether a text contains another."""
        return sql('strpos({} COLLATE "C", {}) > 0', value, param(text))

    def scalar(self, column: str, keys: Sequence[str], kind: Type) -> Sql:
        """Returns a value in a document; NULL where it is of another type."""
        return _scalar(_node(column, keys), kind)

    def rank(self, column: str, keys: Sequence[str]) -> Sql:
        """Returns the rank of a value's type."""
        return sql(
            "CASE jsonb_typeof({}) WHEN 'boolean' THEN 1 WHEN 'number' THEN 2 WHEN 'string' THEN 3 ELSE 0 END",
            _node(column, keys),
        )

    def members(self, column: str, keys: Sequence[str], kind: Type, test: Test) -> Sql:
        """Returns whether an array has an element, or an object a key, that passes a test."""
        node = _node(column, keys)
        return sql(
            "(CASE jsonb_typeof({})"
            " WHEN 'array' THEN EXISTS (SELECT 1 FROM jsonb_array_elements({}) AS filter_member(item) WHERE {})"
            " WHEN 'object' THEN EXISTS (SELECT 1 FROM jsonb_object_keys({}) AS filter_member(item) WHERE {})"
            " ELSE FALSE END)",
            node,
            node,
            test(_scalar(Sql("filter_member.item"), kind)),
            node,
            test(Sql("filter_member.item")) if kind is Type.TEXT else FALSE,
        )

    def filled(self, column: str, keys: Sequence[str]) -> Sql:
        """Returns whether there is something else than null, ``[]`` and ``{}``."""
        return sql("COALESCE({} NOT IN ('null', '[]', '{{}}'), FALSE)", _node(column, keys))


def _scalar(node: Sql, kind: Type) -> Sql:
    match kind:
        case Type.TEXT:
            return sql("(CASE jsonb_typeof({}) WHEN 'string' THEN {} #>> '{{}}' END)", node, node)
        case Type.NUMBER:
            return sql("(CASE jsonb_typeof({}) WHEN 'number' THEN {}::float8 END)", node, node)
        case Type.INTEGER:
            return sql("(CASE jsonb_typeof({}) WHEN 'number' THEN {}::numeric END)", node, node)
        case Type.BOOL:
            return sql("(CASE {} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)", node)


def _node(column: str, keys: Sequence[str]) -> Sql:
    """Returns the JSON at a place. ``->`` with text finds keys of objects only; ``#>`` would also index arrays."""
    node = sql("{}::jsonb", column)
    for key in keys:
        node = sql("{} -> {}::text", node, param(key))
    return sql("({})", node)
