"""Files of records: CSV, JSON lines and Parquet, written a part at a time."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import IO, Any

from sutler.cli.erp.columns import MANY, Column
from sutler.cli.screen import Failed, Form
from sutler.erp.v1 import erp_pb2

Field = erp_pb2.ModelField
Record = dict[str, Any]
ROWS = 10_000
"""How many records a group of a Parquet file has."""

SCALE = 18
SMALLEST = Decimal(1).scaleb(-SCALE)
WIDTH = Context(prec=38, traps=[Inexact, InvalidOperation])
"""What a decimal of Parquet can be that every reader takes."""

EXACT = (Field.TYPE_DECIMAL, Field.TYPE_MONETARY)


def head(form: Form, columns: Sequence[Column]) -> str:
    """Returns what a file begins with."""
    return _csv([[column.path for column in columns]]) if form is Form.CSV else ""


def lines(form: Form, columns: Sequence[Column], records: Iterable[Record]) -> str:
    """Returns records as text; of a Parquet file, as what :func:`to_parquet` reads."""
    if form is Form.CSV:
        return _csv([[_cell(column, one) for column in columns] for one in records])
    return "".join(f"{json.dumps(one, ensure_ascii=False, separators=(',', ':'))}\n" for one in records)


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _cell(column: Column, record: Record) -> Any:
    """Returns a value for a cell: relations by id, lists as JSON, nothing for what is not there."""
    value = _plain(column, record)
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _plain(column: Column, record: Record) -> Any:
    value = column.find(record)
    if column.type == Field.TYPE_MANY_TO_ONE and isinstance(value, dict):
        return value["id"]
    if column.type in MANY and isinstance(value, list) and not column.listed:
        return [one["id"] for one in value]
    return value


def check_parquet() -> None:
    """Makes sure that Parquet can be written.

    Raises:
        Failed: If the package for it is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise Failed("Parquet needs the package pyarrow: pip install 'sutler[data]'") from error


def to_parquet(source: IO[str], target: Path, columns: Sequence[Column]) -> None:
    """Writes a Parquet file from JSON lines, in groups, so that memory stays bounded.

    Args:
        source: The lines, to be read from the beginning, maybe twice.
        target: The file.
        columns: Its columns; one of exact numbers is one of texts if a number does not fit 20 digits before the point
            and 18 after it.
    """
    import pyarrow as pa
    from pyarrow import parquet

    columns = _fitting(source, columns)
    schema = pa.schema([(column.path, _arrow_type(column)) for column in columns])
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        for group in _groups(source):
            arrays = [
                pa.array([_arrow(column, one) for one in group], type=kind.type)
                for column, kind in zip(columns, schema, strict=True)
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def _fitting(source: IO[str], columns: Sequence[Column]) -> list[Column]:
    exact = {column.path: column for column in columns if column.type in EXACT and not column.listed}
    wide: set[str] = set()
    for group in _groups(source) if exact else ():
        for record in group:
            wide.update(path for path, column in exact.items() if path not in wide and not _fits(column.find(record)))
    source.seek(0)
    return [replace(column, type=Field.TYPE_STRING) if column.path in wide else column for column in columns]


def _fits(value: Any) -> bool:
    try:
        return value is None or _exact(value).is_finite()
    except ArithmeticError:
        return False


def _exact(value: Any) -> Decimal:
    return Decimal(str(value)).quantize(SMALLEST, context=WIDTH)


def _groups(source: IO[str]) -> Iterator[list[Record]]:
    while group := [json.loads(line) for line in islice(source, ROWS)]:
        yield group


def _arrow_type(column: Column) -> Any:
    import pyarrow as pa

    if column.listed:
        return pa.string()
    if column.type in MANY:
        return pa.list_(pa.int64())
    if column.type in EXACT:
        return pa.decimal128(WIDTH.prec, SCALE)
    kinds = {
        Field.TYPE_BOOLEAN: pa.bool_(),
        Field.TYPE_INTEGER: pa.int64(),
        Field.TYPE_MANY_TO_ONE: pa.int64(),
        Field.TYPE_FLOAT: pa.float64(),
        Field.TYPE_DATE: pa.date32(),
        Field.TYPE_DATETIME: pa.timestamp("us", tz="UTC"),
        Field.TYPE_BINARY: pa.binary(),
    }
    return kinds.get(column.type, pa.string())


def _arrow(column: Column, record: Record) -> Any:
    value = _plain(column, record)
    if value is None:
        return None
    if column.listed:
        return json.dumps(value, ensure_ascii=False)
    if column.type in EXACT:
        return _exact(value)
    if column.type == Field.TYPE_DATE:
        return date.fromisoformat(value)
    if column.type == Field.TYPE_DATETIME:
        return datetime.fromisoformat(value)
    if column.type == Field.TYPE_BINARY:
        return base64.b64decode(value) if isinstance(value, str) else str(value).encode()
    if column.type in (Field.TYPE_INTEGER, Field.TYPE_MANY_TO_ONE):
        return int(value)
    if column.type in (Field.TYPE_FLOAT, Field.TYPE_BOOLEAN) or column.type in MANY or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
