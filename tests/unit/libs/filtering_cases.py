"""Random documents, and random filters that have to do with them.

Made with a Random from hypothesis and not of its strategies: those rarely make a filter that meets a value deep in a
document, and a filter that passes nothing proves little.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any, TypeAlias

from sutler.filtering import Kind

from tests.unit.libs.filtering_model import PATHS, SCHEMA, STATES, TIERS, Leaf, Tree, item

Document: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str, tuple[str, ...], Any]

# Quotes, escapes, wildcards of LIKE and GLOB, case, and the places where UTF-16 and code points disagree.
_CHARACTERS = "aAb%_*?[\\\"' .\n" + "é\u00df\ud7ff\ue000\uffff\U0001f600\U0010ffff"
_TEXTS = ["", "a", "ab", "aab", "a*b", "*", "**", "x"]
_INTS = [-2, -1, 0, 1, 2, 3, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
_FLOATS = [-1.5, 0.0, -0.0, 0.1, 0.30000000000000004, 1.0, 2.0, 2.0**53, 1e300, -5e-324, 1.7976931348623157e308]
_TIMES = [-1.5, 0.0, 0.5, 1.0, 1767222000.25, 1767222001.0]
_SPANS = [-0.5, 0.0, 0.5, 1.0, 90.0]
_KEYS = ["a", "b", "size", "a.b", "é", 'x"y', "back\\slash", "", "A", "0", "1", "it's", "app.io/name", "*"]
_HINTED = {str: Kind.STRING, int: Kind.DOUBLE, float: Kind.DOUBLE, bool: Kind.BOOL}


def text(r: Random) -> str:
    return r.choice(_TEXTS) if r.random() < 0.5 else "".join(r.choices(_CHARACTERS, k=r.randint(1, 4)))


def number(r: Random) -> float:
    return r.choice(_FLOATS) if r.random() < 0.6 else r.uniform(-2, 2) * 10.0 ** r.randint(-300, 300)


def key(r: Random) -> str:
    return r.choice(_KEYS) if r.random() < 0.9 else text(r)


def json_value(r: Random, depth: int) -> Any:
    match r.randint(0, 10 if depth else 5):
        case 0:
            return r.choice([None, True, False])
        case 1:
            return r.choice([r.randint(-2, 3), 2**53 + 1])
        case 2:
            return number(r)
        case 3 | 4 | 5:
            return text(r)
        case 6 | 7:
            return [json_value(r, depth - 1) for _ in range(r.randint(0, 3))]
    return {key(r): json_value(r, depth - 1) for _ in range(r.randint(0, 3))}


def document(r: Random) -> Document:
    found: Document = {
        "title": text(r),
        "size": r.choice(_INTS),
        "ratio": number(r),
        "done": r.choice([True, False]),
        "create_time": r.choice(_TIMES),
        "ttl": r.choice(_SPANS),
        "state": r.choice(sorted(STATES.values())),
        "tier": r.choice(sorted(TIERS.values())),
        "labels": [text(r) for _ in range(r.randint(0, 3))],
        "tags": {key(r): text(r) for _ in range(r.randint(0, 3))},
        "properties": json_value(r, 3) if r.random() < 0.2 else {key(r): json_value(r, 2) for _ in range(3)},
    }
    spec = {
        "title": r.choice([None, text(r)]),
        "inner": {"size": r.choice(_INTS)} if r.random() < 0.8 else {},
        "ratio": number(r),
        "done": r.choice([True, False]),
        "labels": [text(r) for _ in range(r.randint(0, 3))],
        "failure": r.choice([{}, [], {"code": r.choice(_INTS)}, [{"code": 1}]]),
        "open": json_value(r, 3),
    }
    kept = {name: value if r.random() < 0.8 else None for name, value in found.items()}
    return {**kept, "spec": {name: value for name, value in spec.items() if r.random() < 0.8}}


def case(r: Random) -> tuple[list[Document], list[Leaf | Tree]]:
    """Returns some documents and some filters."""
    documents = [document(r) for _ in range(r.randint(1, 8))]
    places = _places(documents)
    return documents, [*(_leaf(r, places) for _ in range(12)), *(_tree(r, places, 4) for _ in range(4))]


def _places(documents: list[Document]) -> list[Place]:
    """Returns fields with paths that lead somewhere and values that are there."""
    found: list[Place] = [(name, path, None) for name, path in PATHS.items()]
    for one in documents:
        for name, path in PATHS.items():
            value: Any = item(one)
            for segment in path:
                value = value.get(segment) if isinstance(value, dict) else None
            found.extend((name, where, hint) for where, hint in _inside(path, value))
    return [place for place in found if place[0] != "name"]


def _inside(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields what can be met at and below a value: itself, elements, keys."""
    if isinstance(value, list):
        yield from ((path, element) for element in value if not isinstance(element, dict | list))
    elif isinstance(value, dict):
        yield from ((path, inner) for inner in value)
        for segment, inner in value.items():
            yield from _inside((*path, segment), inner)
    else:
        yield path, value


