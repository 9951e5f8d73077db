"""Domains: from Odoo's prefix notation to a tree, with paths resolved and negations pushed down to the leaves.

Negation is two-valued where an operator has an opposite (`!` on `=` is `!=`, which empty fields pass) and SQL's own
where it has none (`=like`, `=ilike`, `child_of`), as on a real server.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.erp.sandbox.errors import BadValue
from services.erp.sandbox.schema.models import Model, Registry

OPPOSITES = {
    "<": ">=",
    ">": "<=",
    "<=": ">",
    ">=": "<",
    "=": "!=",
    "!=": "=",
    "in": "not in",
    "not in": "in",
    "like": "not like",
    "not like": "like",
    "ilike": "not ilike",
    "not ilike": "ilike",
}
SUBDOMAINS = ("any", "not any")
OPERATORS = frozenset({*OPPOSITES, *SUBDOMAINS, "<>", "=?", "=like", "=ilike", "child_of", "parent_of"})
NEGATIVE = frozenset({"!=", "not in", "not like", "not ilike"})
ARITY = {"!": 1, "&": 2, "|": 2}


@dataclass(frozen=True, slots=True)
class Constant:
    """Always true, or never."""

    value: bool


@dataclass(frozen=True, slots=True)
class Leaf:
    """A comparison of one field of the model itself."""

    field: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Related:
    """Some related record fulfils the condition; negated: none does."""

    field: str
    condition: "Node"
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    node: "Node"


@dataclass(frozen=True, slots=True)
class Junction:
    """All (`&`) or any (`|`) of the conditions hold."""

    operator: str
    nodes: tuple["Node", ...]


Node = Constant | Leaf | Related | Not | Junction
EVERYTHING = Constant(True)


def parse(registry: Registry, model: Model, domain: Any) -> Node:
    """Return the tree of a domain; BadValue if it is malformed or names an unknown field or operator."""
    if not domain:
        return EVERYTHING
    if not isinstance(domain, list | tuple):
        raise BadValue(f"Domain {domain!r} is syntactically not correct.")
    stack: list[Node] = []
    for token in reversed(explicit(domain)):
        if token == "!":
            stack.append(negate(stack.pop()))
        elif isinstance(token, str) and token in ARITY:
            stack.append(Junction(token, (stack.pop(), stack.pop())))
        else:
            stack.append(_condition(registry, model, token))
    return stack.pop()


def explicit(domain: Sequence[Any]) -> list[Any]:
    """Write out the `&` that a domain leaves unsaid between its terms."""
    result: list[Any] = []
    expected = 1
    for token in domain:
        if expected == 0:
            result.insert(0, "&")
            expected = 1
        expected += (ARITY.get(token, 0) if isinstance(token, str) else 0) - 1
        result.append(token)
    if expected:
        raise BadValue(f"Domain {domain} is syntactically not correct.")
    return result


def negate(node: Node) -> Node:
    """Return the opposite of a condition."""
    match node:
        case Constant(value):
            return Constant(not value)
        case Not(inner):
            return inner
        case Junction(operator, nodes):
            return Junction("|" if operator == "&" else "&", tuple(negate(inner) for inner in nodes))
        case Related(field, condition, negated):
            return Related(field, condition, not negated)
        case Leaf(field, operator, value) if operator in OPPOSITES:
            return Leaf(field, OPPOSITES[operator], value)
        case _:
            return Not(node)


def names_field(node: Node, name: str) -> bool:
    """Tell whether a condition on the model's own field `name` is part of the tree."""
    match node:
        case Leaf(field, _, _):
            return field == name
        case Not(inner):
            return names_field(inner, name)
        case Junction(_, nodes):
            return any(names_field(inner, name) for inner in nodes)
        case _:
            return False


def _condition(registry: Registry, model: Model, token: Any) -> Node:
    try:
        left, operator, value = token
    except ValueError as error:
        raise BadValue(str(error)) from None
    except TypeError:
        raise BadValue(f"Invalid leaf {token!r}") from None
    if left in (0, 1) and operator == "=" and value == 1:
        return Constant(left == 1)
    written = (left, operator, value)
    head, _, rest = left.partition(".") if isinstance(left, str) else ("", "", "")
    field = model.fields.get(head)
    if field is None:
        raise BadValue(f"Invalid field {model.name}.{head} in leaf {written!r}")
    if field.related:
        return _condition(registry, model, (f"{field.related}.{rest}" if rest else field.related, operator, value))
    if rest and field.relational:
        return Related(head, _condition(registry, registry[field.relation], (rest, operator, value)))
    if rest:
        raise BadValue(f"Invalid field {left!r} on model {model.name!r}")
    if not isinstance(operator, str) or operator.lower() not in OPERATORS:
        raise BadValue(f"Invalid leaf {written!r}")
    if operator in SUBDOMAINS:
        if not field.relational:
            raise BadValue(f"Invalid leaf {written!r}")
        return Related(head, parse(registry, registry[field.relation], value), operator == "not any")
    return _leaf(head, operator.lower(), value)


def _leaf(field: str, operator: str, value: Any) -> Node:
    if operator == "<>":
        operator = "!="
    if operator == "=?":
        if value is None or value is False:
            return EVERYTHING
        operator = "="
    if isinstance(value, bool) and operator in ("in", "not in"):
        operator = "=" if operator == "in" else "!="
    if isinstance(value, list | tuple) and operator in ("=", "!="):
        operator = "in" if operator == "=" else "not in"
    return Leaf(field, operator, value)
