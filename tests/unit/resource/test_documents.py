from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.resource import documents, type_documents
from services.resource.differences import ABSENT, differences, same
from services.resource.problems import Problem
from services.resource.resource import Declared, Finding, Lock, Resource
from services.resource.resource_type import Action, Handler, Kind, Normalization, ResourceType, Rule, Version
from services.resource.scopes import Scope
from services.resource.states import State
from services.resource.watching import Scope as Watched
from services.resource.watching import Seen
from services.resource.wire import resources as wire
from services.resource.wire import types as type_wire
from services.resource.wire.items import item

json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5).filter(lambda s: "\0" not in s),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=8,
)
structs = st.dictionaries(st.text("abc", max_size=3), json, max_size=3)
declarations = st.builds(
    Declared,
    type_version=st.just("v1"),
    display_name=st.text("xy", max_size=3),
    properties=structs,
    tags=st.dictionaries(st.text("abc", min_size=1, max_size=2), st.text("abc", max_size=2), max_size=2),
    location=st.sampled_from(["", "locations/west"]),
    references=st.just(()) | st.just(("subscriptions/a", "subscriptions/b")),
    expire_time=st.none() | st.just(1795259635.5),
    lock=st.sampled_from(Lock),
)


slowly = settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def resource(declared: Declared, **changes: Any) -> Resource:
    return Resource("t", "locations/a", "5f3c2b1e", "Sutler.Resource/locations", declared, revision=3, **changes)


@slowly
@given(declarations, st.none() | declarations, structs)
def test_documents_are_the_resource(declared: Declared, applied: Declared | None, outputs: dict[str, Any]) -> None:
    whole = resource(
        declared,
        applied=applied,
        outputs=outputs,
        state=State.FAILED,
        state_reason="X",
        error=Problem(9, "X", "m", {"a": "b"}, (("f", "d", "R"),), 1.5),
        findings=(Finding("s", "", "", "m"),),
        operation="resourceOperations/x",
    )
    stored = orjson.loads(orjson.dumps(documents.document(whole)))
    kept = None if applied is None else orjson.loads(orjson.dumps(documents.declared_document(applied)))
    assert documents.from_document("t", stored, kept) == whole


@slowly
@given(declarations)
def test_messages_carry_what_is_declared(declared: Declared) -> None:
    assert wire.to_declared(wire.to_message(resource(declared))) == declared


@slowly
@given(declarations, structs)
def test_filters_see_the_same_in_messages_and_documents(declared: Declared, outputs: dict[str, Any]) -> None:
    whole = resource(declared, outputs=outputs, create_time=5.0, update_time=6.25)
    shown, stored = item(wire.to_message(whole)), documents.document(whole)
    for name, value in stored.items():
        assert shown[name] == value, name


def test_types_are_their_documents_and_messages() -> None:
    type = ResourceType(
        "t",
        "A.B/c",
        "u",
        display_name="n",
        description="d",
        versions=(
            Version(
                "v1",
                {"type": "object"},
                {"type": "object"},
                (Rule("r", "true", "m", "f"),),
                (Normalization("tags.a", Kind.TRIM),),
                ("location",),
                True,
            ),
            Version("v2"),
        ),
        default_version="v2",
        uniqueness_scopes=(Scope.SUBSCRIPTION, Scope.PARENT_RESOURCE),
        allowed_scopes=(Scope.GLOBAL,),
        handler=Handler(address="h:1", timeout=2.5, max_attempts=3, max_concurrency=4),
        actions=(Action("restart", "d", {"type": "object"}),),
    )
    stored = orjson.loads(orjson.dumps(type_documents.document(type)))
    assert type_documents.from_document("t", stored) == type
    message = type_wire.to_message(type)
    assert message.name == "resourceTypes/A.B.c"
    again = type_wire.from_message(message)
    for name in ("versions", "uniqueness_scopes", "allowed_scopes", "handler", "actions", "default_version"):
        assert getattr(again, name) == getattr(type, name), name


def test_differences() -> None:
    before = Declared("v1", properties={"a": 1, "b": {"c": [1], "d": None}}, tags={"x": "1"})
    after = Declared("v2", "name", properties={"a": True, "b": {"c": [1]}, "e": {"f": 1}}, tags={"x": "1"})
    found = {change.field: (change.before, change.after) for change in differences(before, after)}
    assert found == {
        "display_name": (ABSENT, "name"),
        "properties.a": (1, True),
        "properties.b.d": (None, ABSENT),
        "properties.e.f": (ABSENT, 1),
        "type_version": ("v1", "v2"),
    }
    assert differences(after, after) == []
    assert [change.field for change in differences(None, Declared("v1", tags={"x": "1"}))] == ["tags.x", "type_version"]


def test_true_is_not_one() -> None:
    assert not same(Declared(properties={"a": [1]}), Declared(properties={"a": [True]}))
    assert same(Declared(properties={"a": 1, "b": 2}), Declared(properties={"b": 2, "a": 1}))


def test_what_a_watch_sees() -> None:
    every = Watched("", "", "", None)
    assert every.seen(None, {}) is Seen.CREATED
    assert every.seen({}, {}) is Seen.UPDATED
    assert every.seen({}, None) is Seen.DELETED
    some = Watched("subscriptions/s", "", "x", lambda found: bool(found["x"]))
    yes, no = {"x": 1}, {"x": 0}
    assert some.seen(None, yes) is Seen.CREATED
    assert some.seen(None, no) is None
    assert some.seen(no, yes) is Seen.UPDATED
    assert some.seen(yes, no) is Seen.LEFT
    assert some.seen(no, no) is None
    assert some.seen(yes, None) is Seen.DELETED
    assert some.seen(no, None) is None


def test_what_a_watch_covers() -> None:
    scope = Watched("subscriptions/s", "a.b/c", "", None)
    assert scope.covers("subscriptions/s/providers/a.b/c/x", "a.b/c", ())
    assert not scope.covers("subscriptions/s/providers/a.b/d/x", "a.b/d", ())
    assert not scope.covers("subscriptions/s2/providers/a.b/c/x", "a.b/c", ())
    group = Watched("managementgroups/m", "", "", None)
    assert group.covers("managementgroups/m", "x", ())
    assert group.covers("subscriptions/s/resourcegroups/g", "x", ("managementgroups/m", "managementgroups/top"))
    assert not group.covers("subscriptions/s/resourcegroups/g", "x", ("managementgroups/m2",))
    assert Watched("", "", "", None).covers("subscriptions/s", "x", ())
