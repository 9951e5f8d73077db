"""What the RPCs share: the domain, page tokens, and the parts of names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sutler.context import current
from sutler.paging import Pager

from services.erp.administration import Administration
from services.erp.aggregating import Aggregating
from services.erp.batches.batching import Batching
from services.erp.batches.upserting import Upserting
from services.erp.creating import Creating
from services.erp.customers.reading import Customers
from services.erp.exports.exporting import Exporting
from services.erp.feed.watching import Watching
from services.erp.imports.model import ImportStore
from services.erp.imports.running import Importing
from services.erp.links import Link, Links
from services.erp.ports import JournalStore
from services.erp.reading import Reading
from services.erp.searching import Searching
from services.erp.statistics import Statistics
from services.erp.subscribing import Subscribing
from services.erp.transactions.transactions import Transactions
from services.erp.wire.hot import HotRecords
from services.erp.writing import Writing

AREA = "erp"


@dataclass(frozen=True, slots=True)
class Gateway:
    """The domain, as the composition root puts it together."""

    administration: Administration
    links: Links
    reading: Reading
    searching: Searching
    aggregating: Aggregating
    writing: Writing
    creating: Creating
    journal: JournalStore
    transactions: Transactions
    batching: Batching
    upserting: Upserting
    subscribing: Subscribing
    watching: Watching
    exporting: Exporting
    importing: Importing
    imports: ImportStore
    pager: Pager
    customers: Customers
    statistics: Statistics
    hot: HotRecords = field(default_factory=HotRecords)

    async def link(self, connection: str) -> Link:
        """Returns the link of a connection by its name, for the caller's tenant."""
        return await self.links.find(current().tenant, connection_id(connection))


class Rpcs:
    """The base of each group of RPCs."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def position(self, method: str, request: Any) -> list[Any] | None:
        """Returns where a request goes on; None at the start."""
        return self.gateway.pager.position(current().tenant, method, request)

    def token(self, method: str, request: Any, position: Any) -> str:
        """Returns the token of the next page; empty without one."""
        return self.gateway.pager.token(current().tenant, method, request, position) if position else ""


def connection_id(name: str) -> str:
    """Returns the id in a name that begins with ``connections/{connection}``."""
    return name.split("/")[1]


def last_id(name: str) -> str:
    """Returns the last part of a name."""
    return name.rpartition("/")[2]
