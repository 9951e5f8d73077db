"""Feeds: what is watched, how far it was read, what is known of each record, and what has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from services.erp.records import Record
from services.erp.subscriptions import Action


class Kind(StrEnum):
    """Who a feed is for."""

    SUBSCRIPTION = "subscription"
    WATCH = "watch"


class Phase(StrEnum):
    """What a feed is at."""

    BASELINE = "baseline"
    LIVE = "live"


class Detection(StrEnum):
    """How a change was noticed; the names are those of the contract."""

    GATEWAY_WRITE = "GATEWAY_WRITE"
    POLL = "POLL"
    CLOSED_WINDOW = "CLOSED_WINDOW"
    RECONCILIATION = "RECONCILIATION"
    REPLAY = "REPLAY"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSpec:
    """What a feed reads.

    Attributes:
        model: The model.
        filter: Which records (AIP-160).
        domain: Which records, as a raw domain.
        watched: The fields whose changes count.
        extra: Dotted paths that are read when something has changed.
    """

    model: str
    filter: str = ""
    domain: tuple[Any, ...] = ()
    watched: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a feed has read. Times are epoch seconds by the ERP's clock.

    Attributes:
        phase: Whether all records are known.
        baseline_time: Records that did not change since then are part of the baseline, and cause no events.
        baseline_last: The last id that the baseline has read.
        generation: Counts baselines; records that the last one has not seen are left over.
        replay: Whether the records of the baseline cause created events.
        high: Up to when the open window was read.
        closed: Up to when closed windows were read.
        reconciled: When ids were last compared.
        reconcile_last: The last id that a comparison under way has compared; 0 if none is.
        touch: The number of the last write through the gateway that was looked at.
        identity: As which user of the ERP it reads; empty before the first time.
        context: In which context, as a hash.
        viewer_changed: Whether the baseline is that of another user or context: what only they make differ is silent.
        missing: How many records the last comparison has missed that are not told as deleted yet.
        missing_since: Since when such are missed, in epoch seconds by the gateway's clock; 0 if none are.
    """

    phase: Phase = Phase.BASELINE
    baseline_time: float = 0.0
    baseline_last: int = 0
    generation: int = 1
    replay: bool = False
    high: float = 0.0
    closed: float = 0.0
    reconciled: float = 0.0
    reconcile_last: int = 0
    touch: int = 0
    identity: str = ""
    context: str = ""
    viewer_changed: bool = False
    missing: int = 0
    missing_since: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One feed as stored.

    Attributes:
        uid: Its own; that of the subscription it is for.
        tenant: Whose it is.
        connection: The id of the connection.
        connection_uid: Its uid.
        kind: Who it is for.
        spec: What it reads.
        principal: On whose behalf, encoded.
        revision: Counts the changes of what it reads.
        epoch: Counts its beginnings: with each, what it knew before is of other data and does not count any more.
        cursor: How far it has read.
        poll_time: When it last read the ERP with success, in epoch seconds; None before.
        error: Why it cannot read now, as a serialised status; empty if it can.
        creator: The subject of the principal that first watched.
        rest_time: Until when a watch's feed is read unless somebody goes on watching; None for a subscription's.
        expire_time: When a watch's feed ends that nobody watches; None for a subscription's.
        record_count: How many records it knows.
    """

    uid: str
    tenant: str
    connection: str
    connection_uid: str
    kind: Kind
    spec: FeedSpec
    principal: str = ""
    revision: int = 1
    epoch: int = 0
    cursor: Cursor = field(default_factory=Cursor)
    poll_time: float | None = None
    error: bytes = b""
    creator: str = ""
    rest_time: float | None = None
    expire_time: float | None = None
    record_count: int = 0

    @property
    def connection_name(self) -> str:
        """The resource name of the connection."""
        return f"connections/{self.connection}"

    @property
    def memory(self) -> str:
        """The key of what it knows: another one in each epoch, so that all is forgotten at once."""
        return f"{self.uid}/{self.epoch}" if self.epoch else self.uid


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a feed knows of a record.

    Attributes:
        record_id: The id in the ERP.
        update_time: When the ERP says that it last changed, in epoch seconds, cut to seconds.
        hash: The xxh3 of the watched values.
        turn: How many changes were seen with the same ``update_time``: two within a second look the same otherwise.
        values: The watched values.
        display_name: Its title.
        generation: The baseline that last saw it.
        away_time: When it went out of view, in epoch seconds; None while it is in view. It may come back, and is then
            compared with how it was.
    """

    record_id: int
    update_time: float
    hash: str
    turn: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    display_name: str = ""
    generation: int = 1
    away_time: float | None = None


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One watched field that differs; a value is absent (None) where ``had`` or ``has`` is False."""

    field: str
    before: Any
    after: Any
    had: bool = True
    has: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference between two observations of a record.

    Attributes:
        change_id: The same for everybody who watches the same fields, also after a restart.
        action: What happened.
        connection: The name of the connection.
        record: The record now; the last known values if it went.
        changes: Watched fields that differ.
        detection: How it was noticed.
        observe_time: When, in epoch seconds.
        correlation_id: That of the write through the gateway, else a new one.
        actor: Who wrote through the gateway; empty for any other change.
        first_seen: Whether nobody ever saw the record before, so that its values may have been anything.
    """

    change_id: str
    action: Action
    connection: str
    record: Record
    changes: tuple[FieldChange, ...] = ()
    detection: Detection = Detection.POLL
    observe_time: float = 0.0
    correlation_id: str = ""
    actor: str = ""
    first_seen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """A write through the gateway, for the feeds to look at.

    Attributes:
        model: The model.
        record_id: The record.
        number: Its place in the order of writes; 0 before it is stored.
        correlation_id: That of the call.
        actor: Who wrote.
    """

    model: str
    record_id: int
    number: int = 0
    correlation_id: str = ""
    actor: str = ""
