"""What the RPCs work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sutler.paging import Pager
from sutler.store import Database
from sutler.watch import Watcher

from services.provider.checkups import Checkups
from services.provider.cost.prices import PriceTable
from services.provider.limits import Limits
from services.provider.machines import Machine
from services.provider.ports import Kinds, Listing, Store
from services.provider.providers import Provider
from services.provider.reading import Outputs
from services.provider.requests import MachineRequest
from services.provider.servicer.paging import Lister
from services.provider.templates import Template


class Listings(Protocol):
    """The listings of all that is stored."""

    @property
    def providers(self) -> Listing[Provider]:
        """The providers."""
        ...

    @property
    def templates(self) -> Listing[Template]:
        """The templates."""
        ...

    @property
    def requests(self) -> Listing[MachineRequest]:
        """The machine requests."""
        ...

    @property
    def machines(self) -> Listing[Machine]:
        """The machines."""
        ...

    @property
    def price_tables(self) -> Listing[PriceTable]:
        """The price tables."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the RPCs work with.

    Attributes:
        store: What is stored.
        listings: Lists and watches of it.
        kinds: The types of provider.
        limits: The limits of the service.
        checkups: Calls providers.
        outputs: Reads the output of machines.
        lister: Makes pages.
        pager: Makes page tokens.
        watcher: Makes watches.
        database: Wakes watches.
        keep_usage_seconds: How long usage is kept.
        stopped_seconds: After how long a stopped machine is recommended for return.
    """

    store: Store
    listings: Listings
    kinds: Kinds
    limits: Limits
    checkups: Checkups
    outputs: Outputs
    lister: Lister
    pager: Pager
    watcher: Watcher
    database: Database
    keep_usage_seconds: float
    stopped_seconds: float
