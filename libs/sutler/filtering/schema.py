"""What can be filtered and ordered by: which field paths exist, of which kind, and where they are stored."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from sutler.filtering.words import split_path


class Kind(Enum):
    """What a field holds, and how it is stored in its column or JSON document."""

    STRING = auto()
    """Text that compares by code point, with regard to case."""
    INT = auto()
    """A whole number of 64 bits; compares exactly."""
    DOUBLE = auto()
    """A number."""
    BOOL = auto()
    """1 or 0 in a column, true or false in JSON."""
    TIME = auto()
    """A point in time as epoch seconds."""
    DURATION = auto()
    """A span of time in seconds."""
    ENUM = auto()
    """One of :attr:`Field.values`."""
    STRING_LIST = auto()
    """A JSON array of strings."""
    STRING_MAP = auto()
    """A JSON object whose values are strings."""
    WHOLE = auto()
    """A JSON object or an array of such; only whether it is there can be asked. What is in it is a field of its own."""
    OPEN = auto()
    """Any JSON; every path below exists. Its numbers are finite doubles."""


class Type(Enum):
    """What values of a field are when they compare."""

    TEXT = auto()
    NUMBER = auto()
    INTEGER = auto()
    BOOL = auto()


_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")
_WHOLE = frozenset({Kind.STRING_LIST, Kind.STRING_MAP, Kind.WHOLE, Kind.OPEN})
_KEYED = frozenset({Kind.STRING_MAP, Kind.OPEN})
_TYPES = {
    Kind.STRING: Type.TEXT,
    Kind.INT: Type.INTEGER,
    Kind.DOUBLE: Type.NUMBER,
    Kind.BOOL: Type.BOOL,
    Kind.TIME: Type.NUMBER,
    Kind.DURATION: Type.NUMBER,
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        kind: What it holds.
        column: The column, with or without its table, such as ``r.create_time``. Lists, maps, open fields and fields
            with ``json`` are in TEXT columns of JSON. NULL means that the field is absent.
        json: The keys that lead to the value in the column's JSON object; empty where the column is the value.
        values: For ENUM: the names as in the contract, each with what is stored for it (all int or all str). Filters
            may leave out what all of them begin with: ``RUNNING`` for ``STATE_RUNNING``.
        required: Whether the column is never NULL; then an order by it can use an index.
    """

    kind: Kind
    column: str
    json: tuple[str, ...] = ()
    values: Mapping[str, int | str] = field(default_factory=dict)
    required: bool = False

    def __post_init__(self) -> None:
        if not _COLUMN.fullmatch(self.column):
            raise ValueError(f"{self.column!r} is not the name of a column")
        if (self.kind is Kind.ENUM) != bool(self.values):
            raise ValueError(f"{self.column}: an enum, and nothing else, has values")
        if len({type(value) for value in self.values.values()}) > 1:
            raise ValueError(f"{self.column}: an enum is stored as int or as str, not as both")

    def named(self, text: str) -> str | None:
        """Returns which value of an enum a text names, with what all of them begin with or without; None if none."""
        if text in self.values:
            return text
        found = [name for name in self.values if name.endswith(f"_{text}")]
        return next((name for name in found if self._all_begin(name.removesuffix(text))), None)

    def _all_begin(self, prefix: str) -> bool:
        return all(name.startswith(prefix) for name in self.values)

    @property
    def is_json(self) -> bool:
        """Whether the value is in a JSON document."""
        return self.kind in _WHOLE or bool(self.json)

    @property
    def type(self) -> Type | None:
        """How its values compare; None for lists, maps, wholes, and open fields, whose values have their own type."""
        if self.kind is Kind.ENUM:
            return Type.TEXT if isinstance(next(iter(self.values.values())), str) else Type.INTEGER
        return _TYPES.get(self.kind)


@dataclass(frozen=True, slots=True)
class Ref:
    """A field as a filter names it.

    Attributes:
        path: All segments of the path.
        field: The field of the schema.
        keys: The segments below it, in a map or an open field.
    """

    path: tuple[str, ...]
    field: Field
    keys: tuple[str, ...] = ()

    @property
    def type(self) -> Type | None:
        """How the value compares; None for lists, whole maps and open fields."""
        return Type.TEXT if self.field.kind is Kind.STRING_MAP and self.keys else self.field.type

    @property
    def json(self) -> tuple[str, ...]:
        """The keys that lead to the value in the JSON document."""
        return self.field.json + self.keys


class Schema:
    """The fields of one kind of resource.

    A subclass may override :meth:`find` where fields are known only at run time, such as an ERP's.

    Args:
        fields: Each field by its path, such as ``create_time`` or ``metadata.state``.
    """

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self.fields = dict(fields)
        self._by_path = {tuple(path.split(".")): field for path, field in fields.items()}

    def find(self, path: tuple[str, ...]) -> Ref | None:
        """Returns the field at a path; None if there is none. The longest path in the schema decides."""
        for length in range(len(path), 0, -1):
            field = self._by_path.get(path[:length])
            if field is None:
                continue
            keys = path[length:]
            if not keys or field.kind is Kind.OPEN or (field.kind is Kind.STRING_MAP and len(keys) == 1):
                return Ref(path, field, keys)
            return None
        return None

    @property
    def named(self) -> Collection[str]:
        """What a filter may name; ``.KEY`` stands for what is below a map or an open field."""
        return [f"{path}.KEY" if field.kind in _KEYED else path for path, field in self.fields.items()]

    @property
    def orderable(self) -> Collection[str]:
        """What ``order_by`` may name, for :func:`sutler.paging.parse_order_by`: all but lists and whole maps.

        In iteration, ``.KEY`` stands for any path below a map or an open field.
        """
        return _Orderable(self)

    def order_field(self, path: str) -> Ref | None:
        """Returns the field that a part of ``order_by`` names; None if it does not exist or has no order."""
        segments = split_path(path)
        ref = self.find(segments) if segments else None
        if ref is None or (ref.type is None and ref.field.kind is not Kind.OPEN):
            return None
        return ref


class _Orderable(Collection[str]):
    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self._schema.order_field(path) is not None

    def __iter__(self) -> Iterator[str]:
        return (path for path in self._schema.named if path in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
