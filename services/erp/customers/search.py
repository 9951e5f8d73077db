"""Finding customers by what people type: exact matches first, then the others by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sutler.paging import Order

from services.erp.customers.view import CustomerView
from services.erp.records import Row
from services.erp.selecting import Selector
from services.erp.wanting import View

EXACT_DONE = -1


async def find_by_text(
    view: View, customers: CustomerView, query: str, archived: bool, limit: int, after: Sequence[int] | None
) -> tuple[list[Row], list[int] | None]:
    """Returns a page of customers, and where the next one begins; None at the end.

    A position is how many exact matches were shown (-1: all), and how many of all matches by name were looked at. One
    call finds a page; a second one the exact matches, where the first found more than a page.

    Args:
        view: How the caller reads.
        customers: Where customers are.
        query: What was typed; everybody if blank.
        archived: Whether archived ones are found too.
        limit: How many at the most.
        after: Where the page begins; None at the start.
    """
    text = query.strip()
    shown, seen = after or (0 if text else EXACT_DONE, 0)
    named = [name for name in customers.searched if name in view.schema.fields]

    async def find(pattern: str, offset: int) -> list[Row]:
        domain: tuple[Any, ...] = tuple(customers.match(pattern, named)) if text else ()
        return list(
            await view.link.driver.search(
                view.ask,
                view.schema,
                Selector(domain=domain, archived=archived),
                fields=view.columns,
                order=(Order(customers.searched[0]), Order("id")),
                offset=offset,
                limit=limit + 1,
            )
        )

    rows = await find(f"%{_literal(text)}%", seen)
    others = [
        (index, row) for index, row in enumerate(rows[:limit], seen + 1) if not (text and _is_exact(row, named, text))
    ]
    exact: list[Row] = []
    if shown != EXACT_DONE:
        whole = len(rows) <= limit and not shown
        exact = [row for row in rows if _is_exact(row, named, text)] if whole else await find(_literal(text), shown)
        if len(exact) > limit:
            return exact[:limit], [shown + limit, 0]
    room = limit - len(exact)
    page = [*exact, *(row for _, row in others[:room])]
    if len(others) > room:
        return page, [EXACT_DONE, others[room][0] - 1]
    return page, [EXACT_DONE, seen + limit] if len(rows) > limit else None


def _is_exact(row: Row, named: Sequence[str], text: str) -> bool:
    return any(str(row.values.get(name) or "").lower() == text.lower() for name in named)


def _literal(text: str) -> str:
    """Returns a text for LIKE, taken literally."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
