"""What governs resources, as SQL finds it: types, what is above, policies and quotas; found once in each epoch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from sutler.store import Transaction

from services.resource import quotas
from services.resource.adapters import encoding
from services.resource.adapters.governing import BUILT_IN_TENANT, UNKNOWN, Facts, Knowledge
from services.resource.adapters.stacks import StacksView
from services.resource.adapters.totals import below
from services.resource.linking import GROUPS
from services.resource.names import Name, key
from services.resource.ports import Above, SecretBox
from services.resource.resource import Lock
from services.resource.resource_type import ResourceType
from services.resource.states import State

ABOVE = "name, uid, type, state, lock_level, group_key, operation, revision"
"""The columns that :func:`above_in` reads."""

MAX_GROUPS = 9
"""How many management groups are looked for above a resource, one more than may nest."""

T = TypeVar("T")

DEPTH = (
    "WITH RECURSIVE below (key, depth) AS"
    " (SELECT key, 1 FROM resources WHERE tenant = ? AND group_key = ? AND group_key <> '' AND type_key = ?"
    " UNION SELECT r.key, b.depth + 1 FROM resources AS r JOIN below AS b ON r.group_key = b.key"
    " WHERE r.tenant = ? AND r.group_key <> '' AND r.type_key = ? AND b.depth < ?)"
    " SELECT MAX(depth) FROM below"
)
"""Finds how deep management groups nest below one."""


class GoverningView(StacksView):
    """Implements the part of :class:`services.resource.ports.View` that tells what governs resources.

    Args:
        tx: The database at one moment.
        tenant: Whose view it is.
        facts: Keeps what governs resources.
        box: Encrypts secrets.
    """

    def __init__(self, tx: Transaction, tenant: str, facts: Facts, box: SecretBox) -> None:
        super().__init__(tx, tenant, box)
        self._facts = facts
        self._known: Knowledge | None = None

    def type(self, type: str) -> ResourceType | None:
        """Returns a type of the tenant's own, or a built-in one."""
        return self._kept(("type", key(type)), lambda: self._type(type))

    def child_type(self, type: str) -> str | None:
        """Returns a type that stands below this one; None if there is none."""
        query = "SELECT name FROM types WHERE tenant = ? AND key > ? AND key < ?"
        found: str | None = self._kept(("child type", key(type)), lambda: self._first(query, *below(type)))
        return found

    def above(self, name: Name) -> tuple[Above, ...]:
        """Returns what is above a name and exists: along its path, the nearest first, then management groups."""
        path = name.above
        if not path:
            return self._found_above((name.key,))[1:]
        known = self._knowledge()
        found: tuple[Above, ...] = known.get(("above", path))
        if found is UNKNOWN:
            found = self._found_above(path)
            # What is not there yet may come without a new epoch; what is there does not go without one.
            if found and key(found[0].name) == path[0]:
                known.found["above", path] = found
        return found

    def _found_above(self, keys: tuple[str, ...]) -> tuple[Above, ...]:
        marks = ", ".join("?" * len(keys))
        rows = self._tx.all(
            f"SELECT {ABOVE} FROM resources WHERE tenant = ? AND key IN ({marks}) ORDER BY key DESC",
            (self.tenant, *keys),
        )
        found = tuple(map(above_in, rows))
        return found + (self.groups(found[-1].group) if found and found[-1].group else ())

    def groups(self, group: str) -> tuple[Above, ...]:
        """Returns a management group and those above it, at most 9; none if it does not exist."""
        found: list[Above] = []
        while group and len(found) < MAX_GROUPS:
            row = self._tx.one(f"SELECT {ABOVE} FROM resources WHERE tenant = ? AND key = ?", (self.tenant, key(group)))
            if row is None:
                break
            found.append(above_in(row))
            group = found[-1].group
        return tuple(found)

    def levels_below(self, group: str) -> int:
        """Returns how many levels of management groups belong to one; at most 9."""
        params = (key(group), GROUPS, self.tenant, GROUPS, MAX_GROUPS)
        return self._first(DEPTH, *params) or 0

    def standing(self, type: str, scopes: Sequence[str]) -> Sequence[Above]:
        """Returns resources of a built-in type that stand directly in these scopes, in their order, then by name."""
        return self._kept(("standing", type, *scopes), lambda: self._standing(type, scopes))

    def _standing(self, type: str, scopes: Sequence[str]) -> Sequence[Above]:
        places = {key(scope): place for place, scope in enumerate(scopes)}
        rows = self._tx.all(
            f"SELECT {ABOVE}, document, parent_key FROM resources WHERE tenant = ? AND {_governs(type)}"
            f" AND parent_key IN ({', '.join('?' * len(places))}) ORDER BY name",
            (self.tenant, *places),
        )
        return tuple(above_in(row[:-1]) for row in sorted(rows, key=lambda row: places[row[-1]]))

    def standing_below(self, type: str, name: str) -> list[Above]:
        """Returns the resources of a built-in type that stand anywhere below a name."""
        rows = self._tx.all(
            f"SELECT {ABOVE}, document FROM resources WHERE tenant = ? AND {_governs(type)} AND key > ? AND key < ?",
            (self.tenant, *below(name)),
        )
        return [above_in(row) for row in rows]

    def has_quotas(self) -> bool:
        """Returns whether the tenant has any quota."""
        return self._kept(
            "has quotas",
            lambda: bool(self._first(f"SELECT 1 FROM resources WHERE tenant = ? AND {_governs(quotas.TYPE)} LIMIT 1")),
        )

    def _type(self, type: str) -> ResourceType | None:
        row = self._tx.one(
            "SELECT tenant, document FROM types WHERE tenant IN (?, ?) AND key = ?",
            (self.tenant, BUILT_IN_TENANT, key(type)),
        )
        return None if row is None else encoding.type_of(*row)

    def _knowledge(self) -> Knowledge:
        """Returns what is known in the epoch that this view sees."""
        if self._known is None:
            self._known = self._know()
        return self._known

    def _know(self) -> Knowledge:
        return self._facts.seen(self._tx, self.tenant)

    def _kept(self, what: Hashable, find: Callable[[], T]) -> T:
        """Returns something that governs resources, found once in each epoch."""
        known = self._knowledge()
        found: T = known.get(what)
        if found is UNKNOWN:
            found = known.found[what] = find()
        return found

    def _first(self, sql: str, *params: Any) -> Any:
        row = self._tx.one(sql, (self.tenant, *params))
        return None if row is None else row[0]


def _governs(type: str) -> str:
    """Returns the condition for a type that has an index of its own, which is used only where it is repeated."""
    return f"type_key = '{key(type)}'"


def above_in(row: tuple[Any, ...]) -> Above:
    """Returns what is in a row of :data:`ABOVE`, which may have the document too."""
    name, uid, type, state, lock, group, operation, revision, *document = row
    digest = encoding.digest(document[0]) if document else b""
    return Above(name, uid, type, State[state], Lock(lock), group, operation, revision, digest)
