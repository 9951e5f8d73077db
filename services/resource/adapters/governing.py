"""Keeps what governs resources, which changes rarely: types, scopes and others above them, policies, quotas.

Each change of it draws a new epoch in the same transaction, and what is kept belongs to one epoch. So a look at the
epoch tells, in every process, whether what was found before still holds. Epochs are random: one whose change was never
committed does not come again.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any

from sutler.store import Row, Transaction

from services.resource.names import BUILT_IN, key

BUILT_IN_TENANT = ""
"""Whose the built-in types are; they govern the resources of all tenants."""

MAX_EPOCHS = 500
MAX_FACTS = 10_000
"""How many things are kept of one epoch; beyond, it begins anew."""

UNKNOWN = object()
"""Stands for what is not known, which None may be."""

Learned = tuple[Row | None, Mapping[Hashable, Any]]
"""An epoch, and what a change has found in it."""

_EPOCHS = "SELECT (SELECT epoch FROM epochs WHERE tenant = ?), (SELECT epoch FROM epochs WHERE tenant = ?)"

_random = random.SystemRandom()


class Knowledge:
    """What is known in one epoch.

    Args:
        epochs: The epoch, with that of the built-in types.
        kept: What is kept of it.
        found: Where new finds go: the same, or what is only a change's own until it is committed.
    """

    __slots__ = ("_kept", "epochs", "found")

    def __init__(self, epochs: Row | None, kept: dict[Hashable, Any], found: dict[Hashable, Any]) -> None:
        self.epochs = epochs
        self.found = found
        self._kept = kept

    def get(self, what: Hashable) -> Any:
        """Returns what is known of something; :data:`UNKNOWN` if nothing is."""
        found = self._kept.get(what, UNKNOWN)
        return self.found.get(what, UNKNOWN) if found is UNKNOWN else found


class Facts:
    """Keeps what was found, by what it is; belongs to one process. All its threads may use it.

    What a change finds may be its own doing and be undone, so it is kept only after the commit.
    """

    def __init__(self) -> None:
        self._of_epoch = lru_cache(MAX_EPOCHS)(_nothing)
        self._latest: dict[str, Row | None] = {}

    def seen(self, tx: Transaction, tenant: str) -> Knowledge:
        """Returns what is kept of the epoch that a read sees; whatever it finds is kept too."""
        epochs = _epochs(tx, tenant)
        kept = self._kept(tenant, epochs)
        return Knowledge(epochs, kept, kept)

    def within(self, tx: Transaction, tenant: str) -> Knowledge:
        """Returns what is kept of the epoch that a change sees, with what its batch has found."""
        epochs = _epochs(tx, tenant)
        return Knowledge(epochs, self._of_epoch(tenant, epochs), tx.found.setdefault(("facts", tenant), {}))

    def learn(self, tenant: str, learned: Learned) -> None:
        """Keeps what a change has found, now that it is committed."""
        epochs, found = learned
        self._kept(tenant, epochs).update(found)

    def memory(self, tenant: str) -> Memory:
        """Returns what stands for a transaction that sees nothing but what is kept of the latest known epoch."""
        return Memory({("epochs", tenant): self._latest.get(tenant)})

    def _kept(self, tenant: str, epochs: Row | None) -> dict[Hashable, Any]:
        """Returns what is kept of an epoch that is committed, which is the latest known from now on."""
        if len(self._latest) > MAX_EPOCHS:
            self._latest.clear()
        self._latest[tenant] = epochs
        kept = self._of_epoch(tenant, epochs)
        if len(kept) > MAX_FACTS:
            kept.clear()
        return kept


def _epochs(tx: Transaction, tenant: str) -> Row | None:
    epochs: Row | None = tx.found.get(("epochs", tenant))
    if epochs is None:
        epochs = tx.found["epochs", tenant] = tx.one(_EPOCHS, (BUILT_IN_TENANT, tenant))
    return epochs


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
