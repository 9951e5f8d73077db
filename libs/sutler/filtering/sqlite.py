"""Filters in SQLite: JSON1 over TEXT columns.

A key with anything but plain characters is looked up through json_each: SQLite 3.40 compares a path with the raw, still
escaped JSON text of a key, and its paths cannot hold a quote or an empty key at all (https://sqlite.org/json1.html).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sutler.filtering.fragments import FALSE, Sql, Test, join, param, sql
from sutler.filtering.schema import Type

_CONTAINER = "CASE WHEN {}.type IN ('array', 'object') THEN {}.value END"
_PLAIN = re.compile(r"[A-Za-z0-9_ .:$@#+-]+")


class SqliteFilters:
    """The SQL of SQLite. See :class:`sutler.filtering.engines.Engine`."""

    collation = "COLLATE BINARY"

    def suffix(self, value: Sql, text: str) -> Sql:
        """Returns whether a text ends with another."""
        return sql("substr({}, {}) = {}", value, param(-len(text)), param(text))

    def contains(self, value: Sql, text: str) -> Sql:
        """Returns whether a text contains another."""
        return sql("instr({}, {}) > 0", value, param(text))

    def scalar(self, column: str, keys: Sequence[str], kind: Type) -> Sql:
        """Returns a value in a document; NULL where it is of another type."""
        return _scalar(_type(column, keys), _value(column, keys), kind)

    def rank(self, column: str, keys: Sequence[str]) -> Sql:
        """Returns the rank of a value's type."""
        return sql(
            "CASE {} WHEN 'true' THEN 1 WHEN 'false' THEN 1 WHEN 'integer' THEN 2 WHEN 'real' THEN 2"
            " WHEN 'text' THEN 3 ELSE 0 END",
            _type(column, keys),
        )

    def members(self, column: str, keys: Sequence[str], kind: Type, test: Test) -> Sql:
        """Returns whether an array has an element, or an object a key, that passes a test."""
        return sql(
            "EXISTS (SELECT 1 FROM json_each({}) AS filter_member"
            " WHERE CASE typeof(filter_member.key) WHEN 'text' THEN {} ELSE {} END)",
            _container(column, keys),
            test(Sql("filter_member.key")) if kind is Type.TEXT else FALSE,
            test(_scalar(Sql("filter_member.type"), Sql("filter_member.value"), kind)),
        )

    def filled(self, column: str, keys: Sequence[str]) -> Sql:
        """Returns whether there is something else than null, ``[]`` and ``{}``."""
        found = _type(column, keys)
        return sql(
            "COALESCE(CASE WHEN {} IN ('array', 'object') THEN EXISTS (SELECT 1 FROM json_each({}))"
            " ELSE {} <> 'null' END, FALSE)",
            found,
            _container(column, keys),
            found,
        )


def _scalar(found: Sql, value: Sql, kind: Type) -> Sql:
    match kind:
        case Type.TEXT:
            return sql("(CASE {} WHEN 'text' THEN {} END)", found, value)
        case Type.NUMBER:
            return sql("(CASE WHEN {} IN ('integer', 'real') THEN CAST({} AS REAL) END)", found, value)
        case Type.INTEGER:
            return sql("(CASE WHEN {} IN ('integer', 'real') THEN {} END)", found, value)
        case Type.BOOL:
            return sql("(CASE {} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)", found)


def _type(column: str, keys: Sequence[str]) -> Sql:
    if _plain(keys):
        return sql("json_type({}, {})", column, _path(keys))
    return _walk("{}.type", column, keys)


def _value(column: str, keys: Sequence[str]) -> Sql:
    if _plain(keys):
        return sql("json_extract({}, {})", column, _path(keys))
    return _walk("{}.value", column, keys)


def _container(column: str, keys: Sequence[str]) -> Sql:
    """Returns the JSON text of an array or object; NULL for all others, which json_each takes as empty."""
    if _plain(keys):
        return sql("CASE WHEN {} IN ('array', 'object') THEN {} END", _type(column, keys), _value(column, keys))
    return _walk(_CONTAINER, column, keys)


def _walk(wanted: str, column: str, keys: Sequence[str]) -> Sql:
    """Returns what is wanted of the node at the end of a path, key by key. A join, as nested queries would soon be
    too deep for SQLite's parser. An array's keys are numbers and so never equal to one of ours.
    """
    nodes = [f"filter_node{index}" for index in range(len(keys))]
    sources = [column, *(_CONTAINER.format(node, node) for node in nodes)]
    tables = ", ".join(f"json_each({source}) AS {node}" for source, node in zip(sources, nodes, strict=False))
    found = join("AND", [sql("{}.key = {}", node, param(key)) for node, key in zip(nodes, keys, strict=True)])
    return sql(f"(SELECT {wanted.format(nodes[-1], nodes[-1])} FROM {tables} WHERE {{}})", found)


def _plain(keys: Sequence[str]) -> bool:
    return all(_PLAIN.fullmatch(key) for key in keys)


def _path(keys: Sequence[str]) -> Sql:
    return param("$" + "".join(f'."{key}"' for key in keys))
