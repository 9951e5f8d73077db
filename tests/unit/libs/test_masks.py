"""Which fields an Update changes, and how changes are shown."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import struct_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st
from sutler.cache.v1 import cache_pb2
from sutler.errors import Code, Invalid
from sutler.masks import FieldDiff, changes, clear_output_only, merge
from sutler.provider.v1 import provider_pb2

from tests.unit.libs.masks_proto import Thing


def thing(**fields: Any) -> Any:
    return ParseDict(fields, Thing())


def shown(message: Any) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


STORED: dict[str, Any] = {
    "name": "things/a",
    "uid": "u1",
    "create_time": "2026-01-01T00:00:00Z",
    "etag": '"1"',
    "title": "old",
    "size": "5",
    "type": "box",
    "mode": "MODE_FAST",
    "ttl": "10.500s",
    "properties": {"a": 1, "b": {"c": 2, "d": 3}},
    "outputs": {"ip": "::1"},
    "labels": ["x", "y"],
    "tags": {"env": "prod"},
    "spec": {
        "image": "old",
        "count": "2",
        "zone": "z1",
        "host": "h1",
        "options": {"a": 1},
        "disk": {"id": "d", "device": "sda"},
    },
    "mounts": {"/": {"id": "root", "device": "sda", "format": "ext4"}, "/tmp": {"id": "tmp", "device": "sdb"}},
    "disks": [{"id": "one", "device": "sdc"}],
    "secret": "s1",
    "origin": {"image": "i"},
    "small": {"image": "s", "zone": "z1"},
}


SPEC = {key: value for key, value in STORED["spec"].items() if key != "image"}


def merged(update: dict[str, Any], *paths: str) -> dict[str, Any]:
    """The fields in which the result differs from what was stored; absent ones as None."""
    stored, sent = thing(**STORED), thing(**update)
    before = stored.SerializeToString(deterministic=True), sent.SerializeToString(deterministic=True)
    result = shown(merge(stored, sent, FieldMask(paths=paths) if paths else None))
    assert before == (stored.SerializeToString(deterministic=True), sent.SerializeToString(deterministic=True))
    return {key: result.get(key) for key in {**STORED, **result} if result.get(key) != STORED.get(key)}


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({}, {}),
        ({"title": "new"}, {"title": "new"}),
        ({"title": "", "mode": "MODE_UNSPECIFIED"}, {}),
        ({"size": 0}, {"size": "0"}),
        ({"ttl": "3s"}, {"ttl": "3s"}),
        ({"labels": ["z"]}, {"labels": ["z"]}),
        ({"labels": []}, {}),
        ({"tags": {"a": "b"}}, {"tags": {"a": "b"}}),
        ({"spec": {"image": "new"}}, {"spec": {**STORED["spec"], "image": "new"}}),
        ({"spec": {}}, {}),
        ({"child": {"type": "any", "spec": {"zone": "any"}}}, {"child": {"type": "any", "spec": {"zone": "any"}}}),
        ({"large": {"size": 1, "format": "xfs"}}, {"large": {"size": "1", "format": "xfs"}, "small": None}),
        ({"word": "w"}, {"word": "w", "small": None}),
        ({"properties": {"a": None, "b": {"c": 9}}}, {"properties": {"b": {"c": 9, "d": 3}}}),
        ({"properties": {}}, {}),
        ({"value": None}, {}),
        ({"value": {"a": 1}}, {"value": {"a": 1}}),
        ({"spec": {"options": {"b": 2}}}, {"spec": {**STORED["spec"], "options": {"a": 1, "b": 2}}}),
        ({"secret": "s2"}, {"secret": "s2"}),
        ({"disks": [{"id": "two", "device": "x"}]}, {"disks": [{"id": "two"}]}),
    ],
)
def test_without_a_mask_what_is_populated_changes(update: dict[str, Any], expected: dict[str, Any]) -> None:
    assert merged(update) == expected
    stored, sent = thing(**STORED), thing(**update)
    assert merge(stored, sent, FieldMask()) == merge(stored, sent, None)


@pytest.mark.parametrize(
    ("update", "paths", "expected"),
    [
        ({"title": "new", "size": 9}, ["title"], {"title": "new"}),
        ({}, ["title", "size", "ttl", "labels", "tags"], dict.fromkeys(["title", "size", "ttl", "labels", "tags"])),
        (
            {"spec": {"count": 7}},
            ["spec.image", "spec.count"],
            {"spec": {**STORED["spec"], "image": None, "count": "7"}},
        ),
        ({}, ["spec.count"], {"spec": {**STORED["spec"], "count": None}}),
        ({"spec": {"image": "i"}}, ["spec"], {"spec": {"image": "i", "zone": "z1", "host": "h1"}}),
        ({}, ["spec"], {"spec": None}),
        ({}, ["child.title", "large.size"], {}),
        ({"child": {"title": "t"}}, ["child.title"], {"child": {"title": "t"}}),
        ({"large": {"size": 1}}, ["large.size"], {"large": {"size": "1"}, "small": None}),
        ({"properties": {"a": None}}, ["properties"], {"properties": {"b": {"c": 2, "d": 3}}}),
        ({"properties": {"b": None, "z": {"n": None}}}, ["properties"], {"properties": {"a": 1, "z": {}}}),
        ({"properties": {"b": 5}}, ["properties"], {"properties": {"a": 1, "b": 5}}),
        ({"properties": {}}, ["properties"], {}),
        ({}, ["properties"], {"properties": None}),
        ({"spec": {"options": {"b": 2}}}, ["spec.options"], {"spec": {**STORED["spec"], "options": {"a": 1, "b": 2}}}),
        (
            {"spec": {"options": {"b": None}}},
            ["spec"],
            {"spec": {"zone": "z1", "host": "h1", "options": {"b": None}}},
        ),
        (
            {"spec": {"disk": {"size": 1}}},
            ["spec.disk"],
            {"spec": {**STORED["spec"], "disk": {"size": "1", "device": "sda"}}},
        ),
        (
            {"mounts": {"/": {"size": 8}}},
            ["mounts"],
            {"mounts": {"/": {"size": "8", "device": "sda", "format": "ext4"}}},
        ),
        (
            {"disks": [{"id": "two", "device": "x", "format": "f"}]},
            ["disks"],
            {"disks": [{"id": "two", "format": "f"}]},
        ),
        ({"uid": "u2", "outputs": {"a": 1}, "etag": "x", "title": "t"}, ["uid", "outputs", "etag"], {}),
        ({"spec": {"host": "h2"}}, ["spec.host", "create_time"], {}),
        ({"title": "t"}, ["title", "title", "name", "type"][:2], {"title": "t"}),
    ],
)
def test_paths_say_what_changes(update: dict[str, Any], paths: list[str], expected: dict[str, Any]) -> None:
    def dropped(value: Any) -> Any:
        return (
            {key: item for key, item in value.items() if item is not None or key == "b"}
            if isinstance(value, dict)
            else value
        )

    assert merged(update, *paths) == {key: dropped(value) for key, value in expected.items()}


def test_a_star_replaces_everything_but_what_is_not_the_callers() -> None:
    update = {
        "title": "new",
        "uid": "u2",
        "properties": {"n": None},
        "mounts": {"/": {"id": "r"}, "/new": {"device": "x"}},
    }
    result = merge(thing(**STORED), thing(**update), FieldMask(paths=["*"]))
    assert shown(result) == {
        **{key: STORED[key] for key in ("name", "uid", "create_time", "etag", "type", "outputs", "origin")},
        "title": "new",
        "properties": {"n": None},
        "mounts": {"/": {"id": "r", "device": "sda", "format": "ext4"}, "/new": {}},
    }


@pytest.mark.parametrize(
    ("update", "paths", "field"),
    [
        ({"name": "things/b"}, [], "name"),
        ({"name": "things/b"}, ["name"], "name"),
        ({"name": "things/b"}, ["*"], "name"),
        ({}, ["name"], "name"),
        ({"type": "bag"}, [], "type"),
        ({}, ["type"], "type"),
        ({"spec": {"zone": "z2"}}, [], "spec.zone"),
        ({"spec": {"zone": "z2"}}, ["spec"], "spec.zone"),
        ({"spec": {"zone": "z2"}}, ["*"], "spec.zone"),
        ({}, ["spec.zone"], "spec.zone"),
        ({"origin": {"count": 1}}, [], "origin"),
        ({"origin": {"image": "j"}}, ["origin.image"], "origin"),
        ({}, ["origin"], "origin"),
        ({"mounts": {"/": {"format": "xfs"}}}, ["mounts"], "mounts./.format"),
        ({"mounts": {"/tmp": {"format": "xfs"}}}, ["mounts"], "mounts./tmp.format"),
    ],
)
def test_what_cannot_change_does_not(update: dict[str, Any], paths: list[str], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        merge(thing(**STORED), thing(**update), FieldMask(paths=paths))
    error = caught.value
    assert (error.code, error.reason, error.metadata) == (Code.INVALID_ARGUMENT, "FIELD_IMMUTABLE", {"field": field})
    assert [violation.field for violation in error.violations] == [field]


@pytest.mark.parametrize("paths", [[], ["*"], ["spec.zone"]])
def test_paths_of_errors_begin_where_the_resource_stands(paths: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        merge(thing(**STORED), thing(name="a", spec={"zone": "z2"}), FieldMask(paths=paths), below="thing")
    assert caught.value.metadata == {"field": caught.value.violations[0].field}
    assert caught.value.metadata["field"].startswith("thing.")


def test_all_fields_stand_alone() -> None:
    with pytest.raises(Invalid) as caught:
        merge(thing(), thing(), FieldMask(paths=["title", "*"]))
    alone = caught.value
    with pytest.raises(Invalid) as caught:
        merge(thing(), thing(), FieldMask(paths=["title", "?"]))
    assert alone.metadata["path"] == "*" and alone.message != caught.value.message.replace("?", "*")


@pytest.mark.parametrize("paths", [[], ["*"], ["name", "type", "origin", "spec", "small", "mounts"], ["spec.zone"]])
def test_the_same_value_is_no_change(paths: list[str]) -> None:
    stored = thing(**STORED)
    assert merge(stored, stored, FieldMask(paths=paths)) == stored


@pytest.mark.parametrize(
    "path",
    [
        "colour",
        "",
        ".",
        "spec.",
        "spec.colour",
        "title.x",
        "properties.a",
        "spec.options.a",
        "value.struct_value",
        "tags.env",
        "labels.0",
        "disks.id",
        "mounts.value",
        "ttl.seconds",
        "create_time.seconds",
        "spec.*",
        "Title",
        "uid.x",
        "x" * 5000,
    ],
)
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    for paths in ([path], ["title", path], ["*", path]):
        with pytest.raises(Invalid) as caught:
            merge(thing(**STORED), thing(title="t"), FieldMask(paths=paths))
        error = caught.value
        assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "UPDATE_MASK_INVALID")
        assert error.metadata["field"] == "update_mask"
        named = "*" if paths[0] == "*" else path
        assert error.metadata["path"] == named or (len(path) > 80 and named.startswith(error.metadata["path"][:80]))
        assert len(error.message) < 300


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text("ab", max_size=2)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


def rfc_7396(target: Any, patch: Any) -> Any:
    """The pseudo-code of the RFC."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = rfc_7396(target.get(name), value)
    return target


