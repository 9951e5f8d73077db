"""Subscriptions: which changes of a model become which events."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sutler.etags import make_etag

COLLECTION = "subscriptions/"


class Action(StrEnum):
    """What can happen to a record; the names are those of the contract."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"


class State(StrEnum):
    """How well a subscription reads and delivers; the names are those of the contract."""

    BASELINE = "BASELINE"
    ACTIVE = "ACTIVE"
    CATCHING_UP = "CATCHING_UP"
    FAILING = "FAILING"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """Gives changes of one field an event of their own; no values mean any."""

    field: str
    old_values: tuple[Any, ...] = ()
    new_values: tuple[Any, ...] = ()
    event_type: str

    def matches(self, before: Any, after: Any, *, first_seen: bool) -> bool:
        """Returns whether a change is this transition.

        Args:
            before: The value before.
            after: The value now.
            first_seen: Whether nobody saw the value before; then it may have been anything.
        """
        if self.new_values and not any(same(after, value) for value in self.new_values):
            return False
        if first_seen:
            return True
        return not same(before, after) and (
            not self.old_values or any(same(before, value) for value in self.old_values)
        )


def same(a: Any, b: Any) -> bool:
    """Returns whether two JSON values are equal; a relation to one also equals its bare id."""
    if isinstance(a, dict) and isinstance(b, int | float) and not isinstance(b, bool):
        return bool(a.get("id") == b)
    return type(a) is type(b) and a == b if isinstance(a, bool) or isinstance(b, bool) else bool(a == b)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionSpec:
    """What the caller decides about a subscription. The attributes are those of the contract."""

    model: str = ""
    filter: str = ""
    domain: tuple[Any, ...] = ()
    fields: tuple[str, ...] = ()
    entity: str = ""
    actions: tuple[Action, ...] = ()
    transitions: tuple[Transition, ...] = ()
    replay_existing: bool = False
    event_target: str = ""
    max_event_rate: int = 0
    disabled: bool = False

    @property
    def event_rate(self) -> int:
        """The most events in a second."""
        return self.max_event_rate or 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One subscription as stored.

    Attributes:
        tenant: Whose it is.
        connection: The id of its connection.
        connection_uid: The uid of its connection.
        id: The last part of its name.
        uid: Tells it from an earlier one of the same name; its feed has the same.
        spec: What the caller decided.
        revision: Counts the changes of the settings.
        create_time: Epoch seconds.
        update_time: Epoch seconds.
        creator: The subject of the principal that last wrote it.
        principal: That principal, encoded; on its behalf the subscription reads and publishes.
        event_count: How many events it has made.
    """

    tenant: str
    connection: str
    connection_uid: str
    id: str
    uid: str
    spec: SubscriptionSpec
    revision: int = 1
    create_time: float = 0.0
    update_time: float = 0.0
    creator: str = ""
    principal: str = ""
    event_count: int = 0

    @property
    def name(self) -> str:
        """The resource name."""
        return f"connections/{self.connection}/{COLLECTION}{self.id}"

    @property
    def etag(self) -> str:
        """Changes with every change of the settings."""
        return make_etag(self.uid, self.revision)
