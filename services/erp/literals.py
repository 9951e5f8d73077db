"""Numbers and times as callers write them: one strict form for every ERP, whatever the ERP itself would take."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

LEAST, MOST = -(2**63), 2**63 - 1
"""The whole numbers of 64 bits."""

MAX_EXPONENT = 100
"""Of exact numbers, which an exponent of a few letters could make as long as it likes."""

FIRST_YEAR = 1000
"""Of earlier years ERPs write fewer than four digits, which nothing reads back."""

MAX_SPAN_SECONDS = 86_399_999_999_999
"""The longest span that Python, and so an ERP in Python, knows."""

_WHOLE = re.compile(r"-?\d{1,19}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,6})?)?", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def whole(value: Any) -> int:
    """Returns a whole number of 64 bits. Raises ValueError if it is none, with what one is; so do the others."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not LEAST <= value <= MOST:
        raise ValueError("is a whole number of 64 bits")
    return value


def number(value: Any) -> int | float:
    """Returns a finite number."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, int) and not LEAST <= value <= MOST:
        raise ValueError("is a number; give one that long with a decimal point")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("is a finite number")
    return value


def exact(value: Any) -> Decimal:
    """Returns an exact number; of a float, the shortest that reads as the same."""
    text = value if isinstance(value, str) else repr(number(value))
    if not _NUMBER.fullmatch(text):
        raise ValueError("is a finite number")
    found = Decimal(text)
    if found and abs(found.adjusted()) > MAX_EXPONENT:
        raise ValueError(f"is a number of at most {MAX_EXPONENT} digits before or after the point")
    return found


def day(value: Any) -> date:
    """Returns a day."""
    try:
        found = date.fromisoformat(value) if isinstance(value, str) and _DAY.fullmatch(value) else None
    except ValueError:
        found = None
    if found is None or found.year < FIRST_YEAR:
        raise ValueError("is a date such as 2026-11-21, of a year from 1000 to 9999")
    return found


def moment(value: Any) -> datetime:
    """Returns a moment in UTC, of an RFC 3339 text or, as filters have them, of epoch seconds."""
    try:
        if isinstance(value, str) and _MOMENT.fullmatch(value):
            found = datetime.fromisoformat(value.upper()).astimezone(UTC)
        else:
            found = datetime.fromtimestamp(number(value), UTC)
    except (ValueError, OverflowError, OSError):
        raise _not_a_moment() from None
    if found.year < FIRST_YEAR:
        raise _not_a_moment()
    return found


def clock(value: Any) -> time:
    """Returns a time of day."""
    try:
        if isinstance(value, str) and _TIME.fullmatch(value):
            return time.fromisoformat(value)
    except ValueError:
        pass
    raise ValueError("is a time of day such as 09:30:00")


def span(value: Any) -> float:
    """Returns the seconds of a span of time, such as ``5400s``."""
    text = value.removesuffix("s") if isinstance(value, str) and value.endswith("s") else ""
    seconds = float(text) if _NUMBER.fullmatch(text) else math.inf
    if abs(seconds) > MAX_SPAN_SECONDS:
        raise ValueError("is a span in seconds such as 5400s")
    return seconds


def _not_a_moment() -> ValueError:
    return ValueError("is a time with a zone such as 2026-11-21T09:30:00Z, of a year from 1000 to 9999")
