"""Filters and windows as Tryton domains: lists of conditions that all hold, or ``OR`` and conditions.

NOT is two-valued in the filter language: an absent field fails ``=`` and passes ``!=``. Tryton has no NOT, and its
operators treat null and empty texts differently from field to field and version to version. So negations are pushed
down to the leaves, each of which knows its own opposite and says itself what happens to what is absent. Of a path that
leads through many records the opposite is "none of them", for which Tryton has ``not where``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sutler.errors import Unimplemented, invalid
from sutler.filtering import Compare, Has, Match, Pattern, Present, Ref

from services.erp.adapters.tryton.fields import erp_name
from services.erp.adapters.tryton.reading import CHANGED, CREATED
from services.erp.adapters.tryton.typed import encode, to_datetime
from services.erp.records import EXTERNAL_ID
from services.erp.schemas import TEXTS, FieldType, ModelField
from services.erp.selecting import Path, Selector

Domain = list[Any]

ALWAYS: Domain = [["id", "!=", 0]]
NEVER: Domain = [["id", "=", 0]]
OPPOSITES = {"=": "!=", "<": ">=", "<=": ">", ">": "<=", ">=": "<", "like": "not like"}


@dataclass(frozen=True, slots=True)
class Both:
    """A condition and its opposite, which is made only where it is needed."""

    holds: Domain
    opposite: Callable[[], Domain]


def all_of(domains: Sequence[Domain]) -> Domain:
    """Joins conditions."""
    return ["AND", *domains] if len(domains) != 1 else domains[0]


def any_of(domains: Sequence[Domain]) -> Domain:
    """Joins alternatives."""
    return ["OR", *domains] if len(domains) != 1 else domains[0]


def to_domain(selector: Selector) -> Domain:
    """Returns the domain of a selector, whose raw domain was checked; empty for all records.

    Raises:
        Invalid: If the filter asks what Tryton cannot say (FILTER_INVALID).
        Unimplemented: If it names external ids.
    """
    terms: list[Domain] = []
    if selector.filter is not None and selector.filter.text.strip():
        terms.append(selector.filter.visit(_Compiler(selector.paths)).holds)
    if selector.domain:
        terms.append(list(selector.domain))
    if selector.ids is not None:
        terms.append([["id", "in", list(selector.ids)]])
    if selector.after_id is not None:
        terms.append([["id", ">", selector.after_id]])
    if selector.since is not None:
        terms.append(_changed(">=", selector.since))
    if selector.until is not None:
        terms.append(_changed("<", selector.until))
    return all_of(terms) if terms else []


def like(pattern: Pattern) -> str:
    """Returns a pattern for LIKE, with what the caller wrote taken literally."""
    text = pattern.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{'%' if pattern.leading else ''}{text}{'%' if pattern.trailing else ''}"


def like_anywhere(text: str) -> str:
    """Returns a pattern for LIKE that finds a text anywhere."""
    return like(Pattern(text, leading=True, trailing=True))


def _changed(operator: str, seconds: float) -> Domain:
    """Compares when records last changed: those that never did have only the time of their creation."""
    moment = to_datetime(datetime.fromtimestamp(seconds, UTC))
    unchanged = [[CHANGED, "=", None], [CREATED, operator, moment]]
    return any_of([[[CHANGED, operator, moment]], unchanged])


class _Compiler:
    """Makes domains of a filter."""

    def __init__(self, paths: Mapping[Path, tuple[ModelField, ...]]) -> None:
        self._paths = paths

    def all_of(self, terms: Sequence[Both]) -> Both:
        if not terms:
            return Both(ALWAYS, lambda: NEVER)
        return Both(all_of([term.holds for term in terms]), lambda: any_of([term.opposite() for term in terms]))

    def any_of(self, terms: Sequence[Both]) -> Both:
        return Both(any_of([term.holds for term in terms]), lambda: all_of([term.opposite() for term in terms]))

    def negation(self, term: Both) -> Both:
        return Both(term.opposite(), lambda: term.holds)

    def compare(self, node: Compare) -> Both:
        leaf = self._leaf(node.ref)
        if node.value == "" and node.op.value == "=" and leaf.textual:
            return Both(NEVER, lambda: ALWAYS)  # an empty text is read as none at all
        try:
            value = encode(leaf.hops[-1], node.value)
        except ValueError as error:
            raise _cannot(node.ref, str(error)) from None
        return leaf.both(node.op.value, value)

    def match(self, node: Match) -> Both:
        leaf = self._leaf(node.ref)
        if leaf.hops[-1].type in (FieldType.DATE, FieldType.TIME):
            raise _cannot(node.ref, "takes no patterns")
        return leaf.both("like", like(node.pattern))

    def has(self, node: Has) -> Both:
        raise _cannot(node.ref, "lists and maps do not exist in an ERP's fields")

    def present(self, node: Present) -> Both:
        leaf = self._leaf(node.ref)
        return Both(leaf.within(leaf.present()), lambda: leaf.without(leaf.present(), any_of(leaf.absent())))

    def _leaf(self, ref: Ref) -> _Leaf:
        if ref.path == (EXTERNAL_ID,) and ref.path not in self._paths:
            raise Unimplemented("Tryton offers no external ids", metadata={"method": EXTERNAL_ID})
        hops = self._paths[ref.path]
        for hop in hops:
            if not hop.searchable:
                raise _cannot(ref, f"Tryton cannot search {hop.field!r}")
        return _Leaf(hops)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A comparison of one field, maybe of related records; ``hops`` lead there."""

    hops: tuple[ModelField, ...]

    @property
    def textual(self) -> bool:
        """Whether an empty text counts as absent."""
        return self.hops[-1].type in TEXTS - {FieldType.TIME}

    def both(self, operator: str, value: Any) -> Both:
        end = [self._end, operator, value]
        holds: Domain = [end, *self.present()] if self.textual and operator != "=" else [end]
        opposite = any_of([*self.absent(), [[self._end, OPPOSITES[operator], value]]])
        return Both(self.within(holds), lambda: self.without(holds, opposite))

    def present(self) -> Domain:
        """Returns what holds where there is a value, of the record that the field is of."""
        return [[self._end, "!=", None], *([[self._end, "!=", ""]] if self.textual else [])]

    def absent(self) -> list[Domain]:
        """Returns the alternatives in which there is none."""
        return [[[self._end, "=", None]], *([[[self._end, "=", ""]]] if self.textual else [])]

    def within(self, terms: Domain) -> Domain:
        """Returns conditions on the end of the path as one on its beginning; all hold for the same record there."""
        return _behind(self._way, terms)

    def without(self, terms: Domain, opposite: Domain) -> Domain:
        """Returns the opposite of :meth:`within`; ``opposite`` is that of ``terms``, where no relation leads there."""
        if not self._way:
            return opposite
        first = self._way[0]
        none = [[erp_name(first.field), "not where", _behind(self._way[1:], terms)]]
        return none if first.to_many else any_of([[[erp_name(first.field), "=", None]], none])

    @property
    def _way(self) -> tuple[ModelField, ...]:
        """The relations to follow: of a relation to many, also the last, whose records' ids are compared."""
        return self.hops if self.hops[-1].to_many else self.hops[:-1]

    @property
    def _end(self) -> str:
        """The field to compare at the end of the way."""
        return "id" if self.hops[-1].to_many else erp_name(self.hops[-1].field)


def _behind(way: Sequence[ModelField], terms: Domain) -> Domain:
    for hop in reversed(way):
        terms = [[erp_name(hop.field), "where", terms]]
    return terms


def _cannot(ref: Ref, description: str) -> Exception:
    path = ".".join(ref.path)
    return invalid("filter", f"{path!r}: {description}", reason="FILTER_INVALID", metadata={"path": path})
