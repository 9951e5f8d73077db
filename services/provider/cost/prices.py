"""What a price table is: the prices of one provider, with the date from which each holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from services.provider.cost.money import Money

COLLECTION = "priceTables"


class PriceType(IntEnum):
    """How machines are paid for; the numbers of the contract."""

    ON_DEMAND = 1
    SPOT = 2
    MIXED = 3


class Source(IntEnum):
    """Where the rows of a table come from; the numbers of the contract."""

    ROWS = 1
    FILE = 2
    PROVIDER = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """One price.

    Attributes:
        machine_type: The machine type.
        hourly_price: The price of one machine for one hour.
        region: The region; all if empty.
        zone: The zone; all if empty.
        price_type: How the machine is paid for; all ways if None.
        effective_time: From when on it holds, seconds since 1970; the table's if None.
        vcpus: The CPUs of the type; 0 if unknown.
        memory_bytes: The memory of the type; 0 if unknown.
    """

    machine_type: str
    hourly_price: Money
    region: str = ""
    zone: str = ""
    price_type: PriceType | None = None
    effective_time: float | None = None
    vcpus: int = 0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """The prices of one provider. Times are seconds since 1970, None where not set.

    Attributes:
        tenant: Whose it is.
        name: Its resource name.
        uid: Tells it from an earlier one of the same name.
        provider: The provider whose machines it prices.
        display_name: A name for people.
        source: Where the rows come from; None, where not set, is ROWS.
        rows: The prices.
        effective_time: The date of rows that have none; when the table was written if None.
        refresh_interval: Seconds after which rows from elsewhere are read anew; None where not set.
        create_time: When it was created.
        update_time: When it last changed.
        revision: Grows with every change.
    """

    tenant: str
    name: str
    uid: str
    provider: str
    display_name: str = ""
    source: Source | None = None
    rows: tuple[PriceRow, ...] = ()
    effective_time: float | None = None
    refresh_interval: float | None = None
    create_time: float = 0.0
    update_time: float = 0.0
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a price is looked up for.

    Attributes:
        machine_type: The machine type.
        region: Its region.
        zone: Its zone; prices of a zone do not fit where it is not known.
        price_type: How it is paid for.
    """

    machine_type: str
    region: str
    zone: str
    price_type: PriceType


@dataclass(frozen=True, slots=True)
class Price:
    """A price that was found.

    Attributes:
        hourly: For one machine and one hour.
        date: From when on it holds, seconds since 1970.
    """

    hourly: Money
    date: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """The rows of a table while they were in force: a change of the table ends one edition and begins the next.

    Attributes:
        table: The uid of the table.
        start: From when on, seconds since 1970.
        end: Until when; None as long as it is.
        rows: The prices.
        default_time: The date of rows that have none.
    """

    table: str
    start: float
    rows: tuple[PriceRow, ...]
    default_time: float
    end: float | None = None

    def holds(self, time: float) -> bool:
        """Returns whether it is in force at a time."""
        return self.start <= time and (self.end is None or time < self.end)

    def date(self, row: PriceRow) -> float:
        """Returns from when on a row holds."""
        return self.default_time if row.effective_time is None else row.effective_time


def edition(table: PriceTable, now: float) -> Edition:
    """Returns the edition of a table that begins now."""
    default = now if table.effective_time is None else table.effective_time
    return Edition(table=table.uid, start=now, rows=table.rows, default_time=default)


def prices_alike(before: PriceTable, after: PriceTable) -> bool:
    """Returns whether a change of a table leaves its prices as they are."""
    return (before.rows, before.effective_time) == (after.rows, after.effective_time)
