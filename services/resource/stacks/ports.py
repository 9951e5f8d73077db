"""What stacks need from the store, as parts of its view and of its unit of change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from services.resource.stacks.stack import MemberState, Stack


class StackView(Protocol):
    """What one tenant has of stacks at one moment. Names are compared ignoring case."""

    def stack(self, name: str) -> Stack | None:
        """Returns a stack with the states of its members; its secrets stay encrypted."""
        ...

    def opened_stack(self, stack: Stack) -> Stack:
        """Returns a stack with its secrets.

        Raises:
            FailedPrecondition: If no configured key opens them (SECRET_UNREADABLE).
        """
        ...

    def stranger_below(self, name: str, stack: str) -> str | None:
        """Returns a resource below a name that does not belong to a stack; None if there is none."""
        ...


class StackUnit(StackView, Protocol):
    """What a change can do with stacks."""

    def put_stack(self, before: Stack | None, after: Stack) -> Stack:
        """Stores a stack but for the states of its members, and returns it with its revision and update time."""
        ...

    def set_member_states(self, stack: str, states: Iterable[MemberState]) -> None:
        """Stores the states of all members of a stack, in this order, and forgets all others."""
        ...

    def put_member_state(self, stack: str, state: MemberState) -> None:
        """Stores the state of one member that is known already."""
        ...

    def remove_stack(self, name: str) -> None:
        """Removes a stack with the states of its members."""
        ...

    def rest(self, name: str, fence: int, until: float) -> None:
        """Gives the operation of a run back until a time, or until an operation that it began ends.

        Raises:
            Conflict: If another holder works on it (LEASE_LOST).
        """
        ...
