"""What a handler is told with a call, and what it can say while it works."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel

from sutler.errors import Conflict, Violation
from sutler.handlers.models import Data, struct
from sutler.handlers.resources import Resources
from sutler.resource.v1 import handler_pb2, resource_pb2
from sutler.type.v1 import operation_pb2
from sutler.wire import from_struct

P = TypeVar("P", bound=BaseModel)
A = TypeVar("A", bound=BaseModel)

Tell = Callable[[handler_pb2.HandlerProgress], Awaitable[None]]

MAX_TEXT_BYTES = 1000
MAX_WARNINGS = 20


@dataclass(kw_only=True, eq=False)
class Call(Generic[P]):
    """One call of a handler.

    Attributes:
        resource: The whole resource as it is wished, with tags and location; for a delete as it was wished last.
        properties: Its properties as the handler's model, defaults filled in.
        previous: The properties as they were applied last with success; None if they never were. For ``validate``: as
            they are declared now; None for a create.
        tenant: Whose it is; names are unique within it only.
        principal: Who asked for the change.
        attempt: Which attempt it is, from 1; restarts count.
        idempotency_key: The same for every attempt of one step; pass it on to what you call. Empty for calls without
            effect.
        fencing_token: Of two callers the one with the higher number is right; 0 for ``validate``.
        operation: The operation; empty for ``validate``.
        correlation_id: Ties log lines together.
        deadline: When the operation as a whole must have ended, in seconds since 1970.
        validate_only: Whether nothing will follow.
        resources: Other resources, through ResourceService, on behalf of who registered the type.
        warnings: What :meth:`warn` was told.
        violations: What :meth:`reject` was told.
        steps: What :meth:`plan` was told.
    """

    resource: resource_pb2.Resource
    properties: P
    previous: P | None
    tenant: str
    principal: str
    attempt: int
    idempotency_key: str
    fencing_token: int
    operation: str
    correlation_id: str
    deadline: float
    validate_only: bool
    resources: Resources
    tell: Tell | None = field(repr=False)
    warnings: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    steps: list[operation_pb2.PlannedStep] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The full name of the resource."""
        return self.resource.name

    @property
    def outputs(self) -> dict[str, Any]:
        """The last known outputs, also those of earlier attempts."""
        return from_struct(self.resource.outputs)

    @property
    def left(self) -> float:
        """The seconds until the operation as a whole must have ended."""
        return max(0.0, self.deadline - time.time())

    async def progress(self, percent: int, step: str = "", outputs: Data = None) -> None:
        """Tells how far the work is; needed at least once in the type's ``idle_timeout`` (60 s).

        Args:
            percent: 0 to 100; what goes back within an attempt is not shown.
            step: What is being done now, for people.
            outputs: All outputs known so far: they are stored, and come back in the next attempt. None: as before.

        Raises:
            RuntimeError: In a call without effect.
        """
        if self.tell is None:
            raise RuntimeError("only apply, delete and actions tell of progress")
        told = handler_pb2.HandlerProgress(
            progress_percent=max(0, min(100, percent)),
            step=shortened(step),
            outputs=struct(outputs, "outputs", self.name),
        )
        await self.tell(told)

    def warn(self, text: str) -> None:
        """Notes what is worth knowing and stops nothing; it becomes a finding of the resource, of which 20 are kept."""
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(shortened(text))

    def reject(self, field: str, description: str, reason: str = "") -> None:
        """Refuses the change; for ``validate``, which goes on and finds all that is wrong.

        Args:
            field: The path of what is wrong, such as ``properties.size``.
            description: What is wrong and what is allowed.
            reason: A short name of the rule in UPPER_SNAKE_CASE.
        """
        self.violations.append(Violation(field, description, reason))

    def plan(
        self, action: Literal["CREATE", "UPDATE", "DELETE", "KEEP"], target: str, *, count: int = 1, reason: str = ""
    ) -> None:
        """Says what would be done; for ``validate``, shown to callers that ask with ``validate_only``."""
        kind = operation_pb2.PlannedStep.Action.Value(f"ACTION_{action}")
        self.steps.append(operation_pb2.PlannedStep(action=kind, target=target, count=count, reason=reason))

    def check_fence(self, seen: int) -> None:
        """Refuses a late caller.

        Args:
            seen: The highest ``fencing_token`` that was seen for this resource; keep it with what you make.

        Raises:
            Conflict: If another holder has been here since (LEASE_LOST).
        """
        if seen > self.fencing_token:
            raise Conflict(f"a later call works on {self.name}", reason="LEASE_LOST", resource=self.name)


@dataclass(kw_only=True, eq=False)
class ActionCall(Call[P], Generic[P, A]):
    """One call of an action.

    Attributes:
        action: Which action.
        parameters: What it is given, as its model.
    """

    action: str
    parameters: A


def shortened(text: str) -> str:
    """Returns a text for people in as many bytes as the contract allows."""
    return text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")
