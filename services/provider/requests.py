"""What a machine request is: machines asked for, or given back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from services.provider.cost.money import Money
from services.provider.diagnostics import Diagnostic
from services.provider.machines import machine_name
from services.provider.templates import Template

COLLECTION = "machineRequests"
MAX_TRANSITIONS = 100
MAX_ATTEMPTS_KEPT = 100
MAX_SKIPPED = 1000
MAX_NAMES = 1000


class RequestKind(IntEnum):
    """What is asked for; the numbers of the contract."""

    ACQUIRE = 1
    RETURN = 2


class RequestState(IntEnum):
    """The life of a machine request; the numbers of the contract."""

    PENDING = 1
    IN_PROGRESS = 2
    ACQUIRING = 3
    PARTIAL_PENDING = 4
    COMPLETE = 5
    PARTIAL = 6
    FAILED = 7
    CANCELED = 8
    TIMED_OUT = 9

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self >= RequestState.COMPLETE


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of state.

    Attributes:
        state: The state that it entered.
        time: When, seconds since 1970.
        reason: Why, for people.
    """

    state: RequestState
    time: float
    reason: str = ""


class SkipReason(IntEnum):
    """Why a return left a machine out; the numbers of the contract."""

    ENDED = 1
    RETURNING = 2


@dataclass(frozen=True, slots=True)
class Skipped:
    """A machine that a return left out.

    Attributes:
        machine: Its name.
        reason: Why.
        return_request: The return that holds it; empty if none does.
    """

    machine: str
    reason: SkipReason
    return_request: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One round of asking a provider for what is missing.

    Attributes:
        number: 1 at first.
        provider: The provider that was asked.
        region: The region that was asked.
        api: The api that was used.
        requested: How many machines were asked for.
        fulfilled: How many came of it.
        client_token: What keeps the provider from doing it twice.
        start_time: When it began, seconds since 1970.
        end_time: When it ended; None until then.
        diagnostics: What went wrong.
    """

    number: int
    provider: str
    region: str
    api: str
    requested: int
    client_token: str
    fulfilled: int = 0
    start_time: float = 0.0
    end_time: float | None = None
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """What could have been chosen, and why it was or was not.

    Attributes:
        provider: The provider.
        region: The region.
        chosen: Whether it was.
        reason: Why, for people.
        weight: The share of its provider.
        state: The provider's state at that time, by its number.
        hourly_price: The price of one machine for one hour; None if unknown.
    """

    provider: str
    region: str
    chosen: bool
    reason: str
    weight: int
    state: int
    hourly_price: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRequest:
    """One machine request. Times are seconds since 1970, None where not set; things are named by their resource names.

    Attributes:
        tenant: Whose it is.
        name: Its resource name.
        uid: Tells it from an earlier one of the same name.
        kind: What is asked for.
        state: Where it stands; only :mod:`services.provider.fulfilment` changes it.
        state_reason: Why, for people.
        count: How many machines are asked for, or given back.
        fulfilled: How many are there, or have ended.
        running_count: How many of its machines run or are stopped.
        pending_count: How many are on their way.
        failed_count: How many failed.
        numbered: How many machines were ever recorded for it; the next gets the next number.
        max_attempts: How often the provider is asked at most.
        template: The template that is used.
        effective: That template with all defaults, as it was when the request was accepted; None in a return.
        provider: The provider that is used.
        region: The region that is used.
        attempts: What was tried, in order.
        diagnostics: What went wrong, the worst first.
        timeout: Seconds from its start to its deadline.
        deadline_time: When it gives up.
        due_time: When its driver must look at it next; None for never.
        selection_reason: Why this provider, for people.
        candidates: What could have been chosen.
        tags: Put on its machines.
        fallback: Where else machines may come from, by the contract's number.
        lease_duration: Seconds that its machines live unless their leases are extended; None for ever.
        hourly_price: The expected price of all machines for one hour; None if unknown.
        reference_hourly_price: What the same would cost ON_DEMAND; None if unknown.
        held: The first 1000 machines that a return ends, by name.
        skipped: Machines that a return left out.
        force: Whether a return was forced.
        grace: Seconds that a machine may take to end; None for the template's.
        source_request: The request whose machines are returned.
        child_requests: The requests that a return over several providers consists of.
        parent_request: The request that this one is a part of.
        operation: The operation that shares its life; empty in a part of another.
        transitions: The states that it went through.
        create_time: When it was created.
        update_time: When it last changed.
        start_time: When it left PENDING.
        end_time: When it ended.
        creator: The principal that asked for it.
        owner: The declared resource that it was made for.
        correlation_id: Ties log lines, traces and errors together.
        revision: Grows with every change.
    """

    tenant: str
    name: str
    uid: str
    kind: RequestKind
    count: int
    state: RequestState = RequestState.PENDING
    state_reason: str = ""
    fulfilled: int = 0
    running_count: int = 0
    pending_count: int = 0
    failed_count: int = 0
    numbered: int = 0
    max_attempts: int = 1
    template: str = ""
    effective: Template | None = None
    provider: str = ""
    region: str = ""
    attempts: tuple[Attempt, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    timeout: float = 3600.0
    deadline_time: float | None = None
    due_time: float | None = None
    selection_reason: str = ""
    candidates: tuple[Candidate, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    fallback: int = 0
    lease_duration: float | None = None
    hourly_price: Money | None = None
    reference_hourly_price: Money | None = None
    held: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    force: bool = False
    grace: float | None = None
    source_request: str = ""
    child_requests: tuple[str, ...] = ()
    parent_request: str = ""
    operation: str = ""
    transitions: tuple[Transition, ...] = ()
    create_time: float = 0.0
    update_time: float = 0.0
    start_time: float | None = None
    end_time: float | None = None
    creator: str = ""
    owner: str = ""
    correlation_id: str = ""
    revision: int = 0

    @property
    def missing(self) -> int:
        """How many machines are neither there nor on their way."""
        return max(0, self.count - self.fulfilled - self.pending_count)


def request_name(prefix: str, uid: str) -> str:
    """Returns the name of a machine request that its caller did not name.

    Args:
        prefix: ``req`` or ``ret``.
        uid: A UUID that it follows from.
    """
    return f"{COLLECTION}/{prefix}-{uid.replace('-', '')[:24]}"


def machine_names(request: MachineRequest) -> list[str]:
    """Returns the names of the first 1000 machines of a request, in order."""
    if request.kind is RequestKind.RETURN:
        return list(request.held)
    return sorted(machine_name(request.uid, number) for number in range(request.numbered))[:MAX_NAMES]


def with_attempt(request: MachineRequest, attempt: Attempt) -> MachineRequest:
    """Returns the request with an attempt, in the place of the one with the same number."""
    kept = [a for a in request.attempts if a.number != attempt.number]
    return replace(request, attempts=(*kept, attempt)[-MAX_ATTEMPTS_KEPT:])
