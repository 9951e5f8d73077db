"""What one tenant has at one moment, as SQL finds it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from sutler.errors import NotFound
from sutler.operations import records
from sutler.operations.model import Operation
from sutler.store import Transaction

from services.resource import quotas
from services.resource.adapters import encoding
from services.resource.adapters.governing import BUILT_IN_TENANT, UNKNOWN, Facts, Knowledge
from services.resource.adapters.stacks import StacksView
from services.resource.adapters.totals import below, total
from services.resource.linking import GROUPS
from services.resource.names import Name, key
from services.resource.ports import Above, SecretBox
from services.resource.problems import Problem
from services.resource.quotas import Quota
from services.resource.resource import Lock, Resource
from services.resource.resource_type import ResourceType
from services.resource.states import State

ABOVE = "name, type, state, lock_level, group_key, operation, revision"
MAX_GROUPS = 9
KEYS_AT_ONCE = 500

T = TypeVar("T")

DEPTH = (
    "WITH RECURSIVE below (key, depth) AS"
    " (SELECT key, 1 FROM resources WHERE tenant = ? AND group_key = ? AND group_key <> '' AND type_key = ?"
    " UNION SELECT r.key, b.depth + 1 FROM resources AS r JOIN below AS b ON r.group_key = b.key"
    " WHERE r.tenant = ? AND r.group_key <> '' AND r.type_key = ? AND b.depth < ?)"
    " SELECT MAX(depth) FROM below"
)
"""Finds how deep management groups nest below one."""


class TenantView(StacksView):
    """Implements :class:`services.resource.ports.View`.

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

    @property
    def now(self) -> float:
        """The time, in seconds since 1970."""
        return self._tx.now

    def type(self, type: str) -> ResourceType | None:
        """Returns a type of the tenant's own, or a built-in one."""
        return self._kept(("type", key(type)), lambda: self._type(type))

    def child_type(self, type: str) -> str | None:
        """Returns a type that stands below this one; None if there is none."""
        query = "SELECT name FROM types WHERE tenant = ? AND key > ? AND key < ?"
        found: str | None = self._kept(("child type", key(type)), lambda: self._first(query, *below(type)))
        return found

    def resource(self, name: str) -> Resource | None:
        """Returns a resource; its secrets stay encrypted."""
        row = self._tx.one(
            f"SELECT {encoding.RESOURCE} FROM resources WHERE tenant = ? AND key = ?", (self.tenant, key(name))
        )
        return None if row is None else encoding.resource(row)

    def opened(self, resource: Resource) -> Resource:
        """Returns a resource with its secrets."""
        return encoding.opened(resource, self._box)

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
        found = tuple(map(_above, rows))
        return found + (self.groups(found[-1].group) if found and found[-1].group else ())

    def groups(self, group: str) -> tuple[Above, ...]:
        """Returns a management group and those above it, at most 9; none if it does not exist."""
        found: list[Above] = []
        while group and len(found) < MAX_GROUPS:
            row = self._tx.one(f"SELECT {ABOVE} FROM resources WHERE tenant = ? AND key = ?", (self.tenant, key(group)))
            if row is None:
                break
            found.append(_above(row))
            group = found[-1].group
        return tuple(found)

    def levels_below(self, group: str) -> int:
        """Returns how many levels of management groups belong to one; at most 9."""
        params = (key(group), GROUPS, self.tenant, GROUPS, MAX_GROUPS)
        return self._first(DEPTH, *params) or 0

    def children(self, name: str, limit: int) -> int:
        """Returns how many resources stand below a name, at any depth; at most ``limit``."""
        return int(
            self._first(
                "SELECT COUNT(*) FROM (SELECT 1 FROM resources WHERE tenant = ? AND key > ? AND key < ? LIMIT ?)"
                " AS found",
                *below(name),
                limit,
            )
        )

    def below(self, name: str, limit: int, last: str = "", *, since: int = 0) -> list[Resource]:
        """Returns resources below a name, the deepest first; a key sorts before the keys below it."""
        low, high = below(name)
        rows = self._tx.all(
            f"SELECT {encoding.RESOURCE} FROM resources WHERE tenant = ? AND key > ? AND key < ? AND revision > ?"
            " ORDER BY key DESC LIMIT ?",
            (self.tenant, low, key(last) or high, since, limit),
        )
        return [encoding.resource(row) for row in rows]

    def names_below(self, name: str, limit: int, last: str = "", *, type: str = "") -> list[str]:
        """Returns names of resources below a name, in order; those after ``last``, and of a type, if they are given."""
        low, high = below(name)
        rows = self._tx.all(
            "SELECT name FROM resources WHERE tenant = ? AND key > ? AND key < ? AND (? = '' OR type_key = ?)"
            " ORDER BY key LIMIT ?",
            (self.tenant, key(last) or low, high, key(type), key(type), limit),
        )
        return [row[0] for row in rows]

    def worked_on(self, name: str, operation: str) -> list[Resource]:
        """Returns the resources at and below a name on which an operation works, the deepest first."""
        rows = self._tx.all(
            f"SELECT {encoding.RESOURCE} FROM resources WHERE tenant = ? AND operation = ? AND operation <> ''"
            " AND (key = ? OR (key > ? AND key < ?)) ORDER BY key DESC",
            (self.tenant, operation, key(name), *below(name)),
        )
        return [encoding.resource(row) for row in rows]

    def locked_below(self, name: str) -> Above | None:
        """Returns a resource below a name that has a lock against deletion; None if there is none."""
        return self._above_below(name, f"lock_level >= {int(Lock.CAN_NOT_DELETE)}")

    def busy_below(self, name: str) -> Above | None:
        """Returns a resource below a name on which an operation works; None if there is none."""
        return self._above_below(name, "operation <> ''")

    def types_below(self, name: str) -> list[str]:
        """Returns the types of the resources below a name."""
        rows = self._tx.all(
            "SELECT DISTINCT type FROM resources WHERE tenant = ? AND key > ? AND key < ?",
            (self.tenant, *below(name)),
        )
        return [row[0] for row in rows]

    def user_of(self, name: str) -> str | None:
        """Returns a resource elsewhere that refers to this one or to one below it; None if there is none."""
        itself, (low, high) = key(name), below(name)
        found = self._first(
            "SELECT source FROM links WHERE tenant = ? AND (target_key = ? OR (target_key > ? AND target_key < ?))"
            " AND source_key <> ? AND NOT (source_key > ? AND source_key < ?) LIMIT 1",
            *(itself, low, high, itself, low, high),
        )
        return None if found is None else str(found)

    def referred(self, name: str) -> list[str]:
        """Returns the names that a resource refers to with ``references``."""
        rows = self._tx.all(
            "SELECT target FROM links WHERE tenant = ? AND source_key = ? AND is_reference = 1 ORDER BY target_key",
            (self.tenant, key(name)),
        )
        return [row[0] for row in rows]

    def taken(self, name: str, unique: bytes) -> tuple[str | None, str | None]:
        """Returns the resource that has a name, and the one that holds a uniqueness key; None where it is free.

        A hurried change takes both for free: it will insert them.
        """
        if self._tx.hurried:
            return None, None
        found = self._tx.one(
            "SELECT (SELECT name FROM resources WHERE tenant = ? AND key = ?),"
            " (SELECT name FROM unique_keys WHERE tenant = ? AND key = ?)",
            (self.tenant, key(name), self.tenant, unique),
        )
        assert found is not None  # a query without a table has one row
        return found[0], found[1]

    def holders(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """Returns which resources hold these uniqueness keys; those that are free are left out."""
        found: dict[bytes, str] = {}
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            marks = ", ".join("?" * len(some))
            rows = self._tx.all(
                f"SELECT key, name FROM unique_keys WHERE tenant = ? AND key IN ({marks})", (self.tenant, *some)
            )
            found.update((bytes(unique), name) for unique, name in rows)
        return found

    def of_type(self, type: str, after: str, since: int, limit: int) -> list[Resource]:
        """Returns resources of a type by name: those after ``after`` that have changed since revision ``since``."""
        rows = self._tx.all(
            f"SELECT {encoding.RESOURCE} FROM resources WHERE tenant = ? AND type_key = ? AND name > ?"
            " AND revision > ? ORDER BY name LIMIT ?",
            (self.tenant, key(type), after, since, limit),
        )
        return [encoding.resource(row) for row in rows]

    def newest(self) -> int:
        """Returns the number of the newest revision; 0 if there is none."""
        return self._first("SELECT MAX(revision) FROM revisions WHERE tenant = ?") or 0

    def operation(self, name: str) -> Operation | None:
        """Returns an operation."""
        try:
            return records.get(self._tx, self.tenant, name)
        except NotFound:
            return None

    def error_of(self, operation: Operation) -> Problem | None:
        """Returns the error that an operation ended with; None if it did not."""
        return encoding.problem_of(operation.error)

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
        return tuple(_above(row[:-1]) for row in sorted(rows, key=lambda row: places[row[-1]]))

    def standing_below(self, type: str, name: str) -> list[Above]:
        """Returns the resources of a built-in type that stand anywhere below a name."""
        rows = self._tx.all(
            f"SELECT {ABOVE}, document FROM resources WHERE tenant = ? AND {_governs(type)} AND key > ? AND key < ?",
            (self.tenant, *below(name)),
        )
        return [_above(row) for row in rows]

    def has_quotas(self) -> bool:
        """Returns whether the tenant has any quota."""
        return self._kept(
            "has quotas",
            lambda: bool(self._first(f"SELECT 1 FROM resources WHERE tenant = ? AND {_governs(quotas.TYPE)} LIMIT 1")),
        )

    def total(self, quota: Quota, name: str) -> float:
        """Returns what all below a name adds to a quota; below a management group is what belongs to it."""
        return total(self._tx, self.tenant, quota, name)

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

    def _above_below(self, name: str, condition: str) -> Above | None:
        row = self._tx.one(
            f"SELECT {ABOVE} FROM resources WHERE tenant = ? AND key > ? AND key < ? AND {condition} LIMIT 1",
            (self.tenant, *below(name)),
        )
        return None if row is None else _above(row)

    def _first(self, sql: str, *params: Any) -> Any:
        row = self._tx.one(sql, (self.tenant, *params))
        return None if row is None else row[0]


def _governs(type: str) -> str:
    """Returns the condition for a type that has an index of its own, which is used only where it is repeated."""
    return f"type_key = '{key(type)}'"


def _above(row: tuple[Any, ...]) -> Above:
    name, type, state, lock, group, operation, revision, *document = row
    digest = encoding.digest(document[0]) if document else b""
    return Above(name, type, State[state], Lock(lock), group, operation, revision, digest)
