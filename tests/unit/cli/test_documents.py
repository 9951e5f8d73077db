from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from sutler.cli import documents
from sutler.cli.documents import Document
from sutler.cli.screen import Misused
from sutler.errors import Invalid
from sutler.resource.v1 import resource_pb2
from sutler.rule.v1 import rule_pb2

RULE = "kind: sutler.rule.v1.Rule\nname: rules/a\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "docs"


def read(folder: Path, text: str | bytes, name: str = "a.yaml") -> list[Document]:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return documents.read(folder / name)


def problems(folder: Path, text: str | bytes) -> list[tuple[str, str]]:
    """Returns where and what the problems of a file are."""
    with pytest.raises(Invalid) as caught:
        read(folder, text)
    prefix = str(folder / "a.yaml")
    return [(v.field.removeprefix(prefix).lstrip(":"), v.description) for v in caught.value.violations]


def places(folder: Path, text: str | bytes) -> list[str]:
    return [place for place, _ in problems(folder, text)]


class TestReading:
    def test_fields_of_every_shape(self, folder: Path) -> None:
        text = (
            RULE
            + """
display_name: 'A rule: the first'
"on": [order.confirmed, "order.*"]
when:
  - size(payload.values) == 1
enabled: true
priority: 7
retry: {initial_backoff: 0.2s, max_backoff: 2s}
actions:
  - id: set
    set_property: {property: at, value: {deep: [1, 2.5, null, yes, 2026-01-01, 2026-01-02T03:04:05Z, "x"]}}
  - id: call
    callMethod:
      method: a.B/C
      request: {resource_id: "${payload.id}"}
"""
        )
        (document,) = read(folder, text)
        rule = document.message
        assert isinstance(rule, rule_pb2.Rule)
        assert (document.name, document.kind.name, rule.name) == ("rules/a", "sutler.rule.v1.Rule", "rules/a")
        assert (list(rule.on), rule.priority, rule.enabled) == (["order.confirmed", "order.*"], 7, True)
        assert rule.retry.initial_backoff.ToMilliseconds() == 200
        assert [action.WhichOneof("action") for action in rule.actions] == ["set_property", "call_method"]
        deep = MessageToDict(rule.actions[0].set_property.value)["deep"]
        assert deep == [1, 2.5, None, "yes", "2026-01-01", "2026-01-02T03:04:05+00:00", "x"]

    def test_times_durations_enums_and_maps(self, folder: Path) -> None:
        (document,) = read(
            folder,
            """
kind: sutler.resource.v1.Resource
name: subscriptions/s
type: Sutler.Resource/subscriptions
lock: LOCK_READ_ONLY
expire_time: 2027-01-02T03:04:05Z
tags: {team: platform, "app.io/name": "é"}
properties: {when: 2027-01-02 03:04:05+02:00, size: 10}
""",
        )
        found = document.message
        assert isinstance(found, resource_pb2.Resource)
        assert found.expire_time.ToJsonString() == "2027-01-02T03:04:05Z"
        assert found.lock == resource_pb2.Resource.LOCK_READ_ONLY
        assert dict(found.tags) == {"team": "platform", "app.io/name": "é"}
        assert found.properties["size"] == 10

    def test_several_documents_and_files(self, folder: Path) -> None:
        read(folder, RULE + "---\n---\n" + RULE.replace("/a", "/b"), "2.yaml")
        read(folder, RULE.replace("/a", "/c"), "1.yml")
        (folder / "readme.txt").write_text("not: yaml: at: all")
        (folder / "deep").mkdir()
        read(folder / "deep", RULE.replace("/a", "/d"), "3.yaml")
        assert [document.name for document in documents.read(folder)] == ["rules/c", "rules/a", "rules/b", "rules/d"]

    def test_place(self, folder: Path) -> None:
        found = read(folder, RULE + "---\n# a comment\n" + RULE.replace("/a", "/b"))
        assert [document.place for document in found] == [f"{folder}/a.yaml:1", f"{folder}/a.yaml:5"]

    def test_nothing_there(self, folder: Path) -> None:
        folder.mkdir()
        with pytest.raises(Invalid):
            documents.read(folder / "none.yaml")
        with pytest.raises(Misused):
            documents.read(folder)
        with pytest.raises(Misused):
            read(folder, "---\n")

    def test_what_only_the_server_sets_is_left_out(self, folder: Path) -> None:
        (document,) = read(folder, RULE + "createTime: 2026-01-02T03:04:05Z\nuid: x\n")
        assert document.message == rule_pb2.Rule(name="rules/a")