@given(stored=OBJECTS, patch=OBJECTS)
@settings(max_examples=400)
def test_an_object_merges_as_the_rfc_says(stored: dict[str, Any], patch: dict[str, Any]) -> None:
    result = merge(thing(properties=stored), thing(properties=patch), FieldMask(paths=["properties"]))
    assert MessageToDict(result.properties) == rfc_7396(stored, patch)
    replaced = merge(thing(properties=stored), thing(properties=patch), FieldMask(paths=["*"]))
    assert MessageToDict(replaced.properties) == patch


@given(stored=JSON, patch=JSON)
@settings(max_examples=400)
def test_any_value_merges_as_the_rfc_says(stored: Any, patch: Any) -> None:
    def holding(value: Any) -> Any:
        return Thing(value=ParseDict(value, struct_pb2.Value()))

    result = merge(holding(stored), holding(patch), FieldMask(paths=["value"]))
    assert MessageToDict(result.value) == rfc_7396(stored, patch)


def test_output_only_fields_are_cleared_at_every_depth() -> None:
    message = thing(**STORED, child={"uid": "u", "title": "t", "child": {"spec": {"host": "h", "image": "i"}}})
    clear_output_only(message)
    assert not {"uid", "create_time", "outputs"} & shown(message).keys()
    assert shown(message)["child"] == {"title": "t", "child": {"spec": {"image": "i"}}}
    assert shown(message)["spec"] == {
        key: value for key, value in STORED["spec"].items() if key not in ("host", "disk")
    } | {"disk": {"id": "d"}}
    assert shown(message)["mounts"] == {"/": {"id": "root", "format": "ext4"}, "/tmp": {"id": "tmp"}}
    assert shown(message)["disks"] == [{"id": "one"}]
    assert message.etag == '"1"'


