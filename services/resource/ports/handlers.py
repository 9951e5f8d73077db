"""Handlers, which make resources real."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from services.resource.handling import Found, HandlerCall, Invocation, Said, Verdict
from services.resource.resource import Resource
from services.resource.resource_type import Description, Handler


class Handlers(Protocol):
    """Calls handlers. Every method raises a SutlerError where the call itself fails."""

    async def validate(self, call: HandlerCall, desired: Resource, previous: Resource | None) -> Verdict:
        """Asks what a handler thinks of a change; an empty verdict if it has nothing to check."""
        ...

    def apply(self, call: HandlerCall, desired: Resource, previous: Resource | None) -> AsyncGenerator[Said, None]:
        """Makes the real thing what is declared."""
        ...

    def delete(self, call: HandlerCall, resource: Resource, previous: Resource | None) -> AsyncGenerator[Said, None]:
        """Removes the real thing."""
        ...

    async def find(self, call: HandlerCall, desired: Resource, previous: Resource | None) -> Found:
        """Asks what is really there."""
        ...

    async def validate_action(self, call: HandlerCall, resource: Resource, invocation: Invocation) -> Verdict:
        """Asks what a handler thinks of an action; an empty verdict if it has nothing to check."""
        ...

    def invoke(self, call: HandlerCall, resource: Resource, invocation: Invocation) -> AsyncGenerator[Said, None]:
        """Carries out an action."""
        ...


class HandlerBook(Protocol):
    """Says which handlers there are."""

    def check(self, handler: Handler) -> None:
        """Checks that a handler can be used.

        Raises:
            PermissionDenied: If its address is not on the operator's list (ADDRESS_NOT_ALLOWED).
            FailedPrecondition: If no such plug-in is installed (PLUGIN_UNKNOWN).
        """
        ...

    def describe(self, handler: Handler) -> Description | None:
        """Returns what a handler says of itself; None if it cannot be asked."""
        ...
