"""Keys of records that are being created, in the store: the processes of the gateway keep out of each other's way."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import structlog
from sutler.errors import SutlerError
from sutler.store import Database, Transaction

from services.erp import faults
from services.erp.journal import Kind, State
from services.erp.ports import Claim

log = structlog.get_logger("erp.keys")

FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.5
SAFETY = 0.8
"""The part of a claim's time after which a process that could not renew it regards its keys as lost."""


class StoredKeys:
    """See :class:`services.erp.ports.KeyStore`.

    Args:
        db: The store.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    @asynccontextmanager
    async def hold(self, claim: Claim) -> AsyncIterator[_Held]:
        """Takes keys and holds them."""
        held = _Held(self._db, claim)
        if not claim.keys:
            yield held
            return
        await held.take()
        keeper = asyncio.create_task(held.keep())
        try:
            yield held
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])

    async def asked(self, claim: Claim) -> frozenset[str]:
        """Returns the keys that a write has asked for."""
        return await self._db.read(lambda tx: _asked(tx, claim)) if claim.keys else frozenset()

    async def free(self, owner: str) -> None:
        """Gives keys back."""
        await self._db.write(lambda tx: free_keys(tx, owner))


class _Held:
    """See :class:`services.erp.ports.HeldKeys`."""

    def __init__(self, db: Database, claim: Claim) -> None:
        self.asked: frozenset[str] = frozenset()
        self._db = db
        self._claim = claim
        self._until = 0.0

    async def take(self) -> None:
        """Waits for the keys and takes them."""
        give_up, pause = time.monotonic() + self._claim.wait_seconds, FIRST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            busy, asked = await self._db.write(lambda tx: _take(tx, self._claim))
            if not busy:
                self.asked, self._until = asked, began + self._claim.seconds * SAFETY
                return
            if time.monotonic() >= give_up:
                raise faults.key_in_use(self._claim.connection, self._claim.model, busy)
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def ask(self, keys: Collection[str]) -> None:
        """Notes that the ERP is about to be asked."""
        wanted = set(keys)
        if not wanted:
            return
        current = time.monotonic() < self._until
        if not current or (wanted - self.asked and not await self._db.write(lambda tx: _ask(tx, self._claim, wanted))):
            raise faults.keys_lost(self._claim.connection, self._claim.model)
        self.asked |= wanted

    async def keep(self) -> None:
        """Keeps others away, until cancelled."""
        while True:
            await asyncio.sleep(self._claim.seconds / 4)
            began = time.monotonic()
            try:
                if not await self._db.write(lambda tx: _renew(tx, self._claim)):
                    return
            except SutlerError as error:
                log.warning("keys not renewed", connection=self._claim.connection, error=str(error))
            else:
                self._until = began + self._claim.seconds * SAFETY


def free_keys(tx: Transaction, owner: str) -> None:
    """Gives all keys of a write back; whoever stores the end of a write does this with it."""
    tx.execute("DELETE FROM keys_in_use WHERE owner = ?", (owner,))


def _take(tx: Transaction, claim: Claim) -> tuple[str, frozenset[str]]:
    """Takes all keys, unless another write has one: then returns that. Returns also those that were asked for."""
    where, params = _where(claim, claim.keys)
    for key, owner, expires in tx.all(f"SELECT key, owner, expire_time FROM keys_in_use WHERE {where}", params):
        if owner != claim.owner and (expires > tx.now or _goes_on(tx, owner)):
            return key, frozenset()
    tx.many(
        "INSERT INTO keys_in_use (connection_uid, model, key, owner, asked, expire_time) VALUES (?, ?, ?, ?, 0, ?)"
        " ON CONFLICT (connection_uid, model, key) DO UPDATE SET owner = excluded.owner,"
        " expire_time = excluded.expire_time,"
        " asked = CASE WHEN keys_in_use.owner = excluded.owner THEN keys_in_use.asked ELSE 0 END",
        [(claim.connection_uid, claim.model, key, claim.owner, tx.now + claim.seconds) for key in claim.keys],
    )
    return "", _asked(tx, claim)


def _asked(tx: Transaction, claim: Claim) -> frozenset[str]:
    where, params = _where(claim, claim.keys)
    rows = tx.all(f"SELECT key FROM keys_in_use WHERE {where} AND owner = ? AND asked = 1", [*params, claim.owner])
    return frozenset(key for (key,) in rows)


def _ask(tx: Transaction, claim: Claim, keys: Collection[str]) -> bool:
    where, params = _where(claim, keys)
    found = tx.execute(f"UPDATE keys_in_use SET asked = 1 WHERE {where} AND owner = ?", [*params, claim.owner])
    return found == len(keys)


def _renew(tx: Transaction, claim: Claim) -> bool:
    due = tx.now + claim.seconds
    return bool(tx.execute("UPDATE keys_in_use SET expire_time = ? WHERE owner = ?", (due, claim.owner)))


def _where(claim: Claim, keys: Collection[str]) -> tuple[str, list[str]]:
    marks = ", ".join("?" * len(keys))
    return f"connection_uid = ? AND model = ? AND key IN ({marks})", [claim.connection_uid, claim.model, *keys]


def _goes_on(tx: Transaction, uid: str) -> bool:
    """Returns whether a write is a transaction that will be taken to its end."""
    open_states = (str(State.RUNNING), str(State.UNDOING))
    found = tx.one(
        "SELECT 1 FROM journal WHERE uid = ? AND kind = ? AND state IN (?, ?)", (uid, str(Kind.STEPS), *open_states)
    )
    return found is not None
