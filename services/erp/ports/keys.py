"""What creates need of the store: keys that one write alone may use, in whichever process."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Keys under which a write may create records: external ids, or the values of key fields.

    Attributes:
        connection: The name of the connection.
        connection_uid: Its uid.
        model: The model.
        keys: The keys, each in the one form that equal ones share.
        owner: The uid of the write, which is that of its transaction, or of its import.
        seconds: For how long an ERP may be at what a process has asked before it died.
        wait_seconds: How long to wait for keys that another write has.
    """

    connection: str
    connection_uid: str
    model: str
    keys: Collection[str]
    owner: str
    seconds: float
    wait_seconds: float


class HeldKeys(Protocol):
    """Keys that a write holds.

    Attributes:
        asked: Those under which an earlier try of the same write may have created records; nobody else has since.
    """

    asked: frozenset[str]

    async def ask(self, keys: Collection[str]) -> None:
        """Notes that the ERP is about to be asked to create records under some of them.

        Raises:
            Unavailable: If the store did not answer for so long that they may have passed on to another write.
        """
        ...


class KeyStore(Protocol):
    """Keys of records that are being created. Every method raises Unavailable if the store does not answer."""

    def hold(self, claim: Claim) -> AbstractAsyncContextManager[HeldKeys]:
        """Takes keys, all or none, and keeps others away from them while the block runs.

        They stay with the write until its end is stored, or :meth:`free` is called. If its process dies before, others
        get them when the claim's ``seconds`` are over, but never those of a transaction that goes on.

        Raises:
            Conflict: If another write has one of them for too long (OPERATION_IN_PROGRESS).
        """
        ...

    async def asked(self, claim: Claim) -> frozenset[str]:
        """Returns the keys for which a write has noted that the ERP may have been asked, and that are still its own."""
        ...

    async def free(self, owner: str) -> None:
        """Gives all keys of a write back."""
        ...
