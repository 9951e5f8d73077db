"""Models: a name, fields, an order, constraints and who may do what; and the registry of all of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from services.erp.sandbox.errors import BadValue, UserError
from services.erp.sandbox.schema.fields import Field, char, datetime, integer, many2one

Operation = Literal["read", "create", "write", "unlink"]
Role = Literal["admin", "internal", "portal"]
EVERYBODY: frozenset[Role] = frozenset({"admin", "internal", "portal"})
EMPLOYEES: frozenset[Role] = frozenset({"admin", "internal"})
ADMINISTRATORS: frozenset[Role] = frozenset({"admin"})
NOBODY: frozenset[Role] = frozenset()

MAGIC: tuple[str, ...] = ("id", "display_name", "create_uid", "create_date", "write_uid", "write_date")


@dataclass(frozen=True, slots=True)
class Constraint:
    """A rule of the table and the text that a caller reads when it is broken.

    `columns` for a unique set of columns, `condition` for an SQL check.
    """

    name: str
    message: str
    columns: tuple[str, ...] = ()
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Grants:
    """The roles that may read, create, write and unlink records of a model."""

    read: frozenset[Role] = EMPLOYEES
    create: frozenset[Role] = ADMINISTRATORS
    write: frozenset[Role] = ADMINISTRATORS
    unlink: frozenset[Role] = ADMINISTRATORS

    def of(self, operation: Operation) -> frozenset[Role]:
        """Return the roles that may do `operation`."""
        return {"read": self.read, "create": self.create, "write": self.write, "unlink": self.unlink}[operation]


MASTER_DATA = Grants()
MACHINERY = Grants(create=NOBODY, write=NOBODY, unlink=NOBODY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A kind of record. The fields that every model has (MAGIC) are added to the ones that are declared.

    `display` is the SQL of `display_name` with `{t}` for the table's alias; `search_names` are the paths that a search
    on the name looks into; `parent` is the many2one that makes a tree.
    """

    name: str
    description: str
    fields: Mapping[str, Field]
    order: str = "id"
    display: str = "{t}.name"
    rec_name: str = "name"
    search_names: tuple[str, ...] = ("name",)
    parent: str = ""
    constraints: tuple[Constraint, ...] = ()
    grants: Grants = MASTER_DATA

    def __post_init__(self) -> None:
        stamps = {
            "id": integer("ID", readonly=True),
            "display_name": char(
                "Display Name",
                readonly=True,
                expression=self.display,
                declared_stored=False,
                depends=self.search_names,
            ),
            "create_uid": many2one("res.users", "Created by", readonly=True, copied=False),
            "create_date": datetime("Created on", readonly=True, copied=False),
            "write_uid": many2one("res.users", "Last Updated by", readonly=True, copied=False),
            "write_date": datetime("Last Updated on", readonly=True, copied=False),
        }
        missing = {name: field for name, field in stamps.items() if name not in self.fields}
        object.__setattr__(self, "fields", {**self.fields, **missing})

    @property
    def table(self) -> str:
        """The name of the table."""
        return self.name.replace(".", "_")

    def field(self, name: str) -> Field:
        """Return the field; BadValue if there is none of that name."""
        try:
            return self.fields[name]
        except (KeyError, TypeError):
            raise BadValue(f"Invalid field {name!r} on model {self.name!r}") from None

    def column(self, name: str) -> str:
        """Return the column that keeps the field."""
        return self.fields[name].column or name

    def columns(self) -> Iterator[tuple[str, Field]]:
        """Yield name and field of every column, once for columns that two fields share."""
        return ((name, field) for name, field in self.fields.items() if field.has_column and not field.column)

    def pairs_table(self, name: str) -> str:
        """Return the table that keeps the pairs of a many2many field (columns `here` and `there`)."""
        return f"{self.table}__{name}"


class Registry:
    """All models of the sandbox, by name."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._models = {model.name: model for model in models}

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def __getitem__(self, name: str) -> Model:
        try:
            return self._models[name]
        except (KeyError, TypeError):
            raise UserError(f"Object {name} doesn't exist") from None

    def by_table(self, table: str) -> Model:
        """Return the model that is kept in `table`."""
        return next(model for model in self if model.table == table)