class TestProblems:
    def test_unknown_field(self, folder: Path) -> None:
        ((place, text),) = problems(folder, RULE + "colour: red\n")
        assert place == "3:1"
        assert "'colour'" in text and "display_name" in text and "create_time" not in text

    def test_field_that_may_be_meant(self, folder: Path) -> None:
        ((_, text),) = problems(folder, RULE + "display_nam: x\n")
        assert "did you mean display_name?" in text

    @pytest.mark.parametrize(
        ("field", "words"),
        [
            ('"on": order.confirmed', "a list; each text"),
            ("priority: high", "a whole number"),
            ("priority: 99999999999", "32 bits"),
            ("enabled: 7", "true or false"),
            ("display_name: 7", "text"),
            ("timeout: 7", "such as 1.5s"),
            ("retry: 7", "a mapping with"),
            ("actions: {id: a}", "a list; each a mapping with"),
        ],
    )
    def test_what_a_field_takes(self, folder: Path, field: str, words: str) -> None:
        ((place, text),) = problems(folder, RULE + field + "\n")
        assert place == "3:1"
        assert " must be " in text and words in text

    def test_unknown_field_deep_inside(self, folder: Path) -> None:
        text = RULE + "actions:\n  - id: a\n    set_property:\n      property: x\n      colour: red\n"
        assert places(folder, text) == ["7:7"]

    def test_wrong_types(self, folder: Path) -> None:
        text = RULE + (
            "priority: high\n"
            "enabled: maybe\n"
            "retry: {max_backoff: soon}\n"
            "actions:\n"
            "  - id: 7\n"
            "  - just text\n"
            "display_name: [a]\n"
        )
        assert places(folder, text) == ["3:1", "4:1", "5:9", "6:1", "9:1"]

    def test_unknown_enum_value(self, folder: Path) -> None:
        text = "kind: sutler.resource.v1.Resource\nname: subscriptions/s\nlock: TIGHT\n"
        ((place, told),) = problems(folder, text)
        assert place == "3:1"
        assert "LOCK_READ_ONLY" in told and "UNSPECIFIED" not in told

    @pytest.mark.parametrize(
        ("field", "words"), [("expire_time: 7", "a time"), ("tags: [a]", "a mapping; each value text")]
    )
    def test_what_a_field_of_a_resource_takes(self, folder: Path, field: str, words: str) -> None:
        ((_, text),) = problems(folder, f"kind: sutler.resource.v1.Resource\nname: subscriptions/s\n{field}\n")
        assert words in text

    def test_all_at_once_over_all_documents(self, folder: Path) -> None:
        text = (
            RULE
            + "colour: red\npriority: high\n---\nname: x\n---\nkind: sutler.rule.v1.Event\nname: events/a\n---\n- 1\n"
        )
        assert places(folder, text) == ["3:1", "4:1", "6:1", "8:1", "11:1"]

    def test_missing_kind_and_name(self, folder: Path) -> None:
        found = problems(folder, "display_name: x\n")
        assert [text.split()[0] for _, text in found] == ["kind", "name"]

    @pytest.mark.parametrize("name", ["7", "[a]", "null"])
    def test_name_that_is_no_text(self, folder: Path, name: str) -> None:
        assert places(folder, f"kind: sutler.rule.v1.Rule\nname: {name}\n") == ["1:1"]

    def test_unknown_kind_tells_the_known_ones(self, folder: Path) -> None:
        ((place, text),) = problems(folder, "kind: Rule\nname: rules/a\n")
        assert place == "1:1"
        assert "sutler.rule.v1.Rule" in text

    def test_what_excludes_each_other(self, folder: Path) -> None:
        """Protobuf would keep the last one and say nothing."""
        text = RULE + "actions:\n  - id: a\n    delay: {duration: 1s}\n    set_property: {property: x}\n"
        assert places(folder, text) == ["6:5"]

    def test_one_field_in_two_spellings(self, folder: Path) -> None:
        assert places(folder, RULE + "display_name: a\ndisplayName: b\n") == ["4:1"]

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("kind: [", "1:8"),
            ("a: b: c", "1:5"),
            ("a: 1\na: 2", "2:1"),
            ("\tkind: x", "1:1"),
            ("kind: x\n  name: y", "2:7"),
            (b"kind: \xff\xfe", ""),
            ("kind: \x01", ""),
        ],
    )
    def test_no_yaml(self, folder: Path, text: str | bytes, place: str) -> None:
        assert places(folder, text) == [place]

    def test_merged_keys_have_the_place_of_their_mapping(self, folder: Path) -> None:
        text = RULE + "actions:\n  - &base {id: a, colour: red}\n  - {<<: *base, id: b}\n"
        assert places(folder, text)[0] == "4:19"
        assert len(places(folder, text)) == 2


