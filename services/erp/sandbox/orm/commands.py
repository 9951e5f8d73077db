"""Commands in x2many values: 0 create, 1 update, 2 delete, 3 unlink, 4 link, 5 clear, 6 set."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from services.erp.sandbox.errors import BadValue
from services.erp.sandbox.orm import integrity, writing
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.sql import one_of
from services.erp.sandbox.schema.fields import Field
from services.erp.sandbox.schema.models import Model


def run(env: Env, model: Model, name: str, owner: int, value: Any) -> None:
    """Carry out the commands of one field for one record; a plain list of ids means set, false means clear."""
    links = (_Owned if model.fields[name].type == "one2many" else _Paired)(env, model, name, owner)
    for command in _normalised(model, name, value):
        code, identifier, content = (*command, 0, 0)[:3]
        match code:
            case 0:
                links.add_new(content)
            case 1:
                writing.write(env, links.comodel, [identifier], content)
            case 2:
                writing.unlink(env, links.comodel, [identifier])
            case 3:
                links.remove([identifier])
            case 4:
                links.add([identifier])
            case 5:
                links.remove(links.current())
            case 6:
                links.replace(content or [])
            case _:
                raise BadValue(f"Wrong value for {model.name}.{name}: {command!r}")


def _normalised(model: Model, name: str, value: Any) -> Sequence[Any]:
    if value is None or value is False:
        return [(5, 0, 0)]
    if isinstance(value, list | tuple):
        if all(isinstance(command, list | tuple) and command for command in value):
            return value
        if all(isinstance(command, int) for command in value):
            return [(6, 0, list(value))]
    raise BadValue(f"Wrong value for {model.name}.{name}: {value!r}")


class _Links(ABC):
    """The records linked to one record through one field."""

    def __init__(self, env: Env, model: Model, name: str, owner: int) -> None:
        self.env = env
        self.field: Field = model.fields[name]
        self.comodel = env.model(self.field.relation)
        self.owner = owner
        self.pairs = model.pairs_table(name)

    @abstractmethod
    def current(self) -> list[int]: ...

    @abstractmethod
    def add(self, ids: Sequence[int]) -> None: ...

    @abstractmethod
    def remove(self, ids: Sequence[int]) -> None: ...

    def add_new(self, values: dict[str, Any]) -> None:
        self.add([writing.create(self.env, self.comodel, values)])

    def replace(self, ids: Sequence[int]) -> None:
        current = self.current()
        self.remove([identifier for identifier in current if identifier not in ids])
        self.add([identifier for identifier in ids if identifier not in current])


class _Owned(_Links):
    """One2many: the other records point here."""

    def current(self) -> list[int]:
        sql = f"SELECT id FROM {self.comodel.table} WHERE {self.field.inverse} = ? ORDER BY id"
        return [row[0] for row in self.env.rows(sql, (self.owner,))]

    def add(self, ids: Sequence[int]) -> None:
        if ids:
            writing.write(self.env, self.comodel, ids, {self.field.inverse: self.owner})

    def add_new(self, values: dict[str, Any]) -> None:
        writing.create(self.env, self.comodel, {**values, self.field.inverse: self.owner})

    def remove(self, ids: Sequence[int]) -> None:
        inverse = self.comodel.fields[self.field.inverse]
        if ids and (inverse.required or inverse.on_delete == "cascade"):
            writing.unlink(self.env, self.comodel, ids)
        elif ids:
            writing.write(self.env, self.comodel, ids, {self.field.inverse: False})


class _Paired(_Links):
    """Many2many: pairs in a table."""

    def current(self) -> list[int]:
        return [row[0] for row in self.env.rows(f"SELECT there FROM {self.pairs} WHERE here = ?", (self.owner,))]

    def add(self, ids: Sequence[int]) -> None:
        for identifier in ids:
            integrity.check_reference(self.env, self.comodel, identifier, self.pairs, "there")
            self.env.execute(f"INSERT OR IGNORE INTO {self.pairs} VALUES (?, ?)", (self.owner, identifier))

    def remove(self, ids: Sequence[int]) -> None:
        listed = one_of(ids)
        self.env.execute(
            f"DELETE FROM {self.pairs} WHERE here = ? AND there IN {listed.text}", (self.owner, *listed.params)
        )
