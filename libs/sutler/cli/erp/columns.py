"""The columns that records have in tables and files: what was asked for, with its type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import invalid
from sutler.wire import from_value

Type = erp_pb2.ModelField.Type
MANY = (erp_pb2.ModelField.TYPE_ONE_TO_MANY, erp_pb2.ModelField.TYPE_MANY_TO_MANY)
EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        path: The field, maybe dotted.
        type: Its type.
        listed: Whether a relation on the way leads to many records, so that a record has a list of values.
    """

    path: str
    type: Type.ValueType
    listed: bool = False

    def find(self, record: dict[str, Any]) -> Any:
        """Returns the value of a record that is plain JSON data, ``id`` included; None if there is none."""
        return _follow(record, self.path.split("."))


def _follow(value: Any, path: Sequence[str]) -> Any:
    if isinstance(value, list) and path:
        return [_follow(one, path) for one in value]
    if not path:
        return value
    return _follow(value.get(path[0]), path[1:]) if isinstance(value, dict) else None


def plain(record: erp_pb2.Record, columns: Sequence[Column]) -> dict[str, Any]:
    """Returns a record as JSON data: the id, then the fields in the order of the columns."""
    values = record.values.fields
    names = dict.fromkeys(column.path.partition(".")[0] for column in columns)
    return {"id": record.id} | {name: _ordered(from_value(values[name])) for name in names if name in values}


def _ordered(value: Any) -> Any:
    """Returns JSON data with the keys of objects in order; a Struct has none."""
    if isinstance(value, list):
        return [_ordered(one) for one in value]
    return {key: _ordered(value[key]) for key in sorted(value)} if isinstance(value, dict) else value


async def columns_of(client: Sutler, connection: str, model: str, fields: Sequence[str]) -> list[Column]:
    """Returns the id and the columns of some fields; ``*`` stands for every field but binaries.

    Raises:
        Invalid: If there is no such field.
        SutlerError: What the gateway answers.
    """
    known: dict[str, dict[str, erp_pb2.ModelField]] = {}

    async def described(name: str) -> dict[str, erp_pb2.ModelField]:
        if name not in known:
            request = erp_pb2.DescribeModelRequest(connection=connection, model=name)
            known[name] = {one.field: one for one in (await client.erp.DescribeModel(request)).fields}
        return known[name]

    columns = {"id": Column("id", erp_pb2.ModelField.TYPE_INTEGER)}
    for field in fields:
        if field == EVERYTHING:
            every = (await described(model)).values()
            found = [Column(one.field, one.type) for one in every if one.type != erp_pb2.ModelField.TYPE_BINARY]
        else:
            listed, at, kind = False, model, erp_pb2.ModelField.TYPE_UNSPECIFIED
            parts = field.split(".")
            for place, part in enumerate(parts):
                one = (await described(at)).get(part)
                if one is None and part not in ("id", "external_id", "display_name"):
                    raise invalid("fields", f"{at} has no field {part!r}; see sutler erp describe {at}")
                kind = one.type if one else erp_pb2.ModelField.TYPE_STRING
                at = one.relation if one else ""
                listed = listed or (place < len(parts) - 1 and kind in MANY)
            found = [Column(field, kind, listed)]
        columns |= {one.path: one for one in found if one.path not in columns}
    return list(columns.values())
