"""What a change of a machine means for the machine requests that it belongs to."""

from __future__ import annotations

from dataclasses import replace

from sutler.errors import Cancelled, DeadlineExceeded, SutlerError, Unavailable

from services.provider import fulfilment
from services.provider.diagnostics import Diagnostic, merged, to_error
from services.provider.fulfilment import Event
from services.provider.machines import Machine, MachineState
from services.provider.ports import Book, Happening
from services.provider.requests import MachineRequest, RequestKind, RequestState, with_attempt

RETRY_WINDOW_SECONDS = 300.0
"""For how long after its start a request asks again for what is missing."""

FIRST_PAUSE_SECONDS = 1.0


def changed(book: Book, before: Machine, after: Machine) -> Machine:
    """Stores a machine that has changed, and brings its requests and their operations to where they now stand.

    Returns:
        The machine as it is stored.
    """
    if after == before:
        return before
    stored = book.machines.update(after)
    if stored.lost_time is not None and before.lost_time is None:
        book.tell(Happening.LOST, stored)
    if after.state is not before.state:
        _follow_acquire(book, before, stored)
        if stored.state.ended and stored.return_request:
            _follow_return(book, stored)
    return stored


def recount(book: Book, tenant: str, name: str) -> None:
    """Brings a request to where its machines stand, however they came to be recorded; does nothing if it is gone."""
    request = book.requests.get(tenant, name)
    if request is None:
        return
    states = [machine.state for machine in book.machines.of_request(tenant, name)]
    counted = replace(
        request,
        running_count=sum(state.there for state in states),
        pending_count=sum(state.coming for state in states),
        failed_count=sum(state is MachineState.FAILED for state in states),
    )
    if request.state.ended or request.kind is not RequestKind.ACQUIRE:
        book.requests.update(counted)
    else:
        settle(book, replace(counted, fulfilled=counted.running_count), Event.PROGRESS)


def settle(book: Book, request: MachineRequest, event: Event, reason: str = "") -> MachineRequest:
    """Applies an event to a request, stores it, and brings its operation and its parent along."""
    after = fulfilment.apply(request, event, book.now, reason)
    if after.state.ended and not request.state.ended:
        after = _closed_attempt(after, book.now)
    stored = book.requests.update(after)
    if stored.operation:
        book.operations.follow(stored, error_of(stored))
    if stored.parent_request and stored.state.ended:
        _follow_part(book, stored)
    return stored


def error_of(request: MachineRequest) -> SutlerError | None:
    """Returns the error that the operation of a request ends with; None if it succeeds or has not ended."""
    if request.state is RequestState.CANCELED:
        return Cancelled(f"{request.name} was cancelled: {request.state_reason}", resource=request.name)
    if request.state is RequestState.TIMED_OUT:
        return DeadlineExceeded(f"the time of {request.name} is up and nothing is there", resource=request.name)
    return shortfall(request) if request.state is RequestState.FAILED else None


def shortfall(request: MachineRequest) -> SutlerError:
    """Returns why a request brought less than was asked for: the error of its worst diagnostic."""
    if request.diagnostics:
        return to_error(request.diagnostics[0], request.name)
    return Unavailable(f"{request.name}: {request.state_reason}", resource=request.name)


def _follow_acquire(book: Book, before: Machine, after: Machine) -> None:
    request = book.requests.get(after.tenant, after.machine_request) if after.machine_request else None
    if request is None:
        return
    counted = _counted(request, before.state, after.state)
    if request.state.ended or request.kind is not RequestKind.ACQUIRE:
        book.requests.update(counted)
        return
    counted = replace(counted, fulfilled=counted.running_count)
    if after.state is MachineState.FAILED and after.diagnostics:
        counted = _diagnosed(counted, after, book.now)
    if counted.fulfilled < counted.count and not counted.pending_count:
        _verdict_or_retry(book, _closed_attempt(counted, book.now))
    else:
        settle(book, counted, Event.PROGRESS)


def _counted(request: MachineRequest, before: MachineState, after: MachineState) -> MachineRequest:
    """Returns a request whose counts follow one machine's change of state."""
    return replace(
        request,
        running_count=request.running_count + after.there - before.there,
        pending_count=request.pending_count + after.coming - before.coming,
        failed_count=request.failed_count + (after is MachineState.FAILED) - (before is MachineState.FAILED),
    )


def _diagnosed(request: MachineRequest, machine: Machine, now: float) -> MachineRequest:
    problem = replace(machine.diagnostics[0], provider=machine.provider, region=machine.region, count=1)
    problem = replace(problem, first_time=now, last_time=now)
    for attempt in request.attempts:
        if attempt.number == machine.attempt:
            known = merged(attempt.diagnostics, problem, now)[:20]
            request = with_attempt(request, replace(attempt, diagnostics=known))
    return replace(request, diagnostics=merged(request.diagnostics, problem, now))


def _verdict_or_retry(book: Book, request: MachineRequest) -> None:
    """Asks again for what is missing if that may help, else ends the request."""
    problems = request.attempts[-1].diagnostics
    tried = request.attempts[-1].number
    window = (request.start_time or book.now) + RETRY_WINDOW_SECONDS
    pause = max([FIRST_PAUSE_SECONDS * 2 ** (tried - 1), *(p.retry_seconds for p in problems)])
    again = book.now + pause
    helps = bool(problems) and all(problem.retryable for problem in problems)
    if helps and tried < request.max_attempts and again < min(window, request.deadline_time or window):
        settle(book, replace(request, due_time=again), Event.PROGRESS)
        return
    settle(book, request, Event.VERDICT, _told(problems))


def _told(problems: tuple[Diagnostic, ...]) -> str:
    return problems[0].summary if problems else "nothing more will come"


def _closed_attempt(request: MachineRequest, now: float) -> MachineRequest:
    """Returns a request whose last attempt has ended, with what came of it."""
    if not request.attempts or request.attempts[-1].end_time is not None:
        return request
    last = request.attempts[-1]
    earlier = sum(attempt.fulfilled for attempt in request.attempts[:-1])
    return with_attempt(request, replace(last, end_time=now, fulfilled=max(0, request.fulfilled - earlier)))


def _follow_return(book: Book, machine: Machine) -> None:
    request = book.requests.get(machine.tenant, machine.return_request)
    if request is None or request.state.ended:
        return
    settle(book, replace(request, fulfilled=request.fulfilled + 1), Event.PROGRESS)


def _follow_part(book: Book, part: MachineRequest) -> None:
    """Brings the request above several to where its parts stand."""
    whole = book.requests.get(part.tenant, part.parent_request)
    if whole is None or whole.state.ended:
        return
    parts = [book.requests.get(part.tenant, name) for name in whole.child_requests]
    done = replace(whole, fulfilled=sum(p.fulfilled for p in parts if p is not None))
    event = Event.VERDICT if all(p is None or p.state.ended for p in parts) else Event.PROGRESS
    settle(book, done, event)
