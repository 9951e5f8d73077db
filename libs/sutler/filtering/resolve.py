"""Gives what was written its types: fields from the schema, values of their kinds."""

from __future__ import annotations

from sutler.errors import Invalid
from sutler.filtering.literals import open_value, typed
from sutler.filtering.nodes import And, Compare, Has, Match, Node, Not, Op, Or, Pattern, Present, Value
from sutler.filtering.problems import problem, shown
from sutler.filtering.schema import Kind, Ref, Schema, Type
from sutler.filtering.syntax import Group, Negation, Restriction, Written
from sutler.filtering.words import Word


def resolve(written: Written, schema: Schema) -> Node:
    """Returns the typed tree.

    Raises:
        Invalid: If a field is unknown, or a value or an operator does not suit it (FILTER_INVALID, with the position).
    """
    match written:
        case Group(operator="AND", terms=terms):
            return And(tuple(resolve(term, schema) for term in terms))
        case Group(terms=terms):
            return Or(tuple(resolve(term, schema) for term in terms))
        case Negation(term=term):
            return Not(resolve(term, schema))
        case Restriction():
            return _restriction(written, schema)


def _known(schema: Schema) -> str:
    """Returns what there is instead, where the schema knows that by itself."""
    return f"; there is {', '.join(sorted(schema.named))}" if schema.named else ""


def _restriction(written: Restriction, schema: Schema) -> Node:
    ref = schema.find(written.path)
    if ref is None:
        path = shown(".".join(written.path))
        raise problem(written.position, f"there is no field {path!r} to filter by{_known(schema)}", path=path)
    word = written.word
    present = written.operator == ":" and word.text == "*" and not word.quoted
    if ref.field.kind is Kind.WHOLE and not present:
        raise _unsuited(written, "takes :* only, which asks whether it is there")
    if present:
        return Present(ref)
    if written.operator == ":":
        return _has(ref, word)
    if ref.type is None and ref.field.kind is not Kind.OPEN:
        raise _unsuited(written, "takes the operator : only")
    if written.operator == "!=":
        return Not(_compare(written, ref, Op.EQ))
    return _compare(written, ref, Op(written.operator))


def _compare(written: Restriction, ref: Ref, op: Op) -> Node:
    word = written.word
    pattern = _pattern(ref, word)
    if pattern is not None:
        if op is not Op.EQ:
            raise _unsuited(written, "takes a star with the operators = != : only; write \\* for the character")
        return Match(ref, pattern)
    value, kind = _value(ref, word)
    if op is not Op.EQ and (kind is Type.BOOL or ref.field.kind is Kind.ENUM):
        raise _unsuited(written, "has no order: it takes the operators = != : only")
    return Compare(ref, op, value, kind)


def _has(ref: Ref, word: Word) -> Node:
    pattern = _pattern(ref, word)
    if ref.type is None:
        value, kind = _value(ref, word)
        return Has(ref, *((value, kind) if pattern is None else (pattern, Type.TEXT)))
    # AIP-160: `m.foo:42` is true if `m.foo` is 42, so on a single value it is the same as `=`.
    return Compare(ref, Op.EQ, *_value(ref, word)) if pattern is None else Match(ref, pattern)


def _value(ref: Ref, word: Word) -> tuple[Value, Type]:
    if ref.field.kind is Kind.OPEN:
        return open_value(word)
    if ref.field.kind in (Kind.STRING_LIST, Kind.STRING_MAP):
        return word.text, Type.TEXT
    assert ref.type is not None
    return typed(ref.field, word), ref.type


def _pattern(ref: Ref, word: Word) -> Pattern | None:
    """Returns the pattern that a word is; None if it has no star, or the field is not text."""
    text = ref.field.kind in (Kind.STRING, Kind.STRING_LIST, Kind.STRING_MAP, Kind.OPEN)
    if not text or not (word.leading or word.trailing):
        return None
    return Pattern(word.text[word.leading : len(word.text) - word.trailing], word.leading, word.trailing)


def _unsuited(written: Restriction, description: str) -> Invalid:
    path = shown(".".join(written.path))
    return problem(
        written.word.position,
        f"{path!r} {description}",
        path=path,
        operator=written.operator,
        value=shown(written.word.text),
    )
