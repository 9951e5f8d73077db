"""The life of subscriptions through a real server."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    Invalid,
    NotFound,
    SutlerError,
)
from sutler.wire import to_value

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN
from tests.integration.erp.feeds import ORDERS, Subscription, an_order, get, in_state, subscribe, until
from tests.integration.erp.rules import Recorder


async def test_a_subscription_changes_without_losing_or_inventing(
    fed: tuple[Sutler, Recorder], sandbox: SandboxProcess
) -> None:
    client, recorder = fed
    made = await subscribe(client, fields=["state"])
    order = an_order(sandbox)
    await until(lambda: recorder.types(order) == ["order.created"])
    changed = await client.erp.UpdateSubscription(
        erp_pb2.UpdateSubscriptionRequest(
            subscription=Subscription(name=ORDERS, fields=["state", "client_order_ref"], etag=made.etag)
        )
    )
    assert list(changed.fields) == ["state", "client_order_ref"]
    sandbox.call("sale.order", "write", [order], {"client_order_ref": "X"})
    sandbox.call("sale.order", "action_confirm", [order])
    await until(lambda: "order.confirmed" in recorder.types(order))
    await in_state(client, Subscription.STATE_ACTIVE)
    assert recorder.types(order).count("order.confirmed") == 1
    assert recorder.types(order).count("order.created") == 1
    told = len(recorder.order)
    await client.erp.UpdateSubscription(
        erp_pb2.UpdateSubscriptionRequest(
            subscription=Subscription(name=ORDERS), update_mask=FieldMask(paths=["fields"])
        )
    )
    await in_state(client, Subscription.STATE_ACTIVE)
    assert len(recorder.order) == told
    with pytest.raises(Conflict):
        await client.erp.UpdateSubscription(
            erp_pb2.UpdateSubscriptionRequest(subscription=Subscription(name=ORDERS, entity="x", etag=made.etag))
        )
    with pytest.raises(Invalid) as immutable:
        await client.erp.UpdateSubscription(
            erp_pb2.UpdateSubscriptionRequest(subscription=Subscription(name=ORDERS, model="res.partner"))
        )
    assert immutable.value.reason == "FIELD_IMMUTABLE"


async def test_what_is_paused_catches_up(fed: tuple[Sutler, Recorder], sandbox: SandboxProcess) -> None:
    client, recorder = fed
    await subscribe(client, fields=["state"])
    await in_state(client, Subscription.STATE_ACTIVE)
    pause = erp_pb2.UpdateSubscriptionRequest(subscription=Subscription(name=ORDERS, disabled=True))
    assert (await client.erp.UpdateSubscription(pause)).state == Subscription.STATE_STOPPED
    order = an_order(sandbox)
    resume = erp_pb2.UpdateSubscriptionRequest(
        subscription=Subscription(name=ORDERS), update_mask=FieldMask(paths=["disabled"])
    )
    await client.erp.UpdateSubscription(resume)
    await until(lambda: recorder.types(order) == ["order.created"])


async def test_lists_deletes_and_refusals(fed: tuple[Sutler, Recorder], sandbox: SandboxProcess) -> None:
    client, recorder = fed
    for name in ("a", "b", "c"):
        await subscribe(client, name, fields=["state"])
    request = erp_pb2.ListSubscriptionsRequest(parent=MAIN, page_size=2, order_by="name desc")
    first = await client.erp.ListSubscriptions(request)
    request.page_token = first.next_page_token
    second = await client.erp.ListSubscriptions(request)
    names = [one.name.rpartition("/")[2] for one in (*first.subscriptions, *second.subscriptions)]
    assert names == ["c", "b", "a"]
    wrong: list[tuple[dict[str, Any], type[SutlerError], str]] = [
        ({"model": "no.such"}, NotFound, "MODEL_NOT_FOUND"),
        ({"fields": ["colour"]}, Invalid, "FIELD_NOT_FOUND"),
        ({"filter": "colour = 1"}, Invalid, "FILTER_INVALID"),
        ({"model": ""}, Invalid, "FIELD_INVALID"),
        ({"filter": "id = 1", "domain": to_value([["id", "=", 1]]).list_value}, Invalid, "FIELD_INVALID"),
    ]
    for more, kind, reason in wrong:
        with pytest.raises(kind) as caught:
            await subscribe(client, "wrong", **more)
        assert caught.value.reason == reason
    with pytest.raises(AlreadyExists):
        await subscribe(client, "A", fields=["state"])
    with pytest.raises(FailedPrecondition) as children:
        await client.erp.DeleteConnection(erp_pb2.DeleteConnectionRequest(name=MAIN))
    assert (children.value.reason, children.value.metadata["children"]) == ("HAS_CHILDREN", "3")
    await client.erp.DeleteSubscription(erp_pb2.DeleteSubscriptionRequest(name=f"{MAIN}/subscriptions/a"))
    with pytest.raises(NotFound):
        await get(client, f"{MAIN}/subscriptions/a")
    order = an_order(sandbox)
    await until(lambda: recorder.types(order) == ["order.created"] * 2)
    await client.erp.DeleteConnection(erp_pb2.DeleteConnectionRequest(name=MAIN, force=True))
    with pytest.raises(NotFound):
        await get(client, f"{MAIN}/subscriptions/b")
