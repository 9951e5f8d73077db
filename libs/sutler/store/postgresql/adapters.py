"""Values that PostgreSQL and SQLite treat differently, made alike."""

from __future__ import annotations

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.types.numeric import Int2Dumper

from sutler.store.engine import Row

PREPARED_STATEMENTS = 500


def register(raw: psycopg.Connection[Row]) -> None:
    """Makes a connection take bool as a number, and give sums and averages as int and float."""
    raw.prepared_max = PREPARED_STATEMENTS
    raw.adapters.register_dumper(bool, _BoolDumper)
    raw.adapters.register_loader("numeric", _NumericLoader)


class _BoolDumper(Int2Dumper):
    """Stores a bool as 0 or 1."""

    def dump(self, obj: object) -> Buffer | None:
        return b"1" if obj else b"0"


class _NumericLoader(Loader):
    """Gives what ``SUM`` and ``AVG`` of a BIGINT column return as SQLite does."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data)
        return int(text) if text.isdigit() or text[1:].isdigit() else float(text)
