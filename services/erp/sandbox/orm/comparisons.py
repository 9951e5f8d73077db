"""One comparison of a column with a value."""

from typing import Any

from services.erp.sandbox.errors import BadValue
from services.erp.sandbox.orm.domain import NEGATIVE, Leaf
from services.erp.sandbox.orm.sql import FALSE, TRUE, Sql, one_of
from services.erp.sandbox.orm.values import to_operand
from services.erp.sandbox.schema.fields import Field

WILDCARD = ("like", "ilike", "not like", "not ilike")
ORDERINGS = ("<", "<=", ">", ">=")


def compare(column: str, leaf: Leaf, field: Field) -> Sql:
    """Return the SQL of a comparison that is not about related records."""
    operator, value = leaf.operator, leaf.value
    number = field.number and leaf.field != "id"
    if operator in ("in", "not in"):
        return _membership(column, leaf, field, number)
    if field.type == "boolean" and operator in ("=", "!=") and isinstance(value, bool):
        wanted = value if operator == "=" else not value
        return Sql(f"{column} = 1" if wanted else f"{column} IS NULL OR {column} = 0")
    if operator in ("=", "!="):
        if (field.relational or leaf.field == "id") and not value:
            value = False
        if value is False or value is None:
            if not (number or field.text):
                return Sql(f"{column} IS {'NOT ' if operator == '!=' else ''}NULL")
            value = 0 if number else ""
    if operator.endswith("like"):
        return _like(column, operator, value)
    if field.type == "datetime" and isinstance(value, str) and len(value) == 10:
        value += " 23:59:59" if operator in (">", "<=") else " 00:00:00"
    operand = to_operand(field, value)
    text = f"{column} {operator} ?"
    if _empty_counts(operator, value, operand, number):
        text = f"{text} OR {column} IS NULL"
    return Sql(text, (operand,))


def _empty_counts(operator: str, value: Any, operand: Any, number: bool) -> bool:
    """Tell whether an empty column fulfils the comparison."""
    if operator not in ORDERINGS:
        return bool(value) == (operator in NEGATIVE)
    if not number or operand is None:
        return False
    return bool(
        {"<": operand > 0, "<=": operand >= 0, ">": operand < 0, ">=": operand <= 0}[operator],
    )


def _like(column: str, operator: str, value: Any) -> Sql:
    wildcard = operator in WILDCARD
    if wildcard and not value:
        return FALSE if operator in NEGATIVE else TRUE
    pattern = f"%{value}%" if wildcard else str(value or "")
    text = f"matches({column}, ?, {int(operator.endswith('ilike'))})"
    if operator in NEGATIVE:
        text = f"NOT {text} OR {column} IS NULL"
    elif not wildcard and not value:
        text = f"{text} OR {column} IS NULL"
    return Sql(text, (pattern,))


def _membership(column: str, leaf: Leaf, field: Field, number: bool) -> Sql:
    if not isinstance(leaf.value, list | tuple):
        raise BadValue(f"Invalid domain term {(leaf.field, leaf.operator, leaf.value)!r}")
    values = [item for item in leaf.value if item is not False and item is not None]
    with_empty = len(values) < len(leaf.value)
    if field.type == "boolean":
        values = ([True] if any(values) else []) + ([False] if with_empty else [])
        operands = [int(item) for item in values]
    else:
        nothing: Any = 0 if number else "" if field.text else None
        if nothing is not None:
            if with_empty and nothing not in values:
                values.append(nothing)
            with_empty = with_empty or nothing in values
        operands = [to_operand(field, item) for item in values]
    positive = leaf.operator == "in"
    if operands:
        listed = one_of(operands)
        text, params = f"{column} {leaf.operator} {listed.text}", listed.params
    else:
        text, params = ("0" if positive else "1"), ()
    if positive == with_empty:
        return Sql(f"({text}) OR {column} IS NULL", params)
    if with_empty:
        return Sql(f"({text}) AND {column} IS NOT NULL", params)
    return Sql(text, params)
