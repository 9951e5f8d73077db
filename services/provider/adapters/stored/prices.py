"""Price tables, and what providers' prices were over time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

from pydantic import TypeAdapter
from sutler.store import Transaction

from services.provider.adapters.stored.shelves import PRICE_TABLES, StoredShelf
from services.provider.cost.prices import Edition, PriceTable, edition, prices_alike
from services.provider.cost.tariffs import Tariff

MOST_TARIFFS = 200
"""How many are remembered; the others are read anew."""

_EDITION = TypeAdapter(Edition)


class PriceTables(StoredShelf[PriceTable]):
    """The price tables; see :class:`services.provider.ports.PriceShelf`."""

    def __init__(self, tx: Transaction) -> None:
        super().__init__(tx, PRICE_TABLES, self._changed)

    def of_provider(self, tenant: str, provider: str) -> Sequence[PriceTable]:
        """Returns the price tables of a provider, by name."""
        return self._some("tenant = ? AND provider = ?", tenant, provider)

    def _changed(self, before: PriceTable | None, after: PriceTable | None) -> None:
        """Ends the edition of what was, and begins that of what is."""
        if before is not None and after is not None and prices_alike(before, after):
            return
        now = self._tx.now
        if before is not None:
            self._tx.execute(
                "UPDATE price_editions SET end_time = ?"
                " WHERE tenant = ? AND provider = ? AND price_table = ? AND end_time IS NULL",
                (now, before.tenant, before.provider, before.uid),
            )
        if after is not None:
            self._tx.execute(
                "INSERT INTO price_editions (tenant, provider, price_table, start_time, body) VALUES (?, ?, ?, ?, ?)",
                (after.tenant, after.provider, after.uid, now, _EDITION.dump_json(edition(after, now)).decode()),
            )


class Tariffs:
    """What providers' prices were over time, remembered until they change."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[Any, Tariff]] = OrderedDict()
        self._lock = Lock()

    def of(self, tx: Transaction, tenant: str, provider: str) -> Tariff:
        """Returns all that is known of the prices of a provider."""
        stamp = tx.one(
            "SELECT COUNT(*), COUNT(end_time), MAX(start_time), MAX(end_time) FROM price_editions"
            " WHERE tenant = ? AND provider = ?",
            (tenant, provider),
        )
        key = (tenant, provider)
        with self._lock:
            known = self._known.get(key)
        if known is not None and known[0] == stamp:
            return known[1]
        rows = tx.all(
            "SELECT end_time, body FROM price_editions WHERE tenant = ? AND provider = ? ORDER BY start_time",
            (tenant, provider),
        )
        tariff = Tariff(replace(_EDITION.validate_json(body), end=end) for end, body in rows)
        with self._lock:
            self._known[key] = (stamp, tariff)
            self._known.move_to_end(key)
            while len(self._known) > MOST_TARIFFS:
                self._known.popitem(last=False)
        return tariff
