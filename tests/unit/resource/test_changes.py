"""A change in the log, as watches send it."""

from __future__ import annotations

import tracemalloc

import pytest
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import timestamp, to_struct

from services.resource.adapters.changes import LoggedChange
from services.resource.watching import Scope
from services.resource.wire.revisions import changes

K = pb.ResourceChange
BEFORE = pb.Resource(name="subscriptions/s", revision=6, tags={"env": "prod"})
AFTER = pb.Resource(name="subscriptions/s", revision=7, tags={"env": "test"})
EVERY = Scope("", "", "", None)
PROD = Scope("subscriptions/s", "", "prod", lambda item: item["tags"].get("env") == "prod")
TEST = Scope("subscriptions/s", "", "test", lambda item: item["tags"].get("env") == "test")


def logged(before: pb.Resource | None, after: pb.Resource | None) -> LoggedChange:
    shown = [None if each is None else each.SerializeToString() for each in (before, after)]
    return LoggedChange(7, "subscriptions/s", "sutler.resource/subscriptions", frozenset(), 1.5, *shown)


def sent(change: LoggedChange, scope: Scope) -> K | None:
    encoded = change.sent(scope)
    return None if encoded is None else pb.WatchResourcesResponse.FromString(encoded).changes[0]


def test_it_is_serialised_once_for_all_that_see_it_alike() -> None:
    change = logged(BEFORE, AFTER)
    assert change.sent(EVERY) is change.sent(TEST)
    assert change.sent(PROD) is change.sent(PROD)
    assert change.sent(PROD) is not change.sent(TEST)


def test_each_sees_what_its_filter_makes_of_it() -> None:
    change = logged(BEFORE, AFTER)
    time = timestamp(1.5)
    assert sent(change, EVERY) == K(kind=K.KIND_UPDATED, resource=AFTER, revision=7, change_time=time)
    assert sent(change, PROD) == K(kind=K.KIND_LEFT, resource=AFTER, revision=7, change_time=time)
    assert sent(logged(None, AFTER), TEST) == K(kind=K.KIND_CREATED, resource=AFTER, revision=7, change_time=time)
    assert sent(logged(BEFORE, None), PROD) == K(kind=K.KIND_DELETED, resource=BEFORE, revision=7, change_time=time)
    assert sent(logged(None, AFTER), PROD) is None
    assert sent(change, Scope("subscriptions/other", "", "", None)) is None


def test_many_make_one_message() -> None:
    encoded = [logged(None, AFTER).sent(EVERY), logged(BEFORE, None).sent(EVERY)]
    message = pb.WatchResourcesResponse.FromString(changes([each for each in encoded if each], "token", replaying=True))
    assert [change.kind for change in message.changes] == [K.KIND_CREATED, K.KIND_DELETED]
    assert message.resume_token == "token"
    assert message.replaying


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"cpu": 4, "size": "large", "zones": ["a", "b"]},
        {f"key{number}": str(number) for number in range(500)},
        {f"key{number}": {"value": number, "text": "x" * 20} for number in range(200)},
    ],
)
def test_its_size_has_all_that_is_made_of_it(properties: dict[str, object]) -> None:
    before, after = (pb.Resource(name="subscriptions/s", tags={"env": env}) for env in ("prod", "test"))
    for resource in (before, after):
        resource.properties.CopyFrom(to_struct(properties))
    changes = []
    tracemalloc.start()
    for _ in range(50):
        change = logged(before, after)
        change.sent(PROD), change.sent(TEST)
        changes.append(change)
    taken = tracemalloc.get_traced_memory()[0] / len(changes)
    tracemalloc.stop()
    assert taken / 2 < changes[0].size < taken * 2
