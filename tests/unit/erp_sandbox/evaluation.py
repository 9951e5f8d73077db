"""A second, plain reading of domains: over rows as Python objects, one condition at a time, without SQL.

None stands for SQL's unknown.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Verdict = bool | None
OPPOSITE = {
    "=": "!=",
    "!=": "=",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
    "in": "not in",
    "not in": "in",
    "like": "not like",
    "not like": "like",
    "ilike": "not ilike",
    "not ilike": "ilike",
}
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@dataclass
class Evaluator:
    """Tells which rows fulfil a domain.

    `rows` are by model and id; `kinds` say what an empty value means; a path through `only_active` passes over
    archived records, as fields do that are declared so.
    """

    rows: dict[str, dict[int, Row]]
    relations: dict[str, str]
    kinds: dict[str, str]
    only_active: frozenset[str] = frozenset({"child_ids"})

    def matching(self, model: str, domain: list[Any]) -> set[int]:
        return {identifier for identifier, row in self.rows[model].items() if self._all(row, domain) is True}

    def _all(self, row: Row, domain: list[Any]) -> Verdict:
        verdicts, rest = [], list(domain)
        while rest:
            verdict, rest = self._term(row, rest, negated=False)
            verdicts.append(verdict)
        return _and(verdicts)

    def _term(self, row: Row, tokens: list[Any], *, negated: bool) -> tuple[Verdict, list[Any]]:
        token, rest = tokens[0], tokens[1:]
        if token == "!":
            return self._term(row, rest, negated=not negated)
        if token in ("&", "|"):
            left, rest = self._term(row, rest, negated=negated)
            right, rest = self._term(row, rest, negated=negated)
            both = (token == "&") != negated
            return (_and([left, right]) if both else _not(_and([_not(left), _not(right)]))), rest
        return self._leaf(row, *token, negated=negated), rest

    def _leaf(self, row: Row, path: str, operator: str, value: Any, *, negated: bool) -> Verdict:
        head, _, tail = path.partition(".")
        if tail:
            found = any(self._leaf(other, tail, operator, value, negated=False) for other in self._related(row, head))
            return found != negated
        if negated and operator in OPPOSITE:
            return self._compare(row, head, OPPOSITE[operator], value)
        verdict = self._compare(row, head, operator, value)
        return _not(verdict) if negated else verdict

    def _related(self, row: Row, name: str) -> list[Row]:
        table = self.rows[self.relations[name]]
        ids = row[name] if isinstance(row[name], list) else [row[name]]
        related = [table[identifier] for identifier in ids if identifier is not None]
        return [other for other in related if other["active"]] if name in self.only_active else related

    def _compare(self, row: Row, name: str, operator: str, value: Any) -> Verdict:
        stored, kind = row[name], self.kinds.get(name, "")
        if isinstance(stored, list):
            return _links(stored, operator, value)
        if operator == "child_of":
            return self._below(row, value)
        if operator.endswith("like"):
            return _like(stored, operator, value)
        if operator in ORDER:
            stored = 0 if stored is None and kind == "number" else stored
            return None if stored is None else ORDER[operator](stored, value)
        wanted = value if isinstance(value, list) else [value]
        found = any(_same(stored, one, kind) for one in wanted)
        return found == (operator in ("=", "in"))

    def _below(self, row: Row, ancestor: int) -> bool:
        current: Row | None = row
        while current is not None:
            if current["id"] == ancestor:
                return True
            current = self.rows["res.partner"].get(current["parent_id"])
        return False


def _and(verdicts: list[Verdict]) -> Verdict:
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _not(verdict: Verdict) -> Verdict:
    return None if verdict is None else not verdict


def _same(stored: Any, wanted: Any, kind: str) -> bool:
    nothing = {"number": 0, "text": "", "boolean": False}.get(kind)
    stored = nothing if stored is None else stored
    wanted = nothing if wanted is None or wanted is False else wanted
    return bool(stored == wanted)


def _links(stored: list[int], operator: str, value: Any) -> bool:
    positive = operator in ("=", "in")
    found = not stored if value is False else bool(set(stored) & set(value if isinstance(value, list) else [value]))
    return found == positive


def _like(stored: str | None, operator: str, value: str) -> Verdict:
    negative = operator.startswith("not")
    if not operator.startswith("=") and not value:
        return not negative
    if stored is None:
        return True if negative or not value else None
    pattern = value if operator.startswith("=") else f"%{value}%"
    if operator.endswith("ilike"):
        stored, pattern = stored.lower(), pattern.lower()
    return _fits(stored, pattern) != negative


def _fits(text: str, pattern: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(_fits(text[start:], pattern[1:]) for start in range(len(text) + 1))
    if pattern[0] == "\\" and len(pattern) > 1:
        return bool(text) and text[0] == pattern[1] and _fits(text[1:], pattern[2:])
    return bool(text) and pattern[0] in ("_", text[0]) and _fits(text[1:], pattern[1:])
