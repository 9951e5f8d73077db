"""Templates: open data whose strings may hold ``${…}`` with a CEL expression.

A string that is nothing but one ``${…}`` becomes the value itself with its type; else the values are put into the
text. ``$${`` stands for ``${``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sutler.errors import Violation
from sutler.expressions import Bindings, Environment, EvaluationFailed, Expression, ExpressionInvalid

from services.rule.faults import Fault, at
from services.rule.values import plain, text

Part = str | Expression
_OPENING = {"{": "}", "[": "]", "(": ")"}


class TemplateInvalid(Exception):
    """A text whose ``${…}`` does not end or does not compile.

    Args:
        reason: What is wrong.
        position: Where, as ``line:column``.
    """

    def __init__(self, reason: str, position: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position


@dataclass(frozen=True, slots=True)
class Text:
    """A string with expressions in it.

    Attributes:
        parts: The literal pieces and the expressions, in order.
        in_address: Percent-encodes the values, so that each stays within its part of an address.
    """

    parts: tuple[Part, ...]
    in_address: bool = False

    @property
    def source(self) -> str:
        """The string as its author wrote it."""
        return "".join(p.replace("${", "$${") if isinstance(p, str) else f"${{{p.text}}}" for p in self.parts)

    @property
    def expressions(self) -> tuple[str, ...]:
        """The texts of the expressions."""
        return tuple(part.text for part in self.parts if isinstance(part, Expression))

    def render(self, bindings: Bindings) -> Any:
        """Returns the value. Raises EvaluationFailed as :meth:`Expression.evaluate` does."""
        if self.in_address:
            return "".join(p if isinstance(p, str) else _encoded(p.evaluate(bindings)) for p in self.parts)
        if len(self.parts) == 1 and isinstance(self.parts[0], Expression):
            return plain(self.parts[0].evaluate(bindings))
        return "".join(p if isinstance(p, str) else text(p.evaluate(bindings)) for p in self.parts)


Keep = Callable[[Text], bool]


@dataclass(frozen=True, slots=True)
class Template:
    """Compiled open data: the data, with a :class:`Text` where a string has expressions.

    Attributes:
        body: The data.
        sources: The texts of all expressions in it.
    """

    body: Any
    sources: tuple[str, ...]

    def render(self, bindings: Bindings, keep: Keep | None = None) -> Any:
        """Returns the data with the values. Raises EvaluationFailed as :meth:`Expression.evaluate` does.

        Args:
            bindings: The values.
            keep: Says which strings are left as their author wrote them; none if None.
        """
        return _render(self.body, bindings, keep)


def _encoded(value: Any) -> str:
    written = text(value)
    if written in (".", ".."):
        raise EvaluationFailed(f"{written!r} would lead to another place of the address")
    return quote(written, safe="")


def is_template(value: Any) -> bool:
    """Returns whether a value is a string with an expression in it; one that does not compile counts too."""
    return isinstance(value, str) and "${" in value.replace("$${", "")


def compile_template(value: Any, field: str, environment: Environment, found: list[Violation]) -> Template:
    """Compiles open data; what is wrong is added to ``found``.

    Args:
        value: JSON.
        field: The path of the data, for violations.
        environment: The variables of its expressions.
        found: Where violations are added.
    """
    sources: list[str] = []
    return Template(_compile(value, field, environment, found, sources), tuple(sources))


def _compile(value: Any, field: str, env: Environment, found: list[Violation], sources: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _compile(item, f"{field}.{key}", env, found, sources) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_compile(item, f"{field}[{i}]", env, found, sources) for i, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        parts = tuple(_parts(value, env.compile))
    except TemplateInvalid as error:
        found.append(Fault(field, f"{error.position}: {error.reason}", "TEMPLATE_INVALID", at(error.position)))
        return value
    sources.extend(part.text for part in parts if isinstance(part, Expression))
    if any(isinstance(part, Expression) for part in parts):
        return Text(parts)
    return "".join(part for part in parts if isinstance(part, str))


def _parts(value: str, compile_: Callable[[str], Expression]) -> Iterator[Part]:
    literal, index = "", 0
    while (start := value.find("${", index)) >= 0:
        if value[start - 1 : start] == "$" and start > index:
            literal += value[index : start - 1] + "${"
            index = start + 2
            continue
        literal += value[index:start]
        if literal:
            yield literal
            literal = ""
        end = _end(value, start + 2)
        try:
            yield compile_(value[start + 2 : end])
        except ExpressionInvalid as error:
            raise TemplateInvalid(error.reason, _position(value, start + 2, error.position)) from error
        index = end + 1
    literal += value[index:]
    if literal:
        yield literal


def _end(value: str, start: int) -> int:
    """Returns the index of the brace that ends an expression; those in its strings and maps do not count."""
    expected: list[str] = []
    index = start
    while index < len(value):
        character = value[index]
        if character in "\"'":
            index = _after_string(value, index) - 1
        elif character in _OPENING:
            expected.append(_OPENING[character])
        elif expected and character == expected[-1]:
            expected.pop()
        elif character == "}":
            return index
        index += 1
    raise TemplateInvalid("the ${ has no } that ends it", _position(value, start - 2))


def _after_string(value: str, start: int) -> int:
    """Returns the index after a CEL string, which may be raw, or have three quotes."""
    quote = value[start]
    raw = value[max(0, start - 1) : start] in ("r", "R")
    mark = quote * 3 if value.startswith(quote * 3, start) else quote
    index = start + len(mark)
    while index < len(value):
        if value[index] == "\\" and not raw:
            index += 2
        elif value.startswith(mark, index):
            return index + len(mark)
        else:
            index += 1
    raise TemplateInvalid("a text in the expression does not end", _position(value, start))


def _position(value: str, start: int, inner: str = "") -> str:
    """Returns a place in a text: of a character, or of one in the expression that begins there."""
    line, column = 1 + value.count("\n", 0, start), start - value.rfind("\n", 0, start)
    if not inner:
        return f"{line}:{column}"
    inner_line, inner_column = map(int, inner.split(":"))
    return f"{line + inner_line - 1}:{column + inner_column - 1 if inner_line == 1 else inner_column}"


def _render(body: Any, bindings: Bindings, keep: Keep | None) -> Any:
    if isinstance(body, Text):
        return body.source if keep is not None and keep(body) else body.render(bindings)
    if isinstance(body, dict):
        return {key: _render(item, bindings, keep) for key, item in body.items()}
    if isinstance(body, Sequence) and not isinstance(body, str):
        return [_render(item, bindings, keep) for item in body]
    return body
