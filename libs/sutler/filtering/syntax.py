"""Reads the text of a filter: the grammar, and the tree of what was written, before any field has a type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, TypeAlias

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken, v_args
from lark.exceptions import UnexpectedInput

from sutler.filtering.problems import problem
from sutler.filtering.words import PATH, QUOTED, Word, read_path, read_word

MAX_BYTES = 4096
"""The longest filter, in bytes of UTF-8."""

MAX_DEPTH = 10
"""How deeply AND, OR and NOT may alternate; SQLite's parser, the tightest target, fails at 19."""

_GRAMMAR = rf"""
start: [conjunction]
?conjunction: disjunction (_AND disjunction)*
?disjunction: term (_OR term)*
?term: (_NOT | _MINUS) simple -> negation
     | simple
?simple: PATH OPERATOR (QUOTED | TEXT) -> restriction
       | _LEFT conjunction _RIGHT

_AND: /AND(?![\w.])/
_OR: /OR(?![\w.])/
_NOT.2: /NOT(?![\w.-])/
_MINUS: "-"
_LEFT: "("
_RIGHT: ")"
PATH: /{PATH}/
OPERATOR: /[!<>]=|[=<>:]/
QUOTED: /{QUOTED}/
TEXT: /[^\s()"'\\=<>!,]+/
%ignore /\s+/
"""

_LABELS = {
    "PATH": "a field",
    "OPERATOR": "one of = != < <= > >= :",
    "QUOTED": "a value",
    "TEXT": "a value",
    "_AND": "AND",
    "_OR": "OR",
    "_NOT": "NOT",
    "_MINUS": "-",
    "_LEFT": "(",
    "_RIGHT": ")",
    "$END": "the end",
}
"""What stands for each token in an error, in the order in which they are told."""


@dataclass(frozen=True, slots=True)
class Restriction:
    """A field, an operator, a value."""

    position: int
    path: tuple[str, ...]
    operator: str
    word: Word
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Two or more terms joined by AND or OR."""

    position: int
    operator: Literal["AND", "OR"]
    terms: tuple[Written, ...]
    depth: int


@dataclass(frozen=True, slots=True)
class Negation:
    """NOT or ``-`` before a term."""

    position: int
    term: Written
    depth: int


Written: TypeAlias = Restriction | Group | Negation


def read(text: str) -> Written | None:
    """Returns what a filter says; None if it is empty.

    Raises:
        Invalid: If it is too long, too deep, holds U+0000, or breaks the grammar (FILTER_INVALID, with the position).
    """
    size = len(text.encode())
    if size > MAX_BYTES:
        fits = len(text.encode()[:MAX_BYTES].decode(errors="ignore"))
        raise problem(fits, f"a filter has at most {MAX_BYTES} bytes", limit_bytes=str(MAX_BYTES))
    if "\0" in text:
        raise problem(text.index("\0"), "a filter must not hold U+0000")
    try:
        # The tree is built while parsing, bottom up, so depth is refused before anything recurses.
        written: Written | None = _PARSER.parse(text)  # type: ignore[assignment]
    except UnexpectedInput as error:
        _refuse(text, error)
    return written


@v_args(inline=True)
class _Builder(Transformer[Token, Written | None]):
    """Builds the tree. Lark calls a method for each rule when its parts are complete."""

    def start(self, written: Written | None) -> Written | None:
        return written

    def restriction(self, path: Token, operator: Token, value: Token) -> Restriction:
        position = path.start_pos or 0
        word = read_word(str(value), value.start_pos or 0, quoted=value.type == "QUOTED")
        return Restriction(position, read_path(str(path), position), str(operator), word)

    def negation(self, term: Written) -> Negation:
        return Negation(term.position, term, _deeper(term.position, [term]))

    def conjunction(self, *terms: Written) -> Group:
        return _group("AND", terms)

    def disjunction(self, *terms: Written) -> Group:
        return _group("OR", terms)


def _group(operator: Literal["AND", "OR"], terms: Sequence[Written]) -> Group:
    flat: list[Written] = []
    for term in terms:
        flat.extend(term.terms if isinstance(term, Group) and term.operator == operator else [term])
    return Group(terms[0].position, operator, tuple(flat), _deeper(terms[0].position, flat))


def _deeper(position: int, terms: Sequence[Written]) -> int:
    depth = 1 + max(term.depth for term in terms)
    if depth > MAX_DEPTH:
        raise problem(position, f"AND, OR and NOT nest at most {MAX_DEPTH} levels", limit=str(MAX_DEPTH))
    return depth


_PARSER = Lark(_GRAMMAR, parser="lalr", lexer="contextual", transformer=_Builder())


def _refuse(text: str, error: UnexpectedInput) -> NoReturn:
    names: set[str] = set()
    position = len(text)
    if isinstance(error, UnexpectedToken):
        names = set(error.accepts or error.expected)
        if error.token.type != "$END":
            position = error.token.start_pos or 0
    elif isinstance(error, UnexpectedCharacters):
        names = set(error.allowed or ())
        position = error.pos_in_stream or 0
    labels = {_LABELS[name] for name in names & _LABELS.keys()}
    expected = " or ".join(label for label in dict.fromkeys(_LABELS.values()) if label in labels)
    found = repr(text[position]) if position < len(text) else "the end"
    raise problem(position, f"expected {expected}, found {found}", expected=expected, found=found) from error