def _operators(kind: Kind) -> list[str]:
    if kind in (Kind.STRING_LIST, Kind.STRING_MAP, Kind.WHOLE):
        return [":"]
    if kind in (Kind.BOOL, Kind.ENUM):
        return ["=", "!=", ":"]
    return ["=", "!=", ":", "<", "<=", ">", ">="]


def _leaf(r: Random, places: list[Place]) -> Leaf:
    name = r.choice(sorted({place[0] for place in places}))
    name, path, hint = r.choice([place for place in places if place[0] == name])
    kind = SCHEMA.fields[name].kind
    if kind in (Kind.OPEN, Kind.STRING_MAP) and path == PATHS[name] and r.random() < 0.3:
        path, hint = (*path, key(r)), None
    if kind is Kind.STRING_MAP and path != PATHS[name]:
        kind = Kind.STRING
    operator = r.choice(_operators(kind))
    space = r.choice(["", " ", "\n "])
    where = ".".join([name, *(_segment(r, segment) for segment in path[len(PATHS[name]) :])]) + space + operator + space
    if operator == ":" and (kind is Kind.WHOLE or r.random() < 0.3):
        return Leaf(path, "presence", operator, None, False, False, f"{where}*")
    if kind is Kind.ENUM:
        values = SCHEMA.fields[name].values
        shown = r.choice(sorted(values))
        compared = "text" if isinstance(values[shown], str) else "int"
        return Leaf(path, compared, operator, values[shown], False, False, where + shown)
    compared, value, leading, trailing, written = _value(r, kind, operator, hint if r.random() < 0.7 else None)
    return Leaf(path, compared, operator, value, leading, trailing, where + written)


def _segment(r: Random, segment: str) -> str:
    return segment if re.fullmatch("[A-Za-z0-9]+", segment) and r.random() < 0.5 else _quoted(r, segment)


def _quoted(r: Random, value: str) -> str:
    quote = r.choice("\"'")
    return quote + value.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


def _value(r: Random, kind: Kind, operator: str, hint: Any) -> tuple[str, Any, bool, bool, str]:
    """Returns the kind of comparison, the value, its stars, and how it is written."""
    equality = operator in ("=", "!=", ":")
    if kind is Kind.OPEN:
        kind = _HINTED.get(type(hint), r.choice([Kind.STRING, Kind.DOUBLE, Kind.BOOL]))
        kind = Kind.STRING if kind is Kind.BOOL and not equality else kind
    match kind:
        case Kind.STRING | Kind.STRING_LIST | Kind.STRING_MAP:
            return _text_value(r, equality, hint)
        case Kind.INT:
            whole = r.choice(_INTS) if hint is None else hint
            return "int", whole, False, False, str(whole)
        case Kind.BOOL:
            flag = r.choice([True, False])
            return "bool", flag, False, False, str(flag).lower()
        case Kind.TIME:
            time = r.choice(_TIMES)
            return "number", time, False, False, _time_text(r, time)
        case Kind.DURATION:
            span = r.choice(_SPANS)
            return "number", span, False, False, f"{span}s"
    wanted = hint + r.choice([-1, 0, 0, 1]) if hint is not None else r.choice([number(r), r.randint(-2, 3), 2**53 + 1])
    return "number", wanted, False, False, repr(wanted)


def _text_value(r: Random, starred: bool, hint: Any) -> tuple[str, Any, bool, bool, str]:
    value = hint if isinstance(hint, str) else text(r)
    leading, trailing = (r.random() < 0.4, r.random() < 0.4) if starred else (False, False)
    value = value[int(leading) : len(value) - int(trailing)]
    quoted = _quoted(r, value)
    body = re.sub(r"^\*|\*$", r"\\*", quoted[1:-1])
    return "text", value, leading, trailing, quoted[0] + "*" * leading + body + "*" * trailing + quoted[0]


def _time_text(r: Random, value: float) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)
    shown = moment.astimezone(timezone(timedelta(minutes=r.choice([0, 60, -330])))).isoformat()
    return r.choice([f'"{shown}"', shown, shown.replace("+00:00", "Z")])


def _tree(r: Random, places: list[Place], depth: int) -> Leaf | Tree:
    if depth == 0 or r.random() < 0.15:
        return _leaf(r, places)
    operator = r.choice(["AND", "OR", "NOT"])
    terms = tuple(_tree(r, places, depth - 1) for _ in range(1 if operator == "NOT" else r.randint(2, 3)))
    if operator == "NOT":
        inner = f"({terms[0].text})" if isinstance(terms[0], Tree) else terms[0].text
        return Tree(operator, terms, r.choice(["NOT ", "-"]) + inner)
    # OR binds tighter than AND, and NOT tighter than both: only AND within OR needs parentheses.
    written = []
    for term in terms:
        needed = operator == "OR" and isinstance(term, Tree) and term.operator == "AND"
        written.append(f"({term.text})" if needed or r.random() < 0.3 else term.text)
    return Tree(operator, terms, f" {operator} ".join(written))
