"""Keeps what governs resources, which changes rarely: types, scopes and others above them, policies, quotas.

Each change of it draws a new epoch in the same transaction, and what is kept belongs to one epoch. So a look at the
epoch tells, in every process, whether what was found before still holds. Epochs are random: one whose change was never
committed does not come again.
"""

from __future__ import annotations

import random
from collections.abc import Hashable
from functools import lru_cache
from typing import Any

from sutler.store import Row, Transaction

from services.resource.names import BUILT_IN, key

BUILT_IN_TENANT = ""
"""Whose the built-in types are; they govern the resources of all tenants."""

MAX_EPOCHS = 500
MAX_FACTS = 10_000
"""How many things are kept of one epoch; beyond, it begins anew."""

_EPOCHS = "SELECT (SELECT epoch FROM epochs WHERE tenant = ?), (SELECT epoch FROM epochs WHERE tenant = ?)"

_random = random.SystemRandom()


class Facts:
    """Keeps what was found, by what it is; belongs to one process."""

    def __init__(self) -> None:
        self._of_epoch = lru_cache(MAX_EPOCHS)(_nothing)
        self._latest: dict[str, Row | None] = {}

    def of(self, tx: Transaction, tenant: str) -> dict[Hashable, Any]:
        """Returns what is kept of the epoch that a transaction sees; whoever finds something adds it."""
        epochs = tx.found.get(("epochs", tenant))
        if epochs is None:
            epochs = tx.found["epochs", tenant] = tx.one(_EPOCHS, (BUILT_IN_TENANT, tenant))
            if len(self._latest) > MAX_EPOCHS:
                self._latest.clear()
            self._latest[tenant] = epochs
        found = self._of_epoch(tenant, epochs)
        if len(found) > MAX_FACTS:
            found.clear()
        return found

    def memory(self, tenant: str) -> Memory:
        """Returns what stands for a transaction that sees nothing but what is kept of the latest known epoch."""
        return Memory({("epochs", tenant): self._latest.get(tenant)})


class Forgotten(Exception):
    """Something is not kept, so only the database can tell."""


class Memory(Transaction):
    """Stands for a transaction where only what is kept already is wanted. Made by :meth:`Facts.memory`.

    Args:
        found: The latest epochs.
    """

    def __init__(self, found: dict[Hashable, Any]) -> None:
        self.found = found

    def __getattr__(self, name: str) -> Any:
        """Raises Forgotten: whatever else a transaction has, there is none here."""
        raise Forgotten


def _nothing(tenant: str, epochs: Row | None) -> dict[Hashable, Any]:
    return {}


def begin_epoch(tx: Transaction, tenant: str) -> None:
    """Makes all processes forget what they have kept of a tenant, from this change on."""
    tx.found.clear()
    tx.send(
        "INSERT INTO epochs (tenant, epoch) VALUES (?, ?) ON CONFLICT (tenant) DO UPDATE SET epoch = excluded.epoch",
        (tenant, _random.getrandbits(62)),
    )


def always_governs(type: str) -> bool:
    """Returns whether resources of a type govern others however they change; those of other types do for their own
    children only, which can be there only after them."""
    return key(type).startswith(f"{key(BUILT_IN)}/")
