"""Filters and windows as Odoo domains, in prefix form.

NOT is two-valued in the filter language: an absent field fails ``=`` and passes ``!=``. Odoo's ``!`` is not, so
negations are pushed down to the leaves, and each leaf knows its own opposite. Of a path that leads through many records
Odoo only knows "one of them"; its opposite, "none of them", has no common form, so it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutler.errors import invalid
from sutler.filtering import Compare, Has, Match, Node, Not, Op, Pattern, Present, Ref
from sutler.filtering.nodes import And, Or

from services.erp import faults, literals
from services.erp.adapters.odoo.reading import CHANGED, to_odoo_time
from services.erp.records import EXTERNAL_ID
from services.erp.schemas import NUMBERS, TEXTS, FieldType, ModelField
from services.erp.selecting import Path, Selector

Domain = list[Any]

ALWAYS: Domain = [["id", "!=", 0]]
NEVER: Domain = [["id", "=", 0]]
ARITY = {"!": 1, "&": 2, "|": 2}


@dataclass(frozen=True, slots=True)
class Both:
    """A condition and its opposite, of which only that is made which is needed: the other may not exist."""

    holds: Callable[[], Domain]
    opposite: Callable[[], Domain]


def all_of(domains: Sequence[Domain]) -> Domain:
    """Joins conditions that are each a single term in prefix form."""
    return ["&"] * (len(domains) - 1) + [token for domain in domains for token in domain]


def any_of(domains: Sequence[Domain]) -> Domain:
    """Joins alternatives that are each a single term in prefix form."""
    return ["|"] * (len(domains) - 1) + [token for domain in domains for token in domain]


def explicit(model: str, domain: Sequence[Any]) -> Domain:
    """Returns a raw domain as a single term: writes out the ``&`` that it leaves unsaid.

    Raises:
        Invalid: If its operators and terms do not fit together (DOMAIN_INVALID).
    """
    result: Domain = []
    expected = 1
    for index, token in enumerate(domain):
        if isinstance(token, str):
            if token not in ARITY:
                raise faults.domain_invalid(model, f"term {index} is neither a condition nor one of & | !")
        elif not (isinstance(token, list | tuple) and len(token) == 3):
            raise faults.domain_invalid(model, f"term {index} is not of the form [field, operator, value]")
        if expected == 0:
            result.insert(0, "&")
            expected = 1
        expected += (ARITY[token] if isinstance(token, str) else 0) - 1
        result.append(token)
    if expected and domain:
        raise faults.domain_invalid(model, "an operator lacks its terms")
    return result


def to_domain(model: str, selector: Selector, external: Mapping[str, int | None]) -> Domain:
    """Returns the domain of a selector; empty for all records.

    Args:
        model: The model.
        selector: Which records.
        external: The ids behind the external ids that the filter names.

    Raises:
        Invalid: If the raw domain is malformed, or the filter asks what Odoo cannot say.
    """
    terms: list[Domain] = []
    if selector.filter is not None and selector.filter.text.strip():
        terms.append(selector.filter.visit(_Compiler(selector.paths, external)).holds())
    if selector.domain:
        terms.append(explicit(model, selector.domain))
    if selector.ids is not None:
        terms.append([["id", "in", list(selector.ids)]])
    if selector.after_id is not None:
        terms.append([["id", ">", selector.after_id]])
    if selector.since is not None:
        terms.append([[CHANGED, ">=", to_odoo_time(selector.since)]])
    if selector.until is not None:
        terms.append([[CHANGED, "<", to_odoo_time(selector.until)]])
    return all_of(terms) if terms else []


def named_external_ids(node: Node) -> list[str]:
    """Returns the external ids that a filter compares with."""
    match node:
        case And(terms) | Or(terms):
            return [name for term in terms for name in named_external_ids(term)]
        case Not(term):
            return named_external_ids(term)
        case Compare(ref, Op.EQ, value) if ref.path == (EXTERNAL_ID,):
            return [str(value)]
    return []


class _Compiler:
    """Makes domains of a filter."""

    def __init__(self, paths: Mapping[Path, tuple[ModelField, ...]], external: Mapping[str, int | None]) -> None:
        self._paths = paths
        self._external = external

    def all_of(self, terms: Sequence[Both]) -> Both:
        if not terms:
            return _constant(True)
        return Both(
            lambda: all_of([term.holds() for term in terms]), lambda: any_of([term.opposite() for term in terms])
        )

    def any_of(self, terms: Sequence[Both]) -> Both:
        return Both(
            lambda: any_of([term.holds() for term in terms]), lambda: all_of([term.opposite() for term in terms])
        )

    def negation(self, term: Both) -> Both:
        return Both(term.opposite, term.holds)

    def compare(self, node: Compare) -> Both:
        if node.ref.path == (EXTERNAL_ID,):
            return self._by_external_id(node)
        leaf = self._leaf(node.ref)
        value = _native(node.ref, leaf.known, node.value)
        if leaf.known.related and not value:
            return Both(lambda: NEVER, lambda: leaf.one([ALWAYS]))  # Odoo takes the id 0 for "none"
        if value == "" and node.op is Op.EQ:
            return leaf.both(["<=", ""], [">", ""])  # Odoo's "=" with an empty text is true of null too
        operator = node.op.value
        opposites = {"=": "!=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
        return leaf.both([operator, value], [opposites[operator], value], absent_passes=operator == "=")

    def match(self, node: Match) -> Both:
        leaf = self._leaf(node.ref)
        pattern = [leaf.path, "=like", like(node.pattern)]
        return Both(lambda: [pattern], lambda: leaf.one([*leaf.absent(), ["!", pattern]]))

    def has(self, node: Has) -> Both:
        raise _cannot(node.ref, "lists and maps do not exist in an ERP's fields")

    def present(self, node: Present) -> Both:
        leaf = self._leaf(node.ref)
        if leaf.never_empty and len(leaf.hops) == 1:
            return _constant(True)
        path, empty = leaf.path, [*leaf.way(), [[leaf.path, "=", False]]]
        if leaf.never_empty:
            path, empty = f"{leaf.path.rpartition('.')[0]}.id", leaf.way()
        elif leaf.known.to_many:
            path = f"{leaf.path}.id"  # of the relation itself Odoo counts those too that it does not show
        return Both(lambda: [[path, "!=", False]], lambda: leaf.one(empty))

    def _by_external_id(self, node: Compare) -> Both:
        if node.op is not Op.EQ:
            raise _cannot(node.ref, "takes the operators = != only")
        found = self._external.get(str(node.value))
        if found is None:
            return _constant(False)
        return Both(lambda: [["id", "=", found]], lambda: [["id", "!=", found]])

    def _leaf(self, ref: Ref) -> _Leaf:
        hops = self._paths.get(ref.path)
        if hops is None:
            raise _cannot(ref, "takes the operators = != only")
        return _Leaf(".".join(ref.path), hops)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A comparison of one field, maybe of a related record."""

    path: str
    hops: tuple[ModelField, ...]

    @property
    def known(self) -> ModelField:
        """The field itself."""
        return self.hops[-1]

    @property
    def never_empty(self) -> bool:
        """Whether Odoo has no empty ones."""
        return self.known.type is FieldType.BOOLEAN or self.known.type in NUMBERS

    def both(self, condition: list[Any], opposite: list[Any], *, absent_passes: bool = False) -> Both:
        """Returns a comparison; ``absent_passes`` says that the opposite is true of an empty field by itself."""

        # Nothing lets an empty field on the way to it pass.
        empty = self.way() if absent_passes else self.absent()
        return Both(lambda: [[self.path, *condition]], lambda: self.one([*empty, [[self.path, *opposite]]]))

    def absent(self) -> list[Domain]:
        """Returns the ways in which the field can be null; an empty text is none."""
        if self.never_empty:
            return self.way()
        null = ["not like", "%"] if self.known.type in TEXTS else ["=", False]
        return [*self.way(), [[self.path, *null]]]

    def way(self) -> list[Domain]:
        """Returns the ways in which a relation on the way to the field can be empty."""
        steps = self.path.split(".")
        return [[[".".join(steps[:length]), "=", False]] for length in range(1, len(steps))]

    def one(self, ways: Sequence[Domain]) -> Domain:
        """Returns that one of some ways holds in which the comparison can fail.

        Raises:
            Invalid: If the path leads through many records.
        """
        if any(hop.to_many for hop in self.hops):
            raise invalid(
                "filter",
                f"{self.path!r} leads to many records: != and NOT are not offered there",
                reason="FILTER_INVALID",
                metadata={"path": self.path},
            )
        return any_of(ways)


def _constant(holds: bool) -> Both:
    return Both(lambda: ALWAYS if holds else NEVER, lambda: NEVER if holds else ALWAYS)


def like(pattern: Pattern) -> str:
    """Returns a pattern for LIKE, with what the caller wrote taken literally."""
    text = pattern.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{'%' if pattern.leading else ''}{text}{'%' if pattern.trailing else ''}"


def _native(ref: Ref, known: ModelField, value: Any) -> Any:
    """Returns a value as Odoo takes it.

    Raises:
        Invalid: If it is no date or time and is compared with one.
    """
    try:
        if known.type is FieldType.DATE:
            return literals.day(value).isoformat()
        return to_odoo_time(value) if known.type is FieldType.DATETIME else value
    except ValueError as error:
        raise _cannot(ref, str(error)) from None


def _cannot(ref: Ref, description: str) -> Exception:
    path = ".".join(ref.path)
    return invalid("filter", f"{path!r}: {description}", reason="FILTER_INVALID", metadata={"path": path})
