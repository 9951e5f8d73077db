"""What one tenant has at one moment, as SQL finds it."""

from __future__ import annotations

from collections.abc import Sequence

from sutler.errors import NotFound
from sutler.operations import records
from sutler.operations.model import Operation

from services.resource.adapters import encoding
from services.resource.adapters.governing_view import ABOVE, GoverningView, above_in
from services.resource.adapters.totals import below, total
from services.resource.names import key
from services.resource.ports import Above
from services.resource.problems import Problem
from services.resource.quotas import Quota
from services.resource.resource import Lock, Resource

KEYS_AT_ONCE = 500


class TenantView(GoverningView):
    """Implements :class:`services.resource.ports.View`."""

    @property
    def now(self) -> float:
        """The time, in seconds since 1970."""
        return self._tx.now

    def resource(self, name: str) -> Resource | None:
        """Returns a resource; its secrets stay encrypted."""
        row = self._tx.one(
            f"SELECT {encoding.RESOURCE} FROM resources WHERE tenant = ? AND key = ?", (self.tenant, key(name))
        )
        return None if row is None else encoding.resource(row)

    def opened(self, resource: Resource) -> Resource:
        """Returns a resource with its secrets."""
        return encoding.opened(resource, self._box)

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

    def total(self, quota: Quota, name: str) -> float:
        """Returns what all below a name adds to a quota; below a management group is what belongs to it."""
        return total(self._tx, self.tenant, quota, name)

    def _above_below(self, name: str, condition: str) -> Above | None:
        row = self._tx.one(
            f"SELECT {ABOVE} FROM resources WHERE tenant = ? AND key > ? AND key < ? AND {condition} LIMIT 1",
            (self.tenant, *below(name)),
        )
        return None if row is None else above_in(row)
