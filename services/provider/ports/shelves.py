"""Shelves of stored things, each within one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from services.provider.cost.prices import PriceTable
from services.provider.cost.spans import Span
from services.provider.machines import Machine
from services.provider.providers import Provider
from services.provider.requests import MachineRequest
from services.provider.templates import Template

T = TypeVar("T")


class Shelf(Protocol[T]):
    """The stored things of one kind, within one transaction."""

    def get(self, tenant: str, name: str) -> T | None:
        """Returns the thing of this name; None if there is none."""
        ...

    def taken(self, tenant: str, name: str) -> bool:
        """Returns whether a name is taken, ignoring ASCII case."""
        ...

    def insert(self, item: T) -> T:
        """Stores a new thing and returns it with its times and revision.

        Raises:
            AlreadyExists: If the name is taken, ignoring ASCII case.
        """
        ...

    def update(self, item: T) -> T:
        """Stores the new values of a thing and returns it with its time and revision."""
        ...

    def delete(self, item: T) -> None:
        """Removes a thing."""
        ...


class ProviderShelf(Shelf[Provider], Protocol):
    """The providers."""

    def observe(self, provider: Provider) -> None:
        """Stores what was found out about a provider; that is no change of it, so its etag stays."""
        ...

    def of_type(self, kind: str, after: tuple[str, str], limit: int) -> Sequence[Provider]:
        """Returns providers of a type, over all tenants, by tenant and name, after such a pair."""
        ...

    def all(self, tenant: str) -> Sequence[Provider]:
        """Returns the providers of a tenant, at most 1000."""
        ...


class TemplateShelf(Shelf[Template], Protocol):
    """The templates."""

    def with_provider(self, tenant: str, provider: str) -> str | None:
        """Returns the name of a template that names a provider; None if none does."""
        ...


class PriceShelf(Shelf[PriceTable], Protocol):
    """The price tables; what they held before stays known in the tariffs of their providers."""

    def of_provider(self, tenant: str, provider: str) -> Sequence[PriceTable]:
        """Returns the price tables of a provider, by name."""
        ...


class SpanShelf(Protocol):
    """When machines ran; written as they change."""

    def tenants(self, start: float, end: float) -> Sequence[str]:
        """Returns the tenants that had machines within a time, seconds since 1970."""
        ...

    def within(self, tenant: str, start: float, end: float, filter: str) -> Sequence[Span]:
        """Returns the spans of a tenant's machines that reach into a time, of machines that pass a filter.

        Raises:
            Invalid: If the filter is wrong (FILTER_INVALID).
        """
        ...

    def of_machines(self, tenant: str, machines: Sequence[Machine]) -> Mapping[str, Sequence[Span]]:
        """Returns all spans of machines in order, by the machine's name; none for one that never ran."""
        ...


class RequestShelf(Shelf[MachineRequest], Protocol):
    """The machine requests."""

    def open_with(self, tenant: str, *, template: str = "", provider: str = "") -> str | None:
        """Returns the name of a request with a template or provider that has not ended; None if there is none."""
        ...

    def open_for(self, tenant: str, owner: str) -> Sequence[MachineRequest]:
        """Returns the requests for machines of an owner that have not ended."""
        ...

    def due(self, now: float, limit: int) -> Sequence[MachineRequest]:
        """Returns requests that a driver must look at now."""
        ...

    def expired(self, before: float, limit: int) -> Sequence[MachineRequest]:
        """Returns requests that ended before a time and have no machines any more."""
        ...


class MachineShelf(Shelf[Machine], Protocol):
    """The machines."""

    def of_request(self, tenant: str, request: str) -> Sequence[Machine]:
        """Returns the machines that a request started, by name."""
        ...

    def returned_by(self, tenant: str, request: str) -> Sequence[Machine]:
        """Returns the machines that a return holds, by name."""
        ...

    def of_owner(self, tenant: str, owner: str) -> Sequence[Machine]:
        """Returns the machines of an owner that have not ended, the oldest first."""
        ...

    def live(self, tenant: str) -> Sequence[Machine]:
        """Returns the machines of a tenant that have not ended, by name."""
        ...

    def count_live(self, tenant: str = "", *, template: str = "", provider: str = "") -> int:
        """Counts machines that have not ended: of a tenant or all, narrowed to a template or provider."""
        ...

    def live_by_provider(self, tenant: str) -> Mapping[str, int]:
        """Returns how many machines of a tenant have not ended, for each provider that has some."""
        ...

    def due(self, now: float, place: str, limit: int) -> Sequence[Machine]:
        """Returns machines of a place that its driver must look at now."""
        ...

    def lease_ended(self, now: float, limit: int) -> Sequence[Machine]:
        """Returns machines whose leases have ended and that nothing ends yet, the earliest first."""
        ...

    def of_place(self, place: str, after: str, limit: int) -> Sequence[Machine]:
        """Returns machines of a place that have not ended, by name, after a name."""
        ...

    def of_provider(self, tenant: str, provider: str, place: str, after: str, limit: int) -> Sequence[Machine]:
        """Returns machines of a provider at a place that have not ended, by name, after a name."""
        ...

    def named(self, tenant: str, names: Sequence[str]) -> Mapping[str, Machine]:
        """Returns machines by their names; those that there are."""
        ...

    def elsewhere(self, tenant: str, provider: str, place: str) -> Mapping[str, int]:
        """Returns how many machines of a provider have not ended at each place beside one."""
        ...

    def expired(self, before: float, place: str, after: tuple[float, str], limit: int) -> Sequence[Machine]:
        """Returns machines of a place, or of none, that ended before a time, by end and name.

        Args:
            before: The time, in seconds since 1970.
            place: The place.
            after: End and name of the machine that was last seen.
            limit: How many at most.
        """
        ...
