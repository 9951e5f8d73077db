"""What a change of the store can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sutler.events import Event
from sutler.idempotency import Once
from sutler.operations.model import Operation, State

from services.resource.history import Entry
from services.resource.ports.view import View
from services.resource.problems import Problem
from services.resource.resource import ActionResult, Resource
from services.resource.resource_type import ResourceType
from services.resource.stacks.ports import StackUnit
from services.resource.stacks.stack import Stack

Result = Resource | ActionResult | Stack | None
"""What an operation answers in the end; None for nothing, where the thing is gone."""


class Unit(View, StackUnit, Protocol):
    """One change of the store: all of it happens, or nothing."""

    def put(self, before: Resource | None, after: Resource, entry: Entry) -> Resource:
        """Stores a resource with its revision and returns it as stored: with its revision number and update time.

        If ``before`` is None, the name is free.

        Raises:
            FailedPrecondition: If the state cannot move so.
        """
        ...

    def remove(self, before: Resource, last: Resource, entry: Entry) -> None:
        """Removes a resource, its keys and references, and stores its last revision.

        Args:
            before: As it is stored.
            last: As it leaves: DELETING.
            entry: What led to it.
        """
        ...

    def hold_keys(self, keys: Mapping[str, bytes]) -> None:
        """Has resources hold these uniqueness keys, which are free; by name."""
        ...

    def change_keys(self, keys: Mapping[str, bytes]) -> None:
        """Has resources hold these keys, which are free, instead of those that they held; by name."""
        ...

    def drop_keys_of_type(self, type: str) -> None:
        """Frees the uniqueness keys that all resources of a type hold."""
        ...

    def set_used(self, quota: str, used: float) -> None:
        """Stores how much of a quota is used, which is no change of the quota."""
        ...

    def put_type(self, before: ResourceType | None, after: ResourceType) -> ResourceType | None:
        """Stores a type and returns it as stored; None if ``before`` is None and the name is taken."""
        ...

    def remove_type(self, type: ResourceType) -> None:
        """Removes a type."""
        ...

    def add_operation(self, operation: Operation, result: Result) -> Operation:
        """Stores an operation; the runner takes it up unless it has ended. A result is what it answers then."""
        ...

    def end_operation(
        self, name: str, fence: int | None, state: State, *, result: Result, error: Problem | None
    ) -> Operation:
        """Ends an operation: with an error, or with a result, which is empty if the resource is gone.

        Raises:
            Conflict: If another holder works on it (LEASE_LOST).
        """
        ...

    def request_cancel(self, name: str) -> None:
        """Asks for the end of an operation; one that has ended stays as it is."""
        ...

    def tell_progress(self, name: str, fence: int, percent: int, step: str) -> None:
        """Stores how far an operation is. Raises Conflict as :meth:`end_operation` does."""
        ...

    def postpone(self, name: str, fence: int, until: float, error: Problem) -> None:
        """Gives an operation back until a time. Raises Conflict as :meth:`end_operation` does."""
        ...

    def set_work(self, name: str, fence: int, work: Mapping[str, Any]) -> None:
        """Stores what is known of the work of an operation. Raises Conflict as :meth:`end_operation` does."""
        ...

    def check_held(self, name: str, fence: int) -> None:
        """Checks that the caller still holds an operation. Raises Conflict as :meth:`end_operation` does."""
        ...

    def draw_fence(self) -> int:
        """Returns a number larger than all that were drawn before, for handlers to tell late callers by."""
        ...

    def announce(self, *events: Event) -> None:
        """Stores events to be told."""
        ...

    def remember(self, once: Once | None, result: Any) -> None:
        """Remembers the answer to a request. Raises RequestRepeated if it was answered before."""
        ...
