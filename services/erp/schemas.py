"""Models of an ERP: their fields, what a user may do with them, and who that user is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class FieldType(StrEnum):
    """The type of a field's values; the names are those of the contract."""

    UNSPECIFIED = "UNSPECIFIED"
    BOOLEAN = "BOOLEAN"
    INTEGER = "INTEGER"
    FLOAT = "FLOAT"
    DECIMAL = "DECIMAL"
    MONETARY = "MONETARY"
    STRING = "STRING"
    TEXT = "TEXT"
    HTML = "HTML"
    DATE = "DATE"
    DATETIME = "DATETIME"
    TIME = "TIME"
    SELECTION = "SELECTION"
    BINARY = "BINARY"
    MANY_TO_ONE = "MANY_TO_ONE"
    ONE_TO_MANY = "ONE_TO_MANY"
    MANY_TO_MANY = "MANY_TO_MANY"
    REFERENCE = "REFERENCE"
    JSON = "JSON"


TEXTS = frozenset({FieldType.STRING, FieldType.TEXT, FieldType.HTML, FieldType.TIME, FieldType.SELECTION})
NUMBERS = frozenset({FieldType.INTEGER, FieldType.FLOAT, FieldType.DECIMAL, FieldType.MONETARY})
TO_MANY = frozenset({FieldType.ONE_TO_MANY, FieldType.MANY_TO_MANY})
RELATIONS = TO_MANY | {FieldType.MANY_TO_ONE}


@dataclass(frozen=True, slots=True)
class SelectionOption:
    """One value of a selection, with its label in the language of the context."""

    value: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelField:
    """One field of a model. The attributes are those of the contract's ModelField, and one more.

    Attributes:
        made_of: The models behind relations to many that its values are made of, as far as the ERP tells: a write of
            one of their records, or a new one, changes them.
    """

    field: str
    type: FieldType
    erp_type: str = ""
    label: str = ""
    description: str = ""
    required: bool = False
    readonly: bool = False
    stored: bool = True
    searchable: bool = True
    sortable: bool = True
    translated: bool = False
    relation: str = ""
    relation_field: str = ""
    options: tuple[SelectionOption, ...] = ()
    max_length: int = 0
    scale: int | None = None
    made_of: frozenset[str] = frozenset()

    @property
    def to_many(self) -> bool:
        """Whether it leads to many records."""
        return self.type in TO_MANY

    @property
    def related(self) -> bool:
        """Whether it leads to records of another model."""
        return self.type in RELATIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model. The attributes are those of the contract's Model."""

    model: str
    display_name: str = ""
    description: str = ""
    temporary: bool = False
    modules: tuple[str, ...] = ()
    archive_field: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRights:
    """What a user may do with a model; rules of the ERP may allow less for some records."""

    model: str
    readable: bool = False
    creatable: bool = False
    writable: bool = False
    deletable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ErpUser:
    """A user of the ERP."""

    id: int
    username: str = ""
    display_name: str = ""
    language: str = ""
    time_zone: str = ""
    company_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelSchema:
    """A model with all its fields.

    Attributes:
        model: The model.
        fields: Its fields by name.
        read_time: When the ERP told, in epoch seconds.
    """

    model: Model
    fields: Mapping[str, ModelField] = field(default_factory=dict)
    read_time: float = 0.0

    @property
    def name(self) -> str:
        """The name of the model, such as ``sale.order``."""
        return self.model.model
