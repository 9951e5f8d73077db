"""Answers what was used over a time, and by whom: from what is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from sutler.errors import OutOfRange, invalid

from services.provider.cost.spans import MICROS, Span, micros
from services.provider.cost.usage import Dimension, Usage, Window, sum_up
from services.provider.ports import Book

DAY = 86_400.0
MAX_PARTS = 10_000
MAX_PIECES = 1_000_000
"""More pieces of machines' time than this are not added up for one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody wants to know. Times are seconds since 1970.

    Attributes:
        tenant: Whose usage.
        may_see: Whether the usage of another tenant is counted too.
        window: The time to sum up.
        dimensions: What to tell apart.
        filter: Which machines count.
    """

    tenant: str
    may_see: Callable[[str], bool]
    window: Window
    dimensions: Sequence[Dimension]
    filter: str = ""


def window(start: float | None, end: float | None, interval: float, *, now: float, keep: float) -> Window:
    """Returns the time that is meant by what a caller sent; all in seconds.

    Args:
        start: The start; a day before the end if None.
        end: The end; now if None.
        interval: The length of each part; one part if 0.
        now: The time.
        keep: How long usage is kept.

    Raises:
        Invalid: If the start is not before the end, or there would be too many parts.
        OutOfRange: If usage so long ago is not kept (USAGE_DISCARDED).
    """
    until = now if end is None else end
    since = until - DAY if start is None else start
    if since >= until:
        raise invalid("start_time", "must be before end_time, which is now if not set")
    oldest = now - keep
    if since < oldest:
        shown = datetime.fromtimestamp(oldest, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        raise OutOfRange(
            f"usage is kept since {shown}; ask for a later start_time",
            reason="USAGE_DISCARDED",
            metadata={"oldest": shown},
        )
    if interval and (until - since) / interval > MAX_PARTS:
        raise invalid("interval", f"cuts the time into more than {MAX_PARTS} parts; use a longer one")
    return Window(micros(since), micros(until), micros(now), micros(interval))


def count(book: Book, question: Question) -> list[Usage]:
    """Returns the rows of usage, by time, dimensions and currency.

    Raises:
        Invalid: If the filter is wrong (FILTER_INVALID), or the interval too short for so many machines.
    """
    asked = question.window
    start, end = asked.start / MICROS, min(asked.end, asked.now) / MICROS
    others = [t for t in book.spans.tenants(start, end) if t != question.tenant and question.may_see(t)]
    spans = [s for t in (question.tenant, *others) for s in book.spans.within(t, start, end, question.filter)]
    check_size(spans, asked)
    tariff = cache(book.tariff)
    return sum_up(spans, lambda span: tariff(span.tenant, span.provider), asked, question.dimensions)


def check_size(spans: Sequence[Span], window: Window) -> None:
    """Checks that spans are not cut into more pieces than can be added up for one answer.

    Raises:
        Invalid: If they are.
    """
    if not window.interval:
        return
    last = min(window.end, window.now)
    lengths = (min(last, last if s.end is None else s.end) - max(s.start, window.start) for s in spans)
    pieces = sum(max(0, length) // window.interval + 1 for length in lengths)
    if pieces > MAX_PIECES:
        raise invalid("interval", f"cuts machines' time into {pieces} pieces, above {MAX_PIECES}; use a longer one")
