"""`load`: many records from a table of texts, found again by external id; all of them or none."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from services.erp.sandbox.errors import BadValue, RpcError, UserError
from services.erp.sandbox.orm import access, externalids, operations, searching
from services.erp.sandbox.orm.cells import CellError, Cells, Row
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.paths import split_path
from services.erp.sandbox.schema.models import Model

Message = dict[str, Any]
MORE = "Resolve other errors first"


@dataclass(frozen=True, slots=True)
class _Extract:
    """The cells of one record and the rows of the table that they came from."""

    row: Row
    first: int
    last: int

    @property
    def rows(self) -> dict[str, int]:
        return {"from": self.first, "to": self.last}


def load(env: Env, model: Model, fields: Sequence[str], data: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Create records, or update those whose external id (`id`) or database id (`.id`) is known.

    Answers the ids in the order of the rows, or false with messages that say what is wrong; then nothing is changed.
    """
    access.check(env, model, "create")
    access.check(env, model, "write")
    messages: list[Message] = []
    ids: list[int] = []
    with _undone_if(env, "load", messages):
        for record, extract in enumerate(_extract(env, model, [split_path(path) for path in fields], data)):
            cells = Cells(env, model, _complaints(messages, extract, record), _module(env))
            identifier = _database_id(env, model, extract, record, messages)
            values = cells.convert(extract.row)
            failures: list[Message] = []
            with _undone_if(env, "record", failures):
                try:
                    ids.append(_upsert(env, model, extract.row.get("id"), identifier, values))
                except UserError as error:
                    failures.append({"rows": extract.rows, "type": "error", "message": error.message})
                except RpcError as error:
                    text = f"Unknown error during import: {error.name}: {error.message}"
                    failures.append({"rows": extract.rows, "type": "error", "message": text, "moreinfo": MORE})
            messages += failures
    failed = any(message["type"] == "error" for message in messages)
    return {"ids": False if failed else ids, "messages": messages, "nextrow": 0}


@contextmanager
def _undone_if(env: Env, name: str, messages: list[Message]) -> Iterator[None]:
    """Undo what was done inside if an error message has come up by the end."""
    written = len(env.writes)
    env.execute(f"SAVEPOINT {name}")
    yield
    if any(message["type"] == "error" for message in messages):
        env.execute(f"ROLLBACK TO {name}")
        del env.writes[written:]
    env.execute(f"RELEASE {name}")


def _module(env: Env) -> str:
    return str(env.context.get("module", externalids.IMPORT_MODULE))


def _complaints(messages: list[Message], extract: _Extract, record: int) -> Callable[[str, CellError], None]:
    def complain(name: str, error: CellError) -> None:
        message = {"rows": extract.rows, "type": "error", "record": record, "field": name, "message": str(error)}
        messages.append({**message, **error.info})

    return complain


def _database_id(env: Env, model: Model, extract: _Extract, record: int, messages: list[Message]) -> int | None:
    given = extract.row.get(".id")
    if not given:
        return None
    if str(given).isdecimal() and int(given) in searching.existing(env, model, [int(given)]):
        return int(given)
    text = f"Unknown database identifier '{given}'"
    messages.append({"rows": extract.rows, "type": "error", "record": record, "field": ".id", "message": text})
    return None


def _upsert(env: Env, model: Model, external: Any, identifier: int | None, values: Row) -> int:
    name = externalids.qualified(str(external), _module(env)) if external else ""
    if name:
        identifier = externalids.resolve(env, model, name)
    if identifier is not None:
        operations.write(env, model, [identifier], values)
        return identifier
    created = operations.create_one(env, model, values)
    if name:
        externalids.assign(env, model, name, created, noupdate=bool(env.context.get("noupdate", False)))
    return created


def _extract(env: Env, model: Model, paths: list[list[str]], data: Sequence[Sequence[Any]]) -> Iterator[_Extract]:
    """Gather the cells of each record; rows that fill one2many columns only belong to the record above them."""
    for path in paths:
        if path[0] not in ("", "id", ".id") and path[0] not in model.fields:
            raise BadValue(f"Invalid field name {path[0]!r}")
    owned = [i for i, path in enumerate(paths) if path[0] in model.fields and model.fields[path[0]].type == "one2many"]
    single = [i for i in range(len(paths)) if i not in owned]

    def continues(row: Sequence[Any]) -> bool:
        return any(row[i] for i in owned) and not any(row[i] for i in single)

    index = 0
    while index < len(data):
        span = [data[index], *takewhile(continues, data[index + 1 :])]
        yield _Extract(_gather(env, model, paths, span), index, index + len(span) - 1)
        index += len(span)


def _gather(env: Env, model: Model, paths: list[list[str]], span: list[Sequence[Any]]) -> Row:
    row: Row = {}
    for head in dict.fromkeys(path[0] for path in paths):
        columns = [i for i, path in enumerate(paths) if path[0] == head]
        field = model.fields.get(head)
        if head == "id" or field is None or not field.relational:
            row[head] = span[0][columns[0]]
            continue
        inner = [paths[i][1:] or [""] for i in columns]
        filled = [[line[i] for i in columns] for line in span if any(line[i] for i in columns)]
        row[head] = [part.row for part in _extract(env, env.model(field.relation), inner, filled)]
    return row
