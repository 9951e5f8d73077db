"""Differences between two observations, and the events that they cause."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.erp.adapters.odoo.views import transitions
from services.erp.connections import FeedPolicy
from services.erp.feed.comparing import compare, went
from services.erp.feed.events import MAX_DATA_BYTES, event_data, events_of, fitting
from services.erp.feed.looking import again, timing, watched_fields
from services.erp.feed.model import Change, Cursor, Detection, Feed, FeedSpec, Kind, Observation, Phase, Touch
from services.erp.records import Record, Row
from services.erp.standing import standing
from services.erp.subscriptions import Action, State, Subscription, SubscriptionSpec, Transition
from tests.unit.erp.test_connections import a_connection

NOW = 1_000_000.0


def a_feed(**cursor: Any) -> Feed:
    return Feed(
        uid="f",
        tenant="default",
        connection="main",
        connection_uid="c",
        kind=Kind.SUBSCRIPTION,
        spec=FeedSpec(model="sale.order", watched=("state", "partner_id")),
        cursor=Cursor(**{"phase": Phase.LIVE, "baseline_time": 500.0, **cursor}),
    )


def a_row(state: str = "draft", partner: int = 7, updated: float = 600.0, created: float = 100.0, **more: Any) -> Row:
    values = {"state": state, "partner_id": {"id": partner, "display_name": f"P{partner}"}, "name": "S1", **more}
    return Row(id=30, values=values, create_time=created, update_time=updated, display_name="S1")


def known(row: Row, feed: Feed | None = None) -> Observation:
    seen = compare(feed or a_feed(), row, None, Detection.POLL, NOW).observation
    assert seen is not None
    return seen


def test_a_new_record_is_created_with_all_that_is_set() -> None:
    change = compare(a_feed(), a_row(), None, Detection.POLL, NOW).change
    assert change is not None
    assert (change.action, change.first_seen, change.detection) == (Action.CREATED, True, Detection.POLL)
    assert {one.field: (one.had, one.after) for one in change.changes} == {
        "state": (False, "draft"),
        "partner_id": (False, {"id": 7, "display_name": "P7"}),
    }


def test_the_same_again_is_no_change_and_not_even_an_observation() -> None:
    before = known(a_row())
    again_seen = compare(a_feed(), a_row(), before, Detection.CLOSED_WINDOW, NOW)
    assert (again_seen.change, again_seen.observation) == (None, None)


def test_a_change_elsewhere_is_remembered_and_not_told() -> None:
    seen = compare(a_feed(), a_row(updated=700.0, name="other"), known(a_row()), Detection.POLL, NOW)
    assert seen.change is None
    assert seen.observation is not None
    assert seen.observation.update_time == 700.0


def test_another_name_of_the_partner_is_no_change() -> None:
    row = a_row(updated=700.0)
    row.values["partner_id"] = {"id": 7, "display_name": "renamed"}
    assert compare(a_feed(), row, known(a_row()), Detection.POLL, NOW).change is None


def test_a_watched_value_that_differs_is_told_with_both_values() -> None:
    change = compare(a_feed(), a_row("sale", updated=700.0), known(a_row()), Detection.POLL, NOW).change
    assert change is not None
    assert change.action is Action.UPDATED
    assert [(one.field, one.before, one.after) for one in change.changes] == [("state", "draft", "sale")]


def test_two_changes_within_a_second_are_two_and_going_back_is_a_third() -> None:
    feed, first = a_feed(), known(a_row())
    second = compare(feed, a_row("sale"), first, Detection.POLL, NOW)
    assert second.change is not None
    assert second.observation is not None
    third = compare(feed, a_row("draft"), second.observation, Detection.POLL, NOW)
    assert third.change is not None
    assert third.observation is not None
    fourth = compare(feed, a_row("sale"), third.observation, Detection.POLL, NOW)
    assert fourth.change is not None
    assert len({second.change.change_id, third.change.change_id, fourth.change.change_id}) == 3


def test_a_change_has_the_same_id_whenever_it_is_seen() -> None:
    before, row = known(a_row()), a_row("sale", updated=700.0)
    one = compare(a_feed(), row, before, Detection.POLL, NOW).change
    two = compare(
        a_feed(high=9.0), row, before, Detection.GATEWAY_WRITE, NOW + 9, Touch(model="m", record_id=30)
    ).change
    assert one is not None
    assert two is not None
    assert one.change_id == two.change_id


@pytest.mark.parametrize(
    ("cursor", "updated", "created", "action", "detection"),
    [
        ({}, 499.0, 100.0, None, None),
        ({}, 600.0, 550.0, Action.CREATED, Detection.POLL),
        ({}, 600.0, 100.0, Action.UPDATED, Detection.POLL),
        ({"replay": True}, 499.0, 100.0, Action.CREATED, Detection.REPLAY),
        ({"replay": True}, 600.0, 550.0, Action.CREATED, Detection.POLL),
    ],
)
def test_a_baseline_is_silent_about_what_did_not_change_since_it_began(
    cursor: dict[str, Any], updated: float, created: float, action: Action | None, detection: Detection | None
) -> None:
    feed = a_feed(phase=Phase.BASELINE, **cursor)
    seen = compare(feed, a_row(updated=updated, created=created), None, Detection.POLL, NOW)
    assert seen.observation is not None
    assert (seen.change and seen.change.action, seen.change and seen.change.detection) == (action, detection)


def test_a_field_that_was_not_watched_before_does_not_count() -> None:
    feed = replace(a_feed(generation=2), spec=FeedSpec(model="sale.order", watched=("state", "name")))
    seen = compare(feed, a_row(updated=600.0), known(a_row()), Detection.POLL, NOW)
    assert seen.change is None
    assert seen.observation is not None
    assert seen.observation.generation == 2


def test_a_record_that_went_has_its_last_values() -> None:
    change = went(a_feed(), known(a_row("sale")), Detection.RECONCILIATION, NOW)
    assert change.action is Action.DELETED
    assert change.record.values["state"] == "sale"


SUBSCRIPTION = Subscription(
    tenant="default", connection="main", connection_uid="c", id="orders", uid="s", spec=SubscriptionSpec()
)


def types(change: Change, spec: SubscriptionSpec | None = None, own: tuple[Transition, ...] | None = None) -> list[str]:
    subscription = replace(SUBSCRIPTION, spec=spec or SubscriptionSpec())
    told = transitions("sale.order") if own is None else own
    return [event.type for event in events_of(subscription, "order", told, change)]


def moved(before: str, after: str) -> Change:
    change = compare(a_feed(), a_row(after, updated=700.0), known(a_row(before)), Detection.POLL, NOW).change
    assert change is not None
    return change


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("draft", "sale", ["order.updated", "order.confirmed"]),
        ("sent", "sale", ["order.updated", "order.confirmed"]),
        ("cancel", "sale", ["order.updated", "order.confirmed"]),
        ("draft", "done", ["order.updated", "order.confirmed"]),
        ("sale", "done", ["order.updated"]),
        ("done", "sale", ["order.updated"]),
        ("sale", "cancel", ["order.updated", "order.cancelled"]),
        ("draft", "sent", ["order.updated"]),
    ],
)
def test_orders_are_confirmed_and_cancelled(before: str, after: str, expected: list[str]) -> None:
    assert types(moved(before, after)) == expected


def test_a_record_first_seen_with_a_new_value_counts_and_a_replayed_one_does_not() -> None:
    new = compare(a_feed(), a_row("sale"), None, Detection.POLL, NOW).change
    assert new is not None
    assert types(new) == ["order.created", "order.confirmed"]
    assert types(replace(new, detection=Detection.REPLAY)) == ["order.created"]
    assert types(went(a_feed(), known(a_row("cancel")), Detection.POLL, NOW)) == ["order.deleted"]


def test_actions_limit_what_is_told_and_transitions_come_in_any_case() -> None:
    only = SubscriptionSpec(actions=(Action.DELETED,))
    assert types(moved("draft", "sale"), only) == ["order.confirmed"]
    assert types(moved("draft", "sent"), only) == []
    partner = Transition(field="partner_id", old_values=(7,), new_values=(8,), event_type="order.moved")
    change = compare(a_feed(), a_row(partner=8, updated=700.0), known(a_row()), Detection.POLL, NOW).change
    assert change is not None
    assert types(change, only, (partner,)) == ["order.moved"]
    assert types(change, only, (replace(partner, old_values=(9,)),)) == []


def test_an_event_carries_the_change_with_values_in_reach() -> None:
    change = replace(moved("draft", "sale"), correlation_id="corr")
    event = events_of(SUBSCRIPTION, "order", transitions("sale.order"), change)[1]
    assert (event.source, event.type, event.subject) == (
        "connections/main",
        "order.confirmed",
        "connections/main/sale.order/30",
    )
    assert event.correlation_id == "corr"
    data = event.data
    assert data["connection"] == "connections/main"
    assert (data["model"], data["id"]) == ("sale.order", 30)
    assert data["values"]["state"] == "sale"
    assert data["old_values"] == {"state": "draft"}
    assert data["record"]["values"] == data["values"]
    assert data["subscription"] == "connections/main/subscriptions/orders"
    again_made = events_of(SUBSCRIPTION, "order", transitions("sale.order"), change)[1]
    assert again_made == event
    other = events_of(replace(SUBSCRIPTION, uid="other"), "order", transitions("sale.order"), change)[1]
    assert other.id != event.id


def test_event_data_always_fits() -> None:
    record = Record(model="m", id=1, values={"note": "x" * 600_000})
    change = Change(change_id="c", action=Action.UPDATED, connection="connections/main", record=record)
    data = fitting(event_data(change))
    assert "values" not in data["record"]
    assert len(data["values"]["note"]) == 600_000
    huge = Record(model="m", id=1, values={"note": "x" * (MAX_DATA_BYTES + 1)})
    data = fitting(event_data(replace(change, record=huge)))
    assert data["truncated"] is True
    assert (data["id"], data["values"]) == (1, {})


def test_watched_and_extra_fields() -> None:
    spec = watched_fields(("name", "order_line.product_uom_qty", "name"), ("state",), "active")
    assert spec.watched == ("display_name", "name", "state", "active")
    assert spec.extra == ("order_line.product_uom_qty",)


def test_a_changed_feed_takes_a_new_baseline_at_its_old_position() -> None:
    cursor = again(Cursor(phase=Phase.LIVE, high=900.0, closed=800.0, touch=4, generation=2))
    assert (cursor.phase, cursor.baseline_time, cursor.high, cursor.closed) == (Phase.BASELINE, 900.0, 900.0, 800.0)
    assert (cursor.generation, cursor.touch) == (3, 4)


@pytest.mark.parametrize(
    ("feed", "more", "state"),
    [
        (None, {}, State.BASELINE),
        (a_feed(phase=Phase.BASELINE), {}, State.BASELINE),
        (a_feed(closed=NOW - 40), {}, State.ACTIVE),
        (a_feed(closed=NOW - 4000), {}, State.CATCHING_UP),
        (replace(a_feed(closed=NOW), error=b"x"), {}, State.FAILING),
        (a_feed(closed=NOW), {"pending": 2, "failure": "down"}, State.FAILING),
        (a_feed(closed=NOW), {"pending": 0, "failure": "down"}, State.ACTIVE),
        (a_feed(closed=NOW), {"pending": 2, "target": ""}, State.FAILING),
    ],
)
def test_how_a_subscription_stands(feed: Feed | None, more: dict[str, Any], state: State) -> None:
    told = {"target": "127.0.0.1:1", "failure": "", "pending": 0, "now": NOW, **more}
    found = standing(SUBSCRIPTION, feed, a_connection(), timing(FeedPolicy(), 1.0), **told)
    assert found.state is state
    assert bool(found.reason) == (state is not State.ACTIVE)


def test_what_is_switched_off_is_stopped() -> None:
    off = replace(SUBSCRIPTION, spec=SubscriptionSpec(disabled=True))
    told: dict[str, Any] = {"target": "", "failure": "", "pending": 0, "now": NOW}
    assert standing(off, a_feed(), a_connection(), timing(None, 1.0), **told).state is State.STOPPED
    assert (
        standing(SUBSCRIPTION, a_feed(), a_connection(disabled=True), timing(None, 1.0), **told).state is State.STOPPED
    )
