"""Field declarations: what a model's table holds and what `fields_get` says about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FieldType = Literal[
    "boolean",
    "integer",
    "float",
    "monetary",
    "char",
    "text",
    "html",
    "date",
    "datetime",
    "selection",
    "binary",
    "many2one",
    "one2many",
    "many2many",
]

NUMBERS: frozenset[str] = frozenset({"integer", "float", "monetary"})
TEXTS: frozenset[str] = frozenset({"char", "text", "html"})
TO_MANY: frozenset[str] = frozenset({"one2many", "many2many"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a model.

    `expression` is SQL for a field without a column of its own, with `{t}` for the alias of the model's table;
    `related` is a path through many2one fields instead. `kept` marks a column that the sandbox itself keeps up to
    date: values that callers send for it are ignored. `groups` is what `fields_get` tells about who may see the field;
    roles in `hidden_from` may not.
    """

    type: FieldType
    string: str
    relation: str = ""
    inverse: str = ""
    selection: tuple[tuple[str, str], ...] = ()
    required: bool = False
    readonly: bool = False
    copied: bool = True
    kept: bool = False
    default: Any = None
    help: str = ""
    groups: str = ""
    hidden_from: frozenset[str] = frozenset()
    column: str = ""
    related: str = ""
    expression: str = ""
    declared_stored: bool = True
    depends: tuple[str, ...] = ()
    on_delete: Literal["set null", "restrict", "cascade"] = "set null"
    digits: tuple[int, int] | None = None
    size: int | None = None
    company_dependent: bool = False
    only: tuple[tuple[str, str, Any], ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_column(self) -> bool:
        """Whether the model's own table has a column for the field."""
        return not (self.related or self.expression or self.type in TO_MANY)

    @property
    def relational(self) -> bool:
        """Whether the field refers to records of another model."""
        return bool(self.relation)

    @property
    def number(self) -> bool:
        """Whether an empty value means zero."""
        return self.type in NUMBERS

    @property
    def text(self) -> bool:
        """Whether an empty value means an empty text."""
        return self.type in TEXTS

    @property
    def to_many(self) -> bool:
        """Whether the value is a list of records."""
        return self.type in TO_MANY


def boolean(string: str, **options: Any) -> Field:
    """Declare a true/false field."""
    return Field(type="boolean", string=string, **options)


def integer(string: str, **options: Any) -> Field:
    """Declare a whole number."""
    return Field(type="integer", string=string, **options)


def floating(string: str, **options: Any) -> Field:
    """Declare a number; `digits` is (total, decimals)."""
    return Field(type="float", string=string, **options)


def monetary(string: str, **options: Any) -> Field:
    """Declare an amount in the record's `currency_id`, kept to two decimals."""
    return Field(type="monetary", string=string, **options)


def char(string: str, **options: Any) -> Field:
    """Declare a one-line text."""
    return Field(type="char", string=string, **options)


def text(string: str, **options: Any) -> Field:
    """Declare a text of several lines."""
    return Field(type="text", string=string, **options)


def html(string: str, **options: Any) -> Field:
    """Declare a piece of HTML; plain text is put into a paragraph."""
    return Field(type="html", string=string, **options)


def date(string: str, **options: Any) -> Field:
    """Declare a day."""
    return Field(type="date", string=string, **options)


def datetime(string: str, **options: Any) -> Field:
    """Declare a moment in UTC: stored with microseconds, sent with seconds."""
    return Field(type="datetime", string=string, **options)


def binary(string: str, **options: Any) -> Field:
    """Declare a file, kept and sent as base64 text."""
    return Field(type="binary", string=string, **options)


def selection(string: str, choices: tuple[tuple[str, str], ...], **options: Any) -> Field:
    """Declare a choice: `choices` are (value, label)."""
    return Field(type="selection", string=string, selection=choices, **options)


def many2one(relation: str, string: str, **options: Any) -> Field:
    """Declare a reference to one record of `relation`."""
    return Field(type="many2one", relation=relation, string=string, **options)


def one2many(relation: str, inverse: str, string: str, **options: Any) -> Field:
    """Declare the records of `relation` whose many2one `inverse` points here."""
    return Field(type="one2many", relation=relation, inverse=inverse, string=string, **options)


def many2many(relation: str, string: str, **options: Any) -> Field:
    """Declare a set of records of `relation`, kept in a table of pairs."""
    return Field(type="many2many", relation=relation, string=string, **options)
