"""Parts of dates and moments: where one begins in a time zone, and where the next does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from services.erp.adapters.odoo.reading import SECONDS
from services.erp.aggregates import DatePart

MONTHS = {DatePart.MONTH: 1, DatePart.QUARTER: 3, DatePart.YEAR: 12}


def first_day(begins: str, part: DatePart, zone: ZoneInfo) -> date:
    """Returns the day on which a part begins.

    Args:
        begins: What Odoo tells: a day, or a moment in UTC.
        part: The part; of a week, any day of it may be told.
        zone: Where days begin.
    """
    if len(begins) > 10:
        day = datetime.strptime(begins[:19], SECONDS).replace(tzinfo=UTC).astimezone(zone).date()
    else:
        day = date.fromisoformat(begins)
    return day - timedelta(days=day.weekday()) if part is DatePart.WEEK else day


def next_day(day: date, part: DatePart) -> date:
    """Returns the day on which the next part begins."""
    months = MONTHS.get(part)
    if months is None:
        return day + timedelta(days=7 if part is DatePart.WEEK else 1)
    years, month = divmod(day.month - 1 + months, 12)
    return date(day.year + years, month + 1, 1)


def next_hour(begins: str) -> str:
    """Returns the moment at which the next hour begins, in Odoo's form."""
    return (datetime.strptime(begins[:19], SECONDS) + timedelta(hours=1)).strftime(SECONDS)


def in_utc(day: date, zone: ZoneInfo) -> str:
    """Returns the moment at which a day begins, in Odoo's form."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC).strftime(SECONDS)
