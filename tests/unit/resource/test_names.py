import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sutler.errors import Invalid

from services.resource import names
from services.resource.names import compose, key, parse
from services.resource.scopes import Scope

GROUP = "subscriptions/s/resourceGroups/g"
ANY: tuple[Scope, ...] = ()


@pytest.mark.parametrize(
    ("text", "type", "scope", "level", "parent"),
    [
        ("subscriptions/s", "Sutler.Resource/subscriptions", "", Scope.GLOBAL, ""),
        ("managementGroups/m", "Sutler.Resource/managementGroups", "", Scope.GLOBAL, ""),
        (GROUP, "Sutler.Resource/resourceGroups", "subscriptions/s", Scope.SUBSCRIPTION, "subscriptions/s"),
        ("locations/west", "Sutler.Resource/locations", "", Scope.GLOBAL, ""),
        ("policies/p", "Sutler.Resource/policies", "", Scope.GLOBAL, ""),
        (f"{GROUP}/quotas/q", "Sutler.Resource/quotas", GROUP, Scope.RESOURCE_GROUP, GROUP),
        ("providers/A.B/things/x", "A.B/things", "", Scope.GLOBAL, ""),
        (
            "managementGroups/m/providers/A.B/things/x",
            "A.B/things",
            *("managementGroups/m", Scope.MANAGEMENT_GROUP),
            "managementGroups/m",
        ),
        (f"{GROUP}/providers/A.B/servers/a", "A.B/servers", GROUP, Scope.RESOURCE_GROUP, GROUP),
        (
            f"{GROUP}/providers/A.B/servers/a/disks/b",
            "A.B/servers/disks",
            GROUP,
            Scope.RESOURCE_GROUP,
            f"{GROUP}/providers/A.B/servers/a",
        ),
        (
            "SUBSCRIPTIONS/s/ResourceGroups/g/PROVIDERS/A.B/x/y",
            "A.B/x",
            *("SUBSCRIPTIONS/s/ResourceGroups/g", Scope.RESOURCE_GROUP),
            "SUBSCRIPTIONS/s/ResourceGroups/g",
        ),
    ],
)
def test_parse(text: str, type: str, scope: str, level: Scope, parent: str) -> None:
    name = parse(text)
    assert (name.type, name.scope, name.level, name.parent) == (type, scope, level, parent)
    assert name.id == text.rpartition("/")[2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "subscriptions",
        "subscriptions/",
        "subscriptions/s/",
        "/subscriptions/s",
        "subscriptions/s/resourceGroups",
        "subscriptions/s/providers/A.B",
        "subscriptions/s/providers/A/things/x",
        "subscriptions/s/providers/Sutler.Resource/locations/x",
        "subscriptions/s/locations/x",
        "subscriptions/s/things/x",
        "things/x",
        "resourceGroups/g",
        "locations/a/things/x",
        "policies/p/providers/A.B/x/y",
        "providers/A.B/providers/x",
        "subscriptions/a b",
        "subscriptions/1a",
        "subscriptions/a%2Fb",
        "subscriptions/ä",
        "subscriptions/s\n",
        "subscriptions/" + "a" * 64,
        "/".join(["providers/A.B", *(f"c{i}/x" for i in range(8))]),
    ],
)
def test_no_names(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert caught.value.reason == "FIELD_INVALID"
    assert caught.value.metadata["field"] == "name"


def test_above_is_the_path_upwards() -> None:
    name = parse("Subscriptions/S/resourceGroups/G/providers/A.B/servers/a/disks/b")
    assert name.above == (
        "subscriptions/s/resourcegroups/g/providers/a.b/servers/a",
        "subscriptions/s/resourcegroups/g",
        "subscriptions/s",
    )
    assert parse("providers/A.B/things/x").above == ()
    assert parse("locations/x").above == ()


@pytest.mark.parametrize(
    ("parent", "type", "expected"),
    [
        ("", "Sutler.Resource/subscriptions", "subscriptions/x"),
        ("subscriptions/s", "Sutler.Resource/resourceGroups", "subscriptions/s/resourceGroups/x"),
        ("", "A.B/things", "providers/A.B/things/x"),
        (GROUP, "A.B/things", f"{GROUP}/providers/A.B/things/x"),
        (f"{GROUP}/providers/a.b/Things/t", "A.B/things/parts", f"{GROUP}/providers/a.b/Things/t/parts/x"),
    ],
)
def test_compose(parent: str, type: str, expected: str) -> None:
    name = compose(parent, type, "x", ANY)
    assert name.text == expected
    assert key(name.type) == key(type)


@pytest.mark.parametrize(
    ("parent", "type", "allowed"),
    [
        ("subscriptions/s", "Sutler.Resource/subscriptions", (Scope.GLOBAL,)),
        ("", "Sutler.Resource/resourceGroups", (Scope.SUBSCRIPTION,)),
        (GROUP, "Sutler.Resource/resourceGroups", (Scope.SUBSCRIPTION,)),
        (GROUP, "A.B/things/parts", ANY),
        ("", "A.B/things/parts", ANY),
        ("locations/l", "A.B/things", ANY),
        (f"{GROUP}/providers/A.B/things/t", "A.B/things", ANY),
        ("subscriptions/s", "A.B/things", (Scope.RESOURCE_GROUP,)),
    ],
)
def test_places_that_are_not_allowed(parent: str, type: str, allowed: tuple[Scope, ...]) -> None:
    with pytest.raises(Invalid) as caught:
        compose(parent, type, "x", allowed)
    assert caught.value.reason == "PARENT_NOT_ALLOWED"
    assert caught.value.metadata["type"] == type


@settings(max_examples=100)
@given(st.text(max_size=80))
def test_nothing_is_smuggled_into_an_id(id: str) -> None:
    """Whatever is sent as an id is refused, or is one whole last part of the name."""
    try:
        name = compose(GROUP, "A.B/things", id, ANY)
    except Invalid:
        return
    assert name.text == f"{GROUP}/providers/A.B/things/{id}"
    assert name.parent == GROUP
    assert "/" not in id


ids = st.from_regex(r"\A[A-Za-z][A-Za-z0-9._-]{0,12}\Z")
collections = st.from_regex(r"\A[A-Za-z][A-Za-z0-9]{0,8}\Z").filter(lambda c: c.lower() != "providers")


@settings(max_examples=100)
@given(st.lists(st.tuples(collections, ids), min_size=1, max_size=5), st.sampled_from(["", "subscriptions/S", GROUP]))
def test_round_trip(pairs: list[tuple[str, str]], scope: str) -> None:
    text = "/".join([*([scope] if scope else []), "providers/Ab.Cd", *(f"{c}/{i}" for c, i in pairs)])
    name = parse(text)
    above = name.parent
    assert compose(above, name.type, name.id, ANY).text == text
    assert parse(text.upper().replace("PROVIDERS", "providers")).key == name.key
    assert all(names.is_below(text, ancestor) for ancestor in name.above)
    assert len(name.above) == (len(pairs) - 1) + (scope.count("/") + 1) // 2


@pytest.mark.parametrize(("id", "type"), [("A.B.c", "A.B/c"), ("A.B.c.d", "A.B/c/d")])
def test_type_ids(id: str, type: str) -> None:
    assert names.type_from_id(id) == type
    assert names.type_id(type) == id


@pytest.mark.parametrize("id", ["A", "A.B", "A.B.c-d", "A.B.1", "A.B.providers", "A.B." + "c" * 60, "A.B.c.d.e.f.g.h"])
def test_no_type_ids(id: str) -> None:
    with pytest.raises(Invalid):
        names.type_from_id(id)


def test_is_below() -> None:
    assert names.is_below("subscriptions/S1", "")
    assert names.is_below("Subscriptions/s/resourceGroups/g", "subscriptions/S")
    assert not names.is_below("subscriptions/s", "subscriptions/s")
    assert not names.is_below("subscriptions/s1", "subscriptions/s")