def test_changes_are_listed_by_path() -> None:
    after = {
        **STORED,
        "uid": "u2",
        "etag": '"2"',
        "outputs": {},
        "title": "new",
        "size": 0,
        "ttl": "3s",
        "properties": {"a": 1, "b": {"c": 5}, "e f": [1], 'q"\\': None, "empty": {}},
        "labels": ["x"],
        "tags": {"app.io/name": "n"},
        "spec": {"image": "old", "host": "h2", "zone": "z1", "options": {"a": 2}},
        "mounts": {"/": {"id": "root", "device": "other", "format": "ext4"}},
        "mode": "MODE_UNSPECIFIED",
    }
    assert changes(thing(**STORED), thing(**after)) == [
        FieldDiff("labels", ["x", "y"], ["x"]),
        FieldDiff("mode", "MODE_FAST", None),
        FieldDiff('mounts."/tmp"', {"id": "tmp"}, None),
        FieldDiff('properties."e f"', None, [1.0]),
        FieldDiff("properties.b.c", 2.0, 5.0),
        FieldDiff("properties.b.d", 3.0, None),
        FieldDiff("properties.empty", None, {}),
        FieldDiff("size", "5", "0"),
        FieldDiff("spec.count", "2", None),
        FieldDiff("spec.disk.id", "d", None),
        FieldDiff("spec.options.a", 1.0, 2.0),
        FieldDiff('tags."app.io/name"', None, "n"),
        FieldDiff("tags.env", "prod", None),
        FieldDiff("title", "old", "new"),
        FieldDiff("ttl", "10.500s", "3s"),
    ]


