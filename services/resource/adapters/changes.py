"""The changes in the log of revisions, as all watches of a tenant share them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sutler.resource.v1 import resource_pb2 as pb
from sutler.store import Transaction
from sutler.wire import from_struct

from services.resource.adapters.governing_view import MAX_GROUPS
from services.resource.linking import BELONGING
from services.resource.names import key
from services.resource.watching import Scope, Seen
from services.resource.wire import revisions as wire
from services.resource.wire.items import Item, item

COLUMNS = "revision, resource_key, type_key, root_key, create_time, shown_before, shown_after"
"""What :func:`changes` makes changes of."""

_GROUP = (
    "SELECT later.type_key, later.shown_before, now.group_key FROM (SELECT 1) AS one"
    " LEFT JOIN revisions AS later ON later.tenant = ? AND later.revision ="
    " (SELECT MIN(revision) FROM revisions WHERE tenant = ? AND resource_key = ? AND revision > ?)"
    " LEFT JOIN resources AS now ON now.tenant = ? AND now.key = ?"
)
"""Finds a scope as it was before its first change after a revision, and where it belongs now, for if there is none."""

NOTHING: Item = {}

BYTES_EACH = 1500
BYTES_MADE = 10
"""What a change takes in memory, and how many times the bytes of its resources: once filters have seen them as items,
and it is encoded for each kind. Measured; mostly right within a factor of two."""


@dataclass(slots=True)
class LoggedChange:
    """One change. What watches need of it is made once for all of them.

    Attributes:
        revision: Its number.
        key: The key of the resource's name.
        type: The key of its type.
        groups: The keys of the management groups to which its topmost scope belonged before or after the change.
        time: When it happened, in seconds since 1970.
        before: The resource before it, as a message; None if there was none.
        after: The resource after it; None if it is gone.
    """

    revision: int
    key: str
    type: str
    groups: frozenset[str]
    time: float
    before: bytes | None
    after: bytes | None
    _items: tuple[Item | None, Item | None] | None = field(default=None, init=False, repr=False)
    _encoded: dict[Seen, bytes] = field(default_factory=dict, init=False, repr=False)

    @property
    def size(self) -> int:
        """How many bytes it takes in memory, roughly, with all that is made of it."""
        return BYTES_EACH + BYTES_MADE * (len(self.before or b"") + len(self.after or b""))

    def sent(self, scope: Scope) -> bytes | None:
        """Returns the change as a watch sends it; None if it does not see it."""
        if not scope.covers(self.key, self.type, self.groups):
            return None
        kind = scope.seen(*(self._shown() if scope.passes is None else self._as_items()))
        return None if kind is None else self._as(kind)

    def _shown(self) -> tuple[Item | None, Item | None]:
        return None if self.before is None else NOTHING, None if self.after is None else NOTHING

    def _as_items(self) -> tuple[Item | None, Item | None]:
        if self._items is None:
            self._items = _item(self.before), _item(self.after)
        return self._items

    def _as(self, kind: Seen) -> bytes:
        found = self._encoded.get(kind)
        if found is None:
            shown = self.before if self.after is None else self.after
            assert shown is not None
            found = self._encoded[kind] = wire.change(kind, shown, self.revision, self.time)
        return found


def changes(tx: Transaction, tenant: str, rows: Sequence[tuple[Any, ...]]) -> list[LoggedChange]:
    """Returns the changes in rows of :data:`COLUMNS`, in their order.

    What belonged to which management group is told as of each change, not as of now: a subscription that is deleted or
    moved takes what was in it out of the group only afterwards. So the rows are read from the last to the first, and
    each change of belonging is undone on the way.
    """
    if not rows:
        return []
    belonging = _Belonging(tx, tenant, last=rows[-1][0])
    found = [_change(belonging, row) for row in reversed(rows)]
    found.reverse()
    return found


class _Belonging:
    """To which management groups topmost scopes belong at one moment, which goes back in time from a revision."""

    def __init__(self, tx: Transaction, tenant: str, last: int) -> None:
        self._tx = tx
        self._tenant = tenant
        self._last = last
        self._direct: dict[str, str] = {}

    def groups(self, root: str) -> frozenset[str]:
        """Returns all groups above a topmost scope."""
        found: list[str] = []
        while len(found) < MAX_GROUPS and (root := self._group(root)) and root not in found:
            found.append(root)
        return frozenset(found)

    def put(self, root: str, group: str) -> None:
        """Says to which group a topmost scope belongs directly."""
        self._direct[root] = group

    def _group(self, root: str) -> str:
        if root not in self._direct:
            self._direct[root] = self._group_at_last(root)
        return self._direct[root]

    def _group_at_last(self, root: str) -> str:
        tenant = self._tenant
        found = self._tx.one(_GROUP, (tenant, tenant, root, self._last, tenant, root))
        assert found is not None  # the query begins with one row
        type, before, now = found
        if type is None:
            return now or ""
        return _group(before) if type in BELONGING else ""


def _change(belonging: _Belonging, row: tuple[Any, ...]) -> LoggedChange:
    revision, name, type, root, time, before, after = row
    if type in BELONGING:
        belonging.put(name, _group(after))
        groups = belonging.groups(name)
        belonging.put(name, _group(before))
        groups |= belonging.groups(name)
    else:
        groups = belonging.groups(root)
    return LoggedChange(revision, name, type, groups, time, before, after)


def _group(shown: bytes | None) -> str:
    if shown is None:
        return ""
    return key(str(from_struct(pb.Resource.FromString(shown).properties).get("management_group", "")))


def _item(shown: bytes | None) -> Item | None:
    return None if shown is None else item(pb.Resource.FromString(shown))
