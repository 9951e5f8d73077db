"""Secret keys that a service makes for itself and shares between its replicas, by way of the database."""

from __future__ import annotations

import secrets

from sutler.store.database import Database
from sutler.store.transaction import Transaction
from sutler.tokens import TokenSealer

KEY_BYTES = 32


async def server_key(database: Database, name: str) -> bytes:
    """Returns the key of this name, 32 random bytes; the first that asks makes it."""
    return await kept_key(database, name, secrets.token_bytes(KEY_BYTES))


async def kept_key(database: Database, name: str, fresh: bytes) -> bytes:
    """Returns what is kept under a name: ``fresh`` from now on if nothing was."""

    def find_or_keep(tx: Transaction) -> bytes:
        tx.execute("INSERT INTO keys (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, fresh))
        row = tx.one("SELECT value FROM keys WHERE name = ?", (name,))
        assert row is not None
        return bytes(row[0])

    return await database.write(find_or_keep)


async def token_sealer(database: Database) -> TokenSealer:
    """Returns the sealer of a service's page and resume tokens: they are good in every replica, and after a restart."""
    return TokenSealer(await server_key(database, "tokens"))