def test_a_new_resource_is_all_changes() -> None:
    after = thing(
        name="things/a", uid="u", etag="e", spec={}, properties={"k": {'q"\\': True}}, value=[1], origin={"host": "h"}
    )
    assert changes(None, after) == [
        FieldDiff("name", None, "things/a"),
        FieldDiff('properties.k."q\\"\\\\"', None, True),
        FieldDiff("spec", None, {}),
        FieldDiff("value", None, [1.0]),
    ]
    assert changes(after, after) == []


def test_changes_do_not_tell_secrets() -> None:
    before = thing(secret="s1", disks=[{"id": "a", "key": "k1"}], mounts={"/": {"key": "k1"}})
    after = thing(secret="s2", disks=[{"id": "a", "key": "k2"}], mounts={"/": {"key": "k2", "size": 1}})
    assert changes(before, after) == [
        FieldDiff("disks", [{"id": "a"}], [{"id": "a"}]),
        FieldDiff('mounts."/"', {}, {"size": "1"}),
        FieldDiff("secret", None, None),
    ]


def test_the_contract_of_caches() -> None:
    stored = cache_pb2.Cache(name="caches/a", uid="u", etag="e", metadata_backend="sqlite", max_bytes=5, sliding=True)
    stored.default_ttl.seconds = 60
    update = cache_pb2.Cache(name="caches/a", uid="other", etag="e", max_bytes=0)
    result = merge(stored, update, None)
    assert (result.uid, result.max_bytes, result.HasField("max_bytes"), result.sliding) == ("u", 0, True, True)
    assert changes(stored, result) == [FieldDiff("max_bytes", "5", "0")]
    whole = merge(stored, update, FieldMask(paths=["*"]))
    assert (whole.metadata_backend, whole.sliding, whole.HasField("default_ttl")) == ("sqlite", False, False)
    update.metadata_backend = "redis"
    with pytest.raises(Invalid) as caught:
        merge(stored, update, FieldMask(paths=["*"]))
    assert caught.value.metadata == {"field": "metadata_backend"}
    request = cache_pb2.UpdateCacheRequest(cache=stored)
    clear_output_only(request)
    assert (request.cache.uid, request.cache.name) == ("", "caches/a")


def test_the_contract_of_providers() -> None:
    stored = ParseDict({"name": "providers/p", "config": {"region": "a", "timeout": 30}}, provider_pb2.Provider())
    update = ParseDict({"config": {"region": "b", "timeout": None}}, provider_pb2.Provider())
    result = merge(stored, update, FieldMask(paths=["config"]))
    assert MessageToDict(result.config) == {"region": "b"}
    assert changes(stored, result) == [
        FieldDiff("config.region", "a", "b"),
        FieldDiff("config.timeout", 30.0, None),
    ]
    with pytest.raises(Invalid) as caught:
        merge(stored, update, FieldMask(paths=["config.region"]))
    assert caught.value.metadata["path"] == "config.region"
