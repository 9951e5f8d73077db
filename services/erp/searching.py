"""Searching: pages of records by filter or domain, counts, and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sutler.context import Principal
from sutler.errors import Exhausted
from sutler.paging import Order

from services.erp import faults
from services.erp.caching import Answers
from services.erp.links import Link
from services.erp.reading import Reading
from services.erp.records import DISPLAY_NAME, DataSource, Record
from services.erp.selecting import Selector, check_domain_size, parse_order
from services.erp.wanting import View, Wanted

BY_ID = Order("id")

BINARIES_AT_ONCE = 16
"""Of how many records binaries are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which records a caller looks for.

    Attributes:
        filter: AIP-160, over the model's fields.
        domain: The ERP's own raw domain.
        archived: Whether archived records are found too.
        order_by: The order; by id if empty.
        limit: How many to return at the most.
        total: Whether to count all that match.
        after: Where the page begins: ``["id", last]`` in the order of ids, ``["offset", count]`` in any other.
    """

    filter: str = ""
    domain: tuple[Any, ...] = ()
    archived: bool = False
    order_by: str = ""
    limit: int = 50
    total: bool = False
    after: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One page.

    Attributes:
        records: The records, in order.
        more: Whether there are more.
        source: Where the page comes from.
        total: How many match; None if that was not asked for.
        by_id: Whether the order is that of rising ids.
    """

    records: Sequence[Record]
    more: bool
    source: DataSource
    total: int | None = None
    by_id: bool = True

    def token(self, search: Search, count: int) -> tuple[str, int] | None:
        """Returns where the page after the first ``count`` records begins; None at the end."""
        if count == len(self.records) and not self.more:
            return None
        if self.by_id:
            return "id", self.records[count - 1].id
        return "offset", (search.after[1] if search.after else 0) + count


class Searching:
    """Finds records.

    Args:
        reading: Makes records of what was found.
        answers: Keeps answers of the ERP.
    """

    def __init__(self, reading: Reading, answers: Answers) -> None:
        self._reading = reading
        self._answers = answers

    async def search(self, link: Link, principal: Principal, wanted: Wanted, search: Search) -> Found:
        """Returns a page of records.

        Raises:
            NotFound: If there is no such model (MODEL_NOT_FOUND).
            Invalid: With FILTER_INVALID, DOMAIN_INVALID, FIELD_NOT_FOUND or ORDER_BY_INVALID.
            PermissionDenied: If the caller may not reach a model that fields, filter or domain lead to.
            SutlerError: Why the ERP cannot be asked.
        """
        view, selector = await self._view(link, principal, wanted, search)
        order = parse_order(search.order_by, view.schema)

        async def read() -> Any:
            return await self._page(view, selector, search, order)

        sorted_by = [view.schema.fields[each.field] for each in order]
        models = {wanted.model, *view.models, *(known.relation for known in sorted_by if known.related)}
        answer, source = await self._answers.search(view, ["search", asdict(search)], wanted, models, read)
        records = [Record(**one) for one in answer["records"]]
        return Found(records, answer["more"], source, answer["total"], by_id=order[0] == BY_ID)

    async def count(self, link: Link, principal: Principal, wanted: Wanted, search: Search) -> tuple[int, DataSource]:
        """Returns how many records match, at most ``limit`` if it is not 0, and where that comes from."""
        view, selector = await self._view(link, principal, wanted, search)

        async def read() -> Any:
            return await link.driver.count(view.ask, view.schema, selector, search.limit)

        models = {wanted.model, *view.models}
        return await self._answers.search(view, ["count", asdict(search)], wanted, models, read)

    async def names(self, link: Link, principal: Principal, wanted: Wanted, search: Search, query: str) -> Found:
        """Returns a page of records by what people type, with ids and display names."""
        view, selector = await self._view(link, principal, wanted, search)
        offset = search.after[1] if search.after else 0

        async def read() -> Any:
            rows = await link.driver.names(view.ask, view.schema, query, selector, offset + search.limit + 1)
            page = rows[offset : offset + search.limit]
            records = [Record(model=wanted.model, id=row.id, display_name=row.display_name) for row in page]
            return {"records": [one.plain() for one in records], "more": len(rows) > offset + search.limit}

        what = ["names", query, asdict(search)]
        answer, source = await self._answers.search(view, what, wanted, {wanted.model, *view.models}, read)
        return Found([Record(**one) for one in answer["records"]], answer["more"], source, by_id=False)

    async def _view(self, link: Link, principal: Principal, wanted: Wanted, search: Search) -> tuple[View, Selector]:
        """Returns how a caller reads, and which records; all is checked."""
        check_domain_size(search.domain)
        view = await self._reading.view(link, principal, wanted)
        return view, await view.select(filter=search.filter, domain=search.domain, archived=search.archived)

    async def _page(self, view: View, selector: Selector, search: Search, order: Sequence[Order]) -> Mapping[str, Any]:
        after = search.after
        keyed = after is not None and order[0] == BY_ID
        limited = replace(selector, after_id=after[1]) if after and keyed else selector
        count = min(search.limit, BINARIES_AT_ONCE) if view.covers.binaries else search.limit
        while True:
            try:
                rows = list(
                    await view.link.driver.search(
                        view.ask,
                        view.schema,
                        limited,
                        fields=view.columns or [DISPLAY_NAME],
                        order=order,
                        offset=after[1] if after and not keyed else 0,
                        limit=count + 1,
                        binaries=view.covers.binaries,
                    )
                )
                found = await self._reading.to_records(view, rows[:count])
                break
            except Exhausted as error:
                if not faults.too_large(error) or count == 1:
                    raise
                count //= 2  # pages may be short
        total = await view.link.driver.count(view.ask, view.schema, selector) if search.total else None
        records = [record.plain() for record, _ in found.values()]
        return {"records": records, "more": len(rows) > count, "total": total}
