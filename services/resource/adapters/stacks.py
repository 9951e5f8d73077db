"""Stacks as SQL finds and changes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sutler.errors import Conflict
from sutler.operations import records
from sutler.store import Transaction

from services.resource.adapters import encoding
from services.resource.names import key
from services.resource.ports import SecretBox
from services.resource.stacks.stack import MemberState, Stack

_COLUMNS = "name, uid, state, operation, revision, create_time, update_time, document, sealed"


class StacksView:
    """Implements :class:`services.resource.stacks.ports.StackView`.

    Args:
        tx: The database at one moment.
        tenant: Whose view it is.
        box: Encrypts secrets.
    """

    def __init__(self, tx: Transaction, tenant: str, box: SecretBox) -> None:
        self.tenant = tenant
        self._box = box
        self._tx = tx

    def stack(self, name: str) -> Stack | None:
        """Returns a stack with the states of its members; its secrets stay encrypted."""
        row = self._tx.one("SELECT document, sealed FROM stacks WHERE tenant = ? AND key = ?", (self.tenant, key(name)))
        if row is None:
            return None
        return encoding.stack(self.tenant, row[0], states(self._tx, self.tenant, name), row[1])

    def opened_stack(self, stack: Stack) -> Stack:
        """Returns a stack with its secrets."""
        return encoding.opened_stack(stack, self._box)

    def stranger_below(self, name: str, stack: str) -> str | None:
        """Returns a resource below a name that does not belong to a stack; None if there is none."""
        row = self._tx.one(
            "SELECT name FROM resources WHERE tenant = ? AND key > ? AND key < ? AND stack <> ? LIMIT 1",
            (self.tenant, f"{key(name)}/", f"{key(name)}0", stack),
        )
        return None if row is None else str(row[0])


class StacksUnit(StacksView):
    """Implements :class:`services.resource.stacks.ports.StackUnit`."""

    def put_stack(self, before: Stack | None, after: Stack) -> Stack:
        """Stores a stack but for the states of its members, and returns it with its revision and update time."""
        after = replace(after, revision=(before.revision if before else 0) + 1, update_time=self._tx.now)
        ids = (after.name, after.uid, after.state.name, after.operation, after.revision)
        texts = (encoding.stack_document(after), encoding.sealed_stack(after, self._box))
        row = (*ids, after.create_time, after.update_time, *texts)
        place = (self.tenant, key(after.name))
        if before is None:
            stored = self._tx.execute(
                f"INSERT INTO stacks (tenant, key, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (tenant, key) DO NOTHING",
                (*place, *row),
            )
        else:
            columns = ", ".join(f"{column} = ?" for column in _COLUMNS.split(", "))
            stored = self._tx.execute(
                f"UPDATE stacks SET {columns} WHERE tenant = ? AND key = ? AND revision = ?",
                (*row, *place, before.revision),
            )
        if not stored:
            raise Conflict(f"{after.name} has changed meanwhile; try again", resource=after.name)
        return after

    def set_member_states(self, stack: str, states: Iterable[MemberState]) -> None:
        """Stores the states of all members of a stack, in this order, and forgets all others."""
        self._tx.execute("DELETE FROM stack_members WHERE tenant = ? AND stack_key = ?", (self.tenant, key(stack)))
        self._tx.many(
            "INSERT INTO stack_members (tenant, stack_key, key, place, document) VALUES (?, ?, ?, ?, ?)",
            [
                (self.tenant, key(stack), state.key, place, encoding.member_state_document(state))
                for place, state in enumerate(states)
            ],
        )

    def put_member_state(self, stack: str, state: MemberState) -> None:
        """Stores the state of one member that is known already."""
        self._tx.execute(
            "UPDATE stack_members SET document = ? WHERE tenant = ? AND stack_key = ? AND key = ?",
            (encoding.member_state_document(state), self.tenant, key(stack), state.key),
        )

    def remove_stack(self, name: str) -> None:
        """Removes a stack with the states of its members."""
        self._tx.execute("DELETE FROM stack_members WHERE tenant = ? AND stack_key = ?", (self.tenant, key(name)))
        self._tx.execute("DELETE FROM stacks WHERE tenant = ? AND key = ?", (self.tenant, key(name)))

    def rest(self, name: str, fence: int, until: float) -> None:
        """Gives the operation of a run back until a time, or until an operation that it began ends."""
        records.rest(self._tx, name, fence, until)


def states(tx: Transaction, tenant: str, stack: str) -> list[str]:
    """Returns what is stored of the members of a stack, in their order."""
    rows = tx.all(
        "SELECT document FROM stack_members WHERE tenant = ? AND stack_key = ? ORDER BY place", (tenant, key(stack))
    )
    return [row[0] for row in rows]
