"""Hours, days, weeks, months, quarters and years: where a moment belongs, how the period is called, where it ends."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.erp.sandbox.errors import BadValue
from services.erp.sandbox.orm.env import SECONDS

HOUR = "%Y-%m-%d %H:00:00"
PERIODS = ("hour", "day", "week", "month", "quarter", "year")
UTC_NAME = "UTC"


def zone_name(name: object) -> str:
    """Return the time zone if there is one of that name, else UTC: a wrong `tz` is ignored."""
    try:
        ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC_NAME
    return str(name)


def check_period(period: str) -> str:
    """Return the period if it is one of PERIODS; BadValue otherwise."""
    if period not in PERIODS:
        raise BadValue(f"Invalid granularity {period!r}, not one of {', '.join(PERIODS)}")
    return period


def bucket(stored: str | None, period: str, zone: str) -> str | None:
    """Return the first day, or hour, of the period that a stored UTC moment (or day) falls into, seen from `zone`."""
    if stored is None:
        return None
    if len(stored) > 10:
        utc = datetime.strptime(stored[:19], SECONDS).replace(tzinfo=UTC)
        local = utc.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    else:
        local = datetime.strptime(stored, "%Y-%m-%d")
    if period == "hour":
        return local.strftime(HOUR)
    day = local.replace(hour=0, minute=0, second=0)
    match period:
        case "week":
            day -= timedelta(days=(day.weekday() + 1) % 7)
        case "month":
            day = day.replace(day=1)
        case "quarter":
            day = day.replace(month=day.month - (day.month - 1) % 3, day=1)
        case "year":
            day = day.replace(month=1, day=1)
    return day.strftime("%Y-%m-%d")


def following(first: str, period: str) -> str:
    """Return the first day, or hour, of the next period."""
    if period == "hour":
        return (_start(first) + timedelta(hours=1)).strftime(HOUR)
    day = datetime.strptime(first, "%Y-%m-%d")
    longest = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}[period]
    return bucket((day + timedelta(days=longest)).strftime("%Y-%m-%d"), period, UTC_NAME) or first


def utc_start(first: str, zone: str) -> str:
    """Return the UTC moment at which a day or hour begins in `zone`."""
    local = _start(first).replace(tzinfo=ZoneInfo(zone))
    return local.astimezone(UTC).strftime(SECONDS)


def label(first: str, period: str) -> str:
    """Return what the period is called in English."""
    day = _start(first)
    match period:
        case "hour":
            return day.strftime("%I:00 %d %b")
        case "day":
            return day.strftime("%d %b %Y")
        case "week":
            thursday = day + timedelta(days=4)
            return f"W{thursday.isocalendar().week} {thursday.isocalendar().year}"
        case "month":
            return day.strftime("%B %Y")
        case "quarter":
            return f"Q{(day.month + 2) // 3} {day.year}"
        case _:
            return day.strftime("%Y")


def _start(first: str) -> datetime:
    return datetime.strptime(first, SECONDS if len(first) > 10 else "%Y-%m-%d")