class TestOrder:
    def order(self, folder: Path, text: str) -> list[str]:
        return [document.name for document in read(folder, text)]

    def test_what_is_referred_to_comes_first(self, folder: Path) -> None:
        text = """
kind: sutler.provider.v1.Template
name: templates/small
provider: providers/local
---
kind: sutler.provider.v1.Provider
name: providers/local
type: process
"""
        assert self.order(folder, text) == ["providers/local", "templates/small"]

    def test_parents_come_first(self, folder: Path) -> None:
        text = """
kind: sutler.erp.v1.Subscription
name: connections/main/subscriptions/orders
---
kind: sutler.erp.v1.Connection
name: connections/main
"""
        assert self.order(folder, text) == ["connections/main", "connections/main/subscriptions/orders"]

    def test_types_come_before_their_resources(self, folder: Path) -> None:
        text = """
kind: sutler.resource.v1.Resource
name: subscriptions/s/providers/Custom.Org/servers/x
type: Custom.Org/servers
---
kind: sutler.resource.v1.ResourceType
name: resourceTypes/Custom.Org.servers
"""
        assert self.order(folder, text)[0] == "resourceTypes/Custom.Org.servers"

    def test_names_inside_of_open_data_and_lists(self, folder: Path) -> None:
        text = RULE + (
            "actions:\n"
            "  - call_method: {method: a.B/C, request: {deep: [{template: templates/small}]}}\n"
            "---\nkind: sutler.provider.v1.Template\nname: templates/small\n"
        )
        assert self.order(folder, text) == ["templates/small", "rules/a"]

    def test_else_as_they_were_written(self, folder: Path) -> None:
        text = "---\n".join(RULE.replace("/a", f"/{name}") for name in "cab")
        assert self.order(folder, text) == ["rules/c", "rules/a", "rules/b"]

    def test_a_circle_is_refused(self, folder: Path) -> None:
        text = (
            (RULE + "description: rules/b\n---\n" + RULE.replace("/a", "/b") + "description: rules/c\n---\n")
            + RULE.replace("/a", "/c")
            + "description: rules/a\n"
        )
        with pytest.raises(Invalid) as caught:
            read(folder, text)
        assert "rules/a → rules/b → rules/c → rules/a" in caught.value.violations[0].description

    def test_itself_is_no_circle(self, folder: Path) -> None:
        assert self.order(folder, RULE + "description: rules/a\n") == ["rules/a"]

    def test_a_name_that_stands_twice(self, folder: Path) -> None:
        for name in ("a.yaml", "b.yaml"):
            read(folder, RULE, name)
        with pytest.raises(Invalid) as caught:
            documents.read(folder)
        assert [violation.field for violation in caught.value.violations] == ["rules/a"]
