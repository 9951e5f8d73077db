"""Cells of an import: from the text in a table to the value that `create` and `write` take."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.erp.sandbox.errors import ValidationError
from services.erp.sandbox.orm import externalids, searching
from services.erp.sandbox.orm.env import SECONDS, Env
from services.erp.sandbox.orm.periods import zone_name
from services.erp.sandbox.schema.fields import Field
from services.erp.sandbox.schema.models import Model

Row = dict[str, Any]
REFERENCES = ("", "id", ".id")
TRUE_WORDS = ("1", "true", "yes")
FALSE_WORDS = ("", "0", "false", "no")


class CellError(Exception):
    """The cell does not hold such a value; `info` goes into the message beside the text."""

    def __init__(self, message: str, **info: Any) -> None:
        super().__init__(message)
        self.info = info


@dataclass(slots=True)
class Cells:
    """Converts the cells of one record; what is wrong is told to `complain(field name, error)`."""

    env: Env
    model: Model
    complain: Callable[[str, CellError], None]
    module: str = field(default=externalids.IMPORT_MODULE)

    def convert(self, row: Row) -> Row:
        """Return the values of a row; an empty cell is false, a wrong one is left out."""
        values: Row = {}
        for name, cell in row.items():
            if name in REFERENCES:
                continue
            try:
                values[name] = self._cell(name, self.model.field(name), cell) if cell else False
            except CellError as error:
                self.complain(name, error)
        return values

    def _cell(self, name: str, declared: Field, cell: Any) -> Any:
        match declared.type:
            case "boolean":
                return self._boolean(declared, str(cell))
            case "integer":
                return _number(int, cell, f"'{cell}' does not seem to be an integer for field '{declared.string}'")
            case "float" | "monetary":
                return _number(float, cell, f"'{cell}' does not seem to be a number for field '{declared.string}'")
            case "date":
                return _date(declared, cell)
            case "datetime":
                return self._datetime(declared, cell)
            case "selection":
                return _choice(declared, cell)
            case "many2one":
                return self._reference(declared, cell[0])
            case "many2many":
                ids = [self._reference(declared, {key: part}) for key, text in cell[0].items() for part in _parts(text)]
                return [[6, 0, ids]]
            case "one2many":
                return [self._owned(declared, name, row) for row in cell]
            case _:
                return cell

    def _boolean(self, declared: Field, cell: str) -> bool:
        if cell.lower() in FALSE_WORDS:
            return False
        if cell.lower() not in TRUE_WORDS:
            raise CellError(
                f"Unknown value '{cell}' for boolean field '{declared.string}'",
                moreinfo="Use '1' for yes and '0' for no",
            )
        return True

    def _datetime(self, declared: Field, cell: Any) -> str:
        """Read a local time: imports are in the time zone of the context or the user, not in UTC."""
        try:
            local = datetime.strptime(str(cell), SECONDS)
        except ValueError:
            raise CellError(
                f"'{cell}' does not seem to be a valid datetime for field '{declared.string}'",
                moreinfo="Use the format '2012-12-31 23:59:59'",
            ) from None
        zone = ZoneInfo(zone_name(self.env.context.get("tz") or self.env.user.tz or "UTC"))
        return local.replace(tzinfo=zone).astimezone(UTC).strftime(SECONDS)

    def _reference(self, declared: Field, row: Row) -> int:
        """Return the id that a cell refers to: by external id, database id or name."""
        [(key, value)] = row.items() if len(row) == 1 else [("several", row)]
        comodel = self.env.model(declared.relation)
        kind = {"id": "external id", ".id": "database id", "": "name"}.get(key)
        if kind is None:
            raise CellError(f"Import the fields of '{declared.string}' apart")
        found = self._find(comodel, key, value, declared)
        if found is None:
            raise CellError(f"No matching record found for {kind} '{value}' in field '{declared.string}'")
        return found

    def _find(self, comodel: Model, key: str, value: Any, declared: Field) -> int | None:
        if key == "id":
            try:
                return externalids.resolve(self.env, comodel, externalids.qualified(str(value), self.module))
            except ValidationError as error:
                raise CellError(error.message) from None
        if key == ".id":
            identifier = _number(int, value, f"Invalid database id '{value}' for the field '{declared.string}'")
            return identifier if identifier in searching.existing(self.env, comodel, [identifier]) else None
        ids = searching.find(self.env, comodel, [["display_name", "=", value]], limit=1)
        return ids[0] if ids else None

    def _owned(self, declared: Field, name: str, row: Row) -> list[Any]:
        comodel = self.env.model(declared.relation)
        values = Cells(self.env, comodel, lambda _, error: self.complain(name, error), self.module).convert(row)
        if row.get("id") or row.get(".id"):
            key = "id" if row.get("id") else ".id"
            return [1, self._reference(declared, {key: row[key]}), values]
        return [0, 0, values]


def _parts(text: Any) -> list[str]:
    return [part.strip() for part in str(text).split(",") if part.strip()]


def _number(kind: Callable[[Any], Any], cell: Any, message: str) -> Any:
    try:
        return kind(cell)
    except (ValueError, TypeError):
        raise CellError(message) from None


def _date(declared: Field, cell: Any) -> str:
    try:
        return datetime.strptime(str(cell), "%Y-%m-%d").strftime("%Y-%m-%d")
    except ValueError:
        raise CellError(
            f"'{cell}' does not seem to be a valid date for field '{declared.string}'",
            moreinfo="Use the format '2012-12-31'",
        ) from None


def _choice(declared: Field, cell: Any) -> str:
    for value, label in declared.selection:
        if str(cell).lower() in (value.lower(), label.lower()):
            return value
    raise CellError(
        f"Value '{cell}' not found in selection field '{declared.string}'",
        moreinfo=[label for _, label in declared.selection],
        field_name=declared.string,
    )
