"""The states of a resource, and the moves between them. Frozen: a test compares the table with the contract."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class State(IntEnum):
    """Where a resource stands, by the numbers of ``sutler.resource.v1.Resource.State``."""

    ACCEPTED = 1
    PROVISIONING = 2
    SUCCEEDED = 3
    UPDATING = 4
    DELETING = 5
    FAILED = 6
    CANCELED = 7


_ENDS = (State.SUCCEEDED, State.FAILED, State.CANCELED)

MOVES: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.ACCEPTED: frozenset((State.PROVISIONING, State.DELETING, *_ENDS)),
        State.PROVISIONING: frozenset(_ENDS),
        State.SUCCEEDED: frozenset((State.UPDATING, State.DELETING)),
        State.UPDATING: frozenset(_ENDS),
        State.DELETING: frozenset((State.FAILED,)),
        State.FAILED: frozenset((State.PROVISIONING, State.UPDATING, State.DELETING)),
        State.CANCELED: frozenset((State.PROVISIONING, State.UPDATING, State.DELETING)),
    }
)
"""Every allowed move. A new resource is ACCEPTED."""

LEAVES = frozenset((State.DELETING,))
"""The states after which a resource may be gone."""

ACTS = frozenset((State.SUCCEEDED, State.FAILED))
"""The states in which a resource may take an action, which leaves them as they are."""
