"""Running transactions for callers, and reading the journal."""

from __future__ import annotations

from dataclasses import asdict, replace

from sutler.context import Principal
from sutler.errors import not_found
from sutler.idempotency import Once

from services.erp.attempts import Attempts
from services.erp.caching import Answers
from services.erp.connections import ErpContext
from services.erp.etags import Etags
from services.erp.journal import Entry, Kind
from services.erp.links import Link
from services.erp.ports import KeyStore
from services.erp.transactions.model import Transaction, Wish
from services.erp.transactions.planning import check
from services.erp.transactions.run import steps_of
from services.erp.transactions.running import Running
from services.erp.transactions.store import TransactionStore
from services.erp.transactions.ways import Scene
from services.erp.users import Ask


class Transactions:
    """Several writes as one.

    Args:
        store: Where they are stored.
        running: Runs them.
        attempts: Makes their entries in the journal.
        answers: The cache.
        etags: Checks etags.
        keys: Keeps other writes away from the keys of creates.
    """

    def __init__(
        self,
        store: TransactionStore,
        running: Running,
        attempts: Attempts,
        answers: Answers,
        etags: Etags,
        keys: KeyStore,
    ) -> None:
        self._store = store
        self._running = running
        self._attempts = attempts
        self._answers = answers
        self._etags = etags
        self._keys = keys

    async def run(self, link: Link, principal: Principal, wish: Wish, once: Once | None) -> Transaction:
        """Runs a transaction and returns it after its end, or if it is detached as it begins.

        Raises:
            SutlerError: As the contract says of RunTransaction.
        """
        begun = None if wish.validate_only else await self._running.earlier(once)
        if begun is None:
            ask = link.ask(principal, wish.context)
            entry = entry_of(self._attempts, link, ask, wish.context, once, kept=True)
            entry = replace(entry, id=wish.transaction_id)
            scene = Scene(link, ask, principal, wish.context, entry, self._answers, self._keys, link.schemas(ask))
            await check(scene, wish, self._etags)
            if wish.validate_only:
                return Transaction(entry, tuple(steps_of(wish.steps)))
            begun = await self._running.begin(entry, wish.steps)
        if wish.detached:
            return begun
        ended = await self._running.ended(begun)
        await self._store.answered(None, once, ended)
        return ended

    async def get(self, tenant: str, name: str) -> Transaction:
        """Returns a transaction. Raises NotFound if there is none of that name."""
        found = await self._store.find(tenant, name)
        if found is None:
            raise not_found(name)
        return found


def entry_of(
    attempts: Attempts, link: Link, ask: Ask, context: ErpContext | None, once: Once | None, *, kept: bool
) -> Entry:
    """Returns the entry of a transaction of the current call; one that is not kept is for nobody to read."""
    payload = {"context": asdict(context) if context else None, "epoch": link.connection.epoch}
    return attempts.entry(link, ask, Kind.STEPS, "", once, repeatable=not kept, payload=payload)
