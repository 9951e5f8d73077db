"""Cron expressions: what is wrong with one, and where in it.

The fields are read by cronsim, which follows Debian's cron: where neither the day of the month nor the day of the week
begins with ``*``, one of the two must match, else both.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError

from services.rule.faults import Fault, at

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
"""Names for common expressions."""

_FIELDS = (
    ("second", "0-59"),
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of the month", "1-31, L for the last, LW for the last working day"),
    ("month", "1-12 or JAN-DEC"),
    ("day of the week", "0-7 or SUN-SAT, 5L for the last Friday, 5#2 for the second"),
)
_FORMS = "or *, a range such as 1-5, a step such as */15, or a list of these with commas"
_SOME_DAY = datetime(2024, 1, 1)


def expanded(cron: str) -> str:
    """Returns an expression of fields for one that may be a name such as ``@daily``."""
    return MACROS.get(cron.strip().lower(), cron)


def cron_faults(cron: str, field: str) -> Iterator[Fault]:
    """Yields what is wrong with an expression.

    Args:
        cron: The expression.
        field: Where it stands, for the violations.
    """

    def fault(cause: str, remedy: str, column: int = 0) -> Fault:
        position = f"1:{column}" if column else ""
        said = f"{position}: {cause}" if position else cause
        return Fault(field, f"{said}; {remedy}", "CRON_INVALID", {"cron": cron, "cause": cause, **at(position)})

    if cron.strip().startswith("@") and expanded(cron) is cron:
        yield fault(f"{cron.strip()!r} is no name of an expression", f"write one of {', '.join(MACROS)}")
        return
    parts = list(re.finditer(r"\S+", expanded(cron)))
    if len(parts) not in (5, 6):
        names = "minute, hour, day of the month, month, day of the week"
        yield fault(f"it has {len(parts)} fields", f"write five ({names}), or six with the second first")
        return
    wrong = False
    for index, part in enumerate(parts, 6 - len(parts)):
        if not _reads(" ".join("*" if i != index else part[0] for i in range(6))):
            wrong = True
            name, values = _FIELDS[index]
            yield fault(f"{part[0]!r} is no {name}", f"write {values}, {_FORMS}", part.start() + 1)
    if not wrong and not fires(cron):
        yield fault("never fires", "name a day that the months have")


def zone_faults(time_zone: str, field: str) -> Iterator[Fault]:
    """Yields what is wrong with the name of a time zone; an empty one is that of UTC.

    Args:
        time_zone: The name.
        field: Where it stands, for the violations.
    """
    names = _time_zones()
    if time_zone and time_zone not in names:
        near = difflib.get_close_matches(time_zone, names, 1)
        remedy = f"did you mean {near[0]}?" if near else "write one such as Europe/Berlin"
        description = f"{time_zone!r} is not in the IANA database of this server; {remedy}"
        yield Fault(field, description, "TIME_ZONE_UNKNOWN", {"time_zone": time_zone})


def fires(cron: str) -> bool:
    """Returns whether a well-formed expression ever fires; 50 years without a tick count as never."""
    try:
        return next(CronSim(expanded(cron), _SOME_DAY), None) is not None
    except CronSimError:
        return False


def _reads(cron: str) -> bool:
    try:
        CronSim(cron, _SOME_DAY)
    except CronSimError:
        return False
    return True


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())
