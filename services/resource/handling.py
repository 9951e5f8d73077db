"""What is said between an operation and a handler: the call, its progress, its end, and what is really there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sutler.errors import Violation

from services.resource.differences import FieldChange
from services.resource.problems import Problem
from services.resource.resource_type import Handler


@dataclass(frozen=True, slots=True)
class HandlerCall:
    """Who calls a handler, for whom, and with which guarantees.

    Attributes:
        tenant: Whose resource it is.
        handler: Which handler.
        principal: The subject of who asked for the change.
        acts_for: For whom the handler acts, as :func:`sutler.auth.encode_principal` writes it.
        correlation_id: Ties log lines, traces and errors together.
        traceparent: The W3C trace context of the request; empty if there is none.
        request_id: The request id of the call that began it.
        deadline: When all must have ended, in seconds since 1970.
        attempt: Which attempt this is, from 1.
        fencing_token: Tells a late caller from the present one; 0 before there is an operation.
        operation: The operation; empty before there is one.
        idempotency_key: The same for every attempt of one step, and for no other; empty for calls without effect.
        validate_only: Whether nothing will follow.
    """

    tenant: str
    handler: Handler
    principal: str
    acts_for: str
    correlation_id: str
    traceparent: str
    request_id: str
    deadline: float
    attempt: int = 1
    fencing_token: int = 0
    operation: str = ""
    idempotency_key: str = ""
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a handler is; outputs are None where they stay as before."""

    percent: int
    step: str
    outputs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A handler has succeeded.

    Attributes:
        outputs: What is known of the real thing; None if as before.
        warnings: What is worth knowing.
        result: What an action gave back.
    """

    outputs: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """A handler has failed.

    Attributes:
        problem: Its error; ``retry_after`` is set if another attempt makes sense whatever the code.
        outputs: What is known of the real thing; None if as before.
        unreachable: Whether this is no word of the handler: it could not be asked, or said nothing.
    """

    problem: Problem
    outputs: Mapping[str, Any] | None = None
    unreachable: bool = False


Said = Progress | Done | Refused


@dataclass(frozen=True, slots=True)
class Invocation:
    """An action that is to be carried out.

    Attributes:
        action: Its id among those of the type.
        parameters: What it is given.
        secret: Whether some of that only the handler may see.
    """

    action: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A step that would be taken.

    Attributes:
        action: ``CREATE``, ``UPDATE``, ``DELETE`` or ``KEEP``.
        target: What it acts on.
        count: How many things of this kind it concerns.
        reason: Why.
        changes: The fields that it changes.
    """

    action: str
    target: str
    count: int = 1
    reason: str = ""
    changes: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a handler thinks of a change: what is wrong, what is worth knowing, and what it would do."""

    violations: tuple[Violation, ...] = ()
    warnings: tuple[str, ...] = ()
    plan: tuple[Planned, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What is really there.

    Attributes:
        presence: ``ABSENT``, ``PARTIAL`` or ``WHOLE``.
        outputs: The outputs as they are now; None if as before.
        description: For people.
    """

    presence: str
    outputs: Mapping[str, Any] | None = None
    description: str = ""
