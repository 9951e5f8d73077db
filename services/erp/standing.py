"""How a subscription stands: what its state is, and why."""

from __future__ import annotations

from dataclasses import dataclass

from services.erp.connections import Connection
from services.erp.feed.looking import Timing
from services.erp.feed.model import Feed, Phase
from services.erp.feed.vanishing import trouble
from services.erp.subscriptions import State, Subscription

BEHIND_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How well a subscription works; times in epoch seconds, None before the first.

    Attributes:
        state: In a word.
        reason: Why, for people; empty when active.
        error: The serialised status that keeps it failing; empty otherwise.
        position_time: Up to when every change was read twice.
        poll_time: When it last read the ERP.
        reconcile_time: When ids were last compared.
        pending_event_count: How many events wait to be delivered.
        record_count: How many records it knows.
    """

    state: State = State.BASELINE
    reason: str = ""
    error: bytes = b""
    position_time: float | None = None
    poll_time: float | None = None
    reconcile_time: float | None = None
    pending_event_count: int = 0
    record_count: int = 0


def standing(
    subscription: Subscription,
    feed: Feed | None,
    connection: Connection,
    timing: Timing,
    *,
    target: str,
    failure: str,
    pending: int,
    now: float,
) -> Standing:
    """Returns how a subscription stands.

    Args:
        subscription: The subscription.
        feed: Its feed; None before that is stored.
        connection: Its connection.
        timing: How the feed reads.
        target: Where events go; empty if nowhere.
        failure: Why the last delivery failed; empty if it did not.
        pending: How many events wait.
        now: Epoch seconds by the ERP's clock.
    """
    state, reason = _state(subscription, feed, connection, timing, target, failure, pending, now)
    cursor = feed.cursor if feed else None
    live = cursor is not None and cursor.phase is Phase.LIVE
    return Standing(
        state=state,
        reason=reason,
        error=trouble(feed) if feed and state is State.FAILING else b"",
        position_time=cursor.closed if cursor and live else None,
        poll_time=feed.poll_time if feed else None,
        reconcile_time=(cursor.reconciled or None) if cursor else None,
        pending_event_count=pending,
        record_count=feed.record_count if feed else 0,
    )


def _state(
    subscription: Subscription,
    feed: Feed | None,
    connection: Connection,
    timing: Timing,
    target: str,
    failure: str,
    pending: int,
    now: float,
) -> tuple[State, str]:
    if subscription.spec.disabled:
        return State.STOPPED, "switched off"
    if connection.spec.disabled:
        return State.STOPPED, f"{connection.name} is switched off"
    if feed is None:
        return State.BASELINE, "about to begin"
    if feed.error:
        return State.FAILING, "the ERP cannot be read; see last_error"
    if feed.cursor.missing_since:
        return State.FAILING, f"{feed.cursor.missing} records are missing at once; see last_error"
    if pending and not target:
        return State.FAILING, "no RuleService is configured (SUTLER_ERP_RULE_ADDRESS): events wait"
    if pending and failure:
        return State.FAILING, f"the event target does not accept events: {failure}"[:1024]
    if feed.cursor.phase is Phase.BASELINE:
        return State.BASELINE, f"read up to id {feed.cursor.baseline_last}"
    behind = now - feed.cursor.closed
    if behind > BEHIND_SECONDS + 2 * timing.lag + timing.poll:
        return State.CATCHING_UP, f"{behind:.0f} s behind"
    return State.ACTIVE, ""
