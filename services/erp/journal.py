"""The journal of writes: what the ERP is about to be asked is on disk before it is asked.

An entry goes when its write was answered. One that stays tells what nobody can know: it is the Transaction that an
OUTCOME_UNKNOWN error names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sutler.etags import make_etag


class State(StrEnum):
    """The life of an entry; the names are those of the contract's Transaction."""

    RUNNING = "RUNNING"
    UNDOING = "UNDOING"
    SUCCEEDED = "SUCCEEDED"
    UNDONE = "UNDONE"
    UNDO_FAILED = "UNDO_FAILED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"


class Kind(StrEnum):
    """What is written; the names are those of the contract's TransactionStep, but for several steps together."""

    CREATE = "create_record"
    UPDATE = "update_record"
    DELETE = "delete_record"
    CALL = "call_method"
    STEPS = "steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One write that the ERP is asked for.

    Attributes:
        tenant: Whose it is.
        connection: The id of the connection.
        connection_uid: Its uid.
        uid: Tells it from all others.
        id: The last part of its name, if a caller chose it; else that is the uid.
        kind: What is written.
        model: The model.
        record_ids: The records, as far as they are known.
        payload: The values, or method and arguments; for steps, what they have in common.
        keys: The external ids that creates carry.
        repeatable: Whether doing it twice is the same as once, so that a repeat is safe and nobody need read of it.
        method: The RPC that began it.
        request_id: The ``request_id`` of that call; empty if it had none.
        digest: The digest of its request.
        creator: The principal that asked for it.
        username: The login in the ERP as which it writes.
        correlation_id: That of the call.
        owner: The process that does it.
        lease_time: Until when that process may be at it, in epoch seconds.
        state: Where it stands.
        create_time: Epoch seconds.
        update_time: Epoch seconds.
        end_time: Epoch seconds; None while it runs.
        error: The serialised status that it ended with; empty if it did not.
        revision: Counts its changes.
    """

    tenant: str
    connection: str
    connection_uid: str
    uid: str
    kind: Kind
    model: str
    id: str = ""
    record_ids: tuple[int, ...] = ()
    payload: Mapping[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    repeatable: bool = True
    method: str = ""
    request_id: str = ""
    digest: bytes = b""
    creator: str = ""
    username: str = ""
    correlation_id: str = ""
    owner: str = ""
    lease_time: float = 0.0
    state: State = State.RUNNING
    create_time: float = 0.0
    update_time: float = 0.0
    end_time: float | None = None
    error: bytes = b""
    revision: int = 1

    @property
    def name(self) -> str:
        """The resource name of the transaction."""
        return f"connections/{self.connection}/transactions/{self.id or self.uid}"

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return make_etag(self.uid, self.revision)
