"""Machine requests that ask for machines: accepted, begun, tried again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sutler.errors import not_found
from sutler.ids import derive, new_id

from services.provider import fulfilment
from services.provider.checking import checked_template, defaults_of, kind_of
from services.provider.cost.estimating import check_price, hourly_price, priced
from services.provider.fulfilment import Event
from services.provider.leasing import check_lease
from services.provider.limits import Limits, check_limits
from services.provider.machines import Machine, MachineState, machine_name, move
from services.provider.ports import Book, Kinds, ProviderKind
from services.provider.requests import (
    Attempt,
    MachineRequest,
    RequestKind,
    RequestState,
    Transition,
    request_name,
    with_attempt,
)
from services.provider.selection import choose, region_of
from services.provider.templates import effective

METHOD = "RequestMachines"
DEFAULT_TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody asks for.

    Attributes:
        tenant: Whose machines they will be.
        template: The name of the template.
        count: How many machines.
        name: The name of the machine request; a new one if empty.
        tags: Put on the machines, before those of the template.
        timeout: Seconds to try.
        fallback: Where else machines may come from, by the contract's number.
        lease_duration: Seconds that the machines live unless their leases are extended; the template's if None.
        owner: The declared resource that they are for; empty if none.
        creator: The principal that asks.
        correlation_id: Ties log lines, traces and errors together.
    """

    tenant: str
    template: str
    count: int
    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    fallback: int = 0
    lease_duration: float | None = None
    owner: str = ""
    creator: str = ""
    correlation_id: str = ""


def plan(book: Book, kinds: Kinds, limits: Limits, order: Order) -> MachineRequest:
    """Returns the machine request that an order would become; stores nothing.

    Raises:
        NotFound: If there is no such template.
        FailedPrecondition: If no provider can be used (PROVIDER_DISABLED, NOTHING_SELECTED).
        FailedPrecondition: If it costs more than it may, or nobody knows (PRICE_TOO_HIGH, PRICE_UNKNOWN).
        Exhausted: If a limit would be passed (MACHINE_LIMIT_EXCEEDED).
        Invalid: If the template no longer suits its provider, or the lease is longer than it allows (LEASE_TOO_LONG).
    """
    template = book.templates.get(order.tenant, order.template)
    if template is None:
        raise not_found(order.template)
    checked_template(book, kinds, template)
    choice = choose(book, kinds, template)
    kind = kind_of(kinds, choice.provider.type, "provider.type")
    whole = effective(template, defaults_of(kind, choice.provider))
    whole = replace(whole, api=whole.api or kind.facts.apis[0].api)
    check_limits(book, limits, whole, choice.provider, order.count)
    lease = order.lease_duration or whole.lease_duration
    check_lease(lease, whole)
    region = region_of(kinds, choice.provider, whole)
    price = hourly_price(book, order.tenant, choice.provider.name, kind.facts.type, region)
    check_price(whole, kind.facts.type, price, order.count)
    expected = None if price is None else price.times(order.count)
    return MachineRequest(
        tenant=order.tenant,
        name=order.name,
        uid="",
        kind=RequestKind.ACQUIRE,
        count=order.count,
        pending_count=order.count,
        max_attempts=kind.max_attempts(choice.provider.config),
        template=template.name,
        effective=whole,
        provider=choice.provider.name,
        region=region,
        timeout=order.timeout,
        selection_reason=choice.reason,
        candidates=priced(book, order.tenant, choice.candidates),
        hourly_price=expected,
        reference_hourly_price=expected,
        tags=order.tags,
        fallback=order.fallback,
        lease_duration=lease,
        creator=order.creator,
        owner=order.owner,
        correlation_id=order.correlation_id,
    )


def accept(book: Book, kinds: Kinds, limits: Limits, order: Order) -> MachineRequest:
    """Stores the machine request of an order, with its operation and a record of each machine, and returns it.

    Raises:
        AlreadyExists: If the name is taken.
        SutlerError: What :func:`plan` raises.
    """
    planned = plan(book, kinds, limits, order)
    uid = new_id()
    begun = (Transition(RequestState.PENDING, book.now),)
    request = replace(
        planned, uid=uid, name=order.name or request_name("req", uid), due_time=book.now, transitions=begun
    )
    request = replace(request, operation=book.operations.begin(request, METHOD))
    request = _record_attempt(book, request, number=1)
    stored = book.requests.insert(request)
    _record_machines(book, kinds, stored, first=0, count=stored.count)
    return stored


def start(book: Book, kinds: Kinds, request: MachineRequest) -> MachineRequest:
    """Begins to carry a request out here: its machines are to be launched at this process's place."""
    place = _kind(book, kinds, request).place
    begun = fulfilment.apply(replace(request, due_time=None), Event.START, book.now)
    begun = book.requests.update(replace(begun, due_time=begun.deadline_time))
    book.operations.follow(begun, None)
    for machine in book.machines.of_request(request.tenant, request.name):
        if machine.state is MachineState.PENDING:
            book.machines.update(move(replace(machine, place=place), MachineState.LAUNCHING, book.now))
    return begun


def try_again(book: Book, kinds: Kinds, request: MachineRequest) -> MachineRequest:
    """Begins the next attempt: records as many machines as are missing, to be launched here."""
    missing = request.missing
    number = request.attempts[-1].number + 1
    again = _record_attempt(book, replace(request, due_time=request.deadline_time), number=number)
    again = replace(again, pending_count=request.pending_count + missing)
    again = book.requests.update(again)
    _record_machines(book, kinds, again, first=request.numbered, count=missing)
    return start(book, kinds, again)


def _record_attempt(book: Book, request: MachineRequest, *, number: int) -> MachineRequest:
    missing = request.count if number == 1 else request.missing
    assert request.effective is not None
    attempt = Attempt(
        number=number,
        provider=request.provider,
        region=request.region,
        api=request.effective.api,
        requested=missing,
        client_token=derive(request.uid, f"attempts/{number}"),
        start_time=book.now,
    )
    return replace(with_attempt(request, attempt), numbered=request.numbered + missing)


def _record_machines(book: Book, kinds: Kinds, request: MachineRequest, *, first: int, count: int) -> None:
    """Records machines before anything starts them: their names follow from the request and their number."""
    template = request.effective
    assert template is not None
    kind = _kind(book, kinds, request)
    for number in range(first, first + count):
        name = machine_name(request.uid, number)
        book.machines.insert(
            Machine(
                tenant=request.tenant,
                name=name,
                uid=new_id(),
                provider=request.provider,
                machine_request=request.name,
                template=request.template,
                owner=request.owner,
                type=kind.facts.type,
                region=request.region,
                attempt=request.attempts[-1].number,
                tags={**template.tags, **request.tags},
                grace=kind.grace(template),
                lease_duration=request.lease_duration,
                creator=request.creator,
                correlation_id=request.correlation_id,
            )
        )


def _kind(book: Book, kinds: Kinds, request: MachineRequest) -> ProviderKind:
    provider = book.providers.get(request.tenant, request.provider)
    assert provider is not None, "a provider with an open request cannot be deleted"
    return kind_of(kinds, provider.type, "provider.type")
