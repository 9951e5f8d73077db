"""Figures over groups of records: what a caller asks for, checked, and pages of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sutler.context import Principal
from sutler.errors import Violation, invalid, invalid_fields
from sutler.paging import Order, parse_order_by

from services.erp import faults
from services.erp.aggregates import COUNT, Aggregate, Aggregation, DatePart, Function, Group, Grouping
from services.erp.caching import Answers
from services.erp.links import Link
from services.erp.reading import Reading
from services.erp.records import DataSource
from services.erp.schemas import NUMBERS, TEXTS, FieldType, ModelSchema
from services.erp.searching import Search
from services.erp.wanting import View, Wanted

DATED = frozenset({FieldType.DATE, FieldType.DATETIME})
COMPARED = NUMBERS | TEXTS | DATED
COUNTED = frozenset(FieldType) - {FieldType.BINARY, FieldType.JSON, FieldType.UNSPECIFIED}
FITTING = {
    Function.SUM: NUMBERS,
    Function.AVG: NUMBERS,
    Function.MIN: COMPARED,
    Function.MAX: COMPARED,
    Function.COUNT: COUNTED,
    Function.COUNT_DISTINCT: COUNTED,
}


@dataclass(frozen=True, slots=True)
class Figures:
    """One page of groups, whether there are more, and where it comes from."""

    groups: Sequence[Group]
    more: bool
    source: DataSource


class Aggregating:
    """Computes figures.

    Args:
        reading: Knows how callers read.
        answers: Keeps answers of the ERP.
    """

    def __init__(self, reading: Reading, answers: Answers) -> None:
        self._reading = reading
        self._answers = answers

    async def page(
        self,
        link: Link,
        principal: Principal,
        wanted: Wanted,
        search: Search,
        groupings: Sequence[Grouping],
        aggregates: Sequence[Aggregate],
    ) -> Figures:
        """Returns a page of groups.

        Args:
            link: The connection.
            principal: Who asks.
            wanted: The model, the context, and how old the answer may be.
            search: Which records, the order of groups, and the page.
            groupings: What to group under.
            aggregates: What to compute.

        Raises:
            NotFound: If there is no such model (MODEL_NOT_FOUND).
            Invalid: With FIELD_NOT_FOUND, FIELD_INVALID, FILTER_INVALID, DOMAIN_INVALID, ORDER_BY_INVALID or
                CONTEXT_INVALID.
            PermissionDenied: If the caller may not reach a model that fields, filter or domain lead to.
            Unimplemented: For what the ERP cannot compute.
            SutlerError: Why the ERP cannot be asked.
        """
        asked = Aggregation(groupings, aggregates, _order(search.order_by, groupings, aggregates))
        named = [*(one.field for one in groupings), *(one.field for one in aggregates if one.field)]
        view = await self._reading.view(link, principal, replace(wanted, fields=tuple(dict.fromkeys(named))))
        _check(view.schema, asked)
        _check_zone(view)
        selector = await view.select(filter=search.filter, domain=search.domain, archived=search.archived)
        start = search.after[1] if search.after else 0

        async def read() -> Any:
            groups = await link.driver.aggregate(
                view.ask, view.schema, selector, asked, offset=start, limit=search.limit + 1
            )
            return {"groups": [asdict(one) for one in groups[: search.limit]], "more": len(groups) > search.limit}

        what = ["aggregate", asdict(search), asdict(asked)]
        answer, source = await self._answers.search(view, what, wanted, {wanted.model, *view.models}, read)
        return Figures([Group(**one) for one in answer["groups"]], answer["more"], source)


def _order(text: str, groupings: Sequence[Grouping], aggregates: Sequence[Aggregate]) -> tuple[Order, ...]:
    """Returns the order of groups; what is left open is ordered by the groupings, so that pages fit together."""
    keys = [Order(one.alias) for one in groupings]
    aliases = {COUNT, *(one.alias for one in groupings), *(one.alias for one in aggregates)}
    given = parse_order_by(text, aliases, keys or [Order(COUNT)])
    return (*given, *(one for one in keys if one.field not in [term.field for term in given]))


def _check(schema: ModelSchema, asked: Aggregation) -> None:
    """Checks what the contract's field rules cannot know.

    Raises:
        Invalid: If a field does not exist (FIELD_NOT_FOUND), an alias comes twice, or a part or function does not fit
            its field (FIELD_INVALID).
    """
    wrong: list[Violation] = []
    seen: set[str] = set()
    everything: list[Grouping | Aggregate] = [*asked.groupings, *asked.aggregates]
    places = [f"groupings[{i}]" for i in range(len(asked.groupings))]
    places += [f"aggregates[{i}]" for i in range(len(asked.aggregates))]
    for place, one in zip(places, everything, strict=True):
        if one.alias in seen:
            wrong.append(Violation(f"{place}.alias", f"{one.alias!r} comes twice", "REPEATED"))
        seen.add(one.alias)
        known = schema.fields.get(one.field)
        if known is None:
            if one.field and "." not in one.field:
                raise faults.field_not_found(schema.name, one.field, f"{place}.field")
        elif isinstance(one, Grouping):
            wrong += _misfits(place, one, known.type)
        elif known.type not in FITTING[one.function]:
            wrong.append(Violation(f"{place}.function", f"{one.function} does not fit a {known.type} field", "TYPE"))
    if wrong:
        raise invalid_fields(wrong)


def _misfits(place: str, one: Grouping, kind: FieldType) -> list[Violation]:
    if kind not in COUNTED:
        return [Violation(f"{place}.field", f"a {kind} field makes no groups", "TYPE")]
    hourly = one.part is DatePart.HOUR and kind is not FieldType.DATETIME
    if hourly or (one.part is not DatePart.UNSPECIFIED and kind not in DATED):
        return [Violation(f"{place}.date_part", f"{one.part} is no part of a {kind} field", "TYPE")]
    return []


def _check_zone(view: View) -> None:
    name = view.ask.context.time_zone
    try:
        ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid(
            "context.time_zone",
            f"there is no time zone {name!r}; use a name such as Europe/Berlin",
            reason="CONTEXT_INVALID",
            metadata={"field": "context.time_zone", "value": name},
        ) from None
