from __future__ import annotations

from typing import Any

import jsonschema_rs
import pydantic
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct, Value
from sutler.cache.v1 import cache_pb2
from sutler.errors import Invalid, Violation
from sutler.open_data import too_deep
from sutler.provider.v1 import provider_pb2
from sutler.resource.v1 import resource_pb2
from sutler.rule.v1 import rule_pb2
from sutler.validation import (
    MAX_OPEN_BYTES,
    MAX_OPEN_DEPTH,
    MAX_VIOLATIONS,
    from_json_schema,
    from_pydantic,
    path,
    validate_message,
    validate_open_data,
)
from sutler.wire import to_struct, to_value


def fields(error: pytest.ExceptionInfo[Invalid]) -> list[str]:
    return [violation.field for violation in error.value.violations]


class TestContractRules:
    def test_a_message_that_keeps_them(self) -> None:
        validate_message(cache_pb2.GetCacheRequest(name="caches/a"))

    def test_every_broken_rule_at_its_path(self) -> None:
        request = rule_pb2.CreateRuleRequest(
            rule_id="0",
            rule=rule_pb2.Rule(name="rules/a", on=["a.b", "b c"]),
            request_id="none",
        )
        with pytest.raises(Invalid) as caught:
            validate_message(request)
        assert {"rule_id", "request_id", "rule.on[1]"} <= set(fields(caught))
        assert caught.value.reason == "FIELD_INVALID"
        assert caught.value.metadata["field"] == fields(caught)[0]
        for violation in caught.value.violations:
            assert violation.description
            assert violation.reason.isupper() and "." not in violation.reason

    def test_in_messages_in_lists(self) -> None:
        rule = rule_pb2.Rule(name="rules/a", on=["a"], actions=[rule_pb2.Action(), rule_pb2.Action(id="0 bad")])
        with pytest.raises(Invalid) as caught:
            validate_message(rule)
        assert "actions[1].id" in fields(caught)

    def test_in_keys_and_values_of_maps(self) -> None:
        event = rule_pb2.EventDraft(extensions={"É": "x", "long": "y" * 5000})
        with pytest.raises(Invalid) as caught:
            validate_message(event)
        assert {'extensions["É"]', 'extensions["long"]'} <= set(fields(caught))

    def test_cross_field_rules(self) -> None:
        twice = [resource_pb2.TypeVersion(version="v1"), resource_pb2.TypeVersion(version="v1")]
        with pytest.raises(Invalid) as caught:
            validate_message(resource_pb2.ResourceType(versions=twice))
        told = {violation.reason: violation for violation in caught.value.violations}
        assert told["RESOURCE_TYPE_VERSIONS_UNIQUE"].field == "versions"
        assert "v1" in told["RESOURCE_TYPE_VERSIONS_UNIQUE"].description

    def test_rules_across_a_list_do_not_run_where_it_is_too_long(self) -> None:
        versions = [resource_pb2.TypeVersion(version=f"v{number}") for number in range(20_000)]
        members = [resource_pb2.StackMember(id=f"m{number}") for number in range(20_000)]
        for message, field in (
            (resource_pb2.ResourceType(versions=versions, default_version="x"), "versions"),
            (resource_pb2.Stack(members=members), "members"),
        ):
            with pytest.raises(Invalid) as caught:
                validate_message(message)
            assert ("REPEATED_MAX_ITEMS", field) in {(v.reason, v.field) for v in caught.value.violations}

    @pytest.mark.parametrize(
        ("message", "field", "reason"),
        [
            (resource_pb2.GetResourceRequest(), "name", "REQUIRED"),
            (resource_pb2.CreateResourceRequest(resource=resource_pb2.Resource()), "resource_id", "REQUIRED"),
            (resource_pb2.CreateResourceRequest(resource_id="a"), "resource", "REQUIRED"),
            (resource_pb2.PolicyRule(id="a", condition="true"), "effect", "REQUIRED"),
            (resource_pb2.BatchGetResourcesRequest(names=[""]), "names[0]", "REQUIRED"),
            (resource_pb2.GetResourceRequest(name="/a/b"), "name", "STRING_PATTERN"),
        ],
    )
    def test_what_is_missing_is_not_called_wrong(self, message: Message, field: str, reason: str) -> None:
        with pytest.raises(Invalid) as caught:
            validate_message(message)
        assert [v.reason for v in caught.value.violations if v.field == field] == [reason]

    def test_values_of_enums_have_names(self) -> None:
        scopes = resource_pb2.ResourceType(name="resourceTypes/A.B.c", allowed_scopes=[5], uniqueness_scopes=[0])
        with pytest.raises(Invalid) as caught:
            validate_message(scopes)
        told = {violation.field: violation.description for violation in caught.value.violations}
        assert "SCOPE_GLOBAL, SCOPE_MANAGEMENT_GROUP" in told["allowed_scopes[0]"]
        assert "SCOPE_UNSPECIFIED" in told["uniqueness_scopes[0]"]

    def test_at_most_100_are_listed(self) -> None:
        with pytest.raises(Invalid) as caught:
            validate_message(provider_pb2.StartMachinesRequest(names=["bad name"] * 150))
        assert len(caught.value.violations) == MAX_VIOLATIONS == 100


def _wrap(inner: Value, level: int) -> Value:
    if level % 2 == 0:
        return Value(list_value={"values": [Value(number_value=1), inner]})
    return Value(struct_value=Struct(fields={"in": inner}))


class TestOpenData:
    def resource(self, properties: Struct) -> resource_pb2.CreateResourceRequest:
        return resource_pb2.CreateResourceRequest(resource=resource_pb2.Resource(properties=properties))

    def problem(self, properties: Struct) -> Violation:
        with pytest.raises(Invalid) as caught:
            validate_open_data(self.resource(properties))
        (violation,) = caught.value.violations
        return violation

    def test_ordinary_data_pass(self) -> None:
        validate_open_data(self.resource(to_struct({"a": [1, {"b": None}], "ü": "\x01", "n": -1.5})))

    @pytest.mark.parametrize("depth", [0, 1, 2, 19])
    def test_the_nul_character_is_refused_at_every_depth(self, depth: int) -> None:
        inner = Struct(fields={"x": nested_value(depth, Value(string_value="a\0b"))})
        where = "resource.properties.x" + "".join(".in" if level % 2 else "[1]" for level in reversed(range(depth)))
        assert self.problem(inner) == Violation(where, "holds the character U+0000", "NUL_CHARACTER")

    def test_also_in_a_key(self) -> None:
        problem = self.problem(to_struct({"a": {"b\0": 1}}))
        assert (problem.field, problem.reason) == ("resource.properties.a", "NUL_CHARACTER")

    def test_keys_are_told_in_part_if_they_are_long_and_without_what_nobody_can_read(self) -> None:
        assert len(self.problem(to_struct({"a" * 5000: "\0"})).field) < 250
        with pytest.raises(Invalid) as caught:
            validate_open_data(self.resource(to_struct({"b\0": "\0"})))
        assert fields(caught) == ["resource.properties", r"resource.properties.b\u0000"]

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
    def test_numbers_that_json_does_not_know(self, number: float) -> None:
        assert self.problem(to_struct({"a": [number]})).reason == "NUMBER_NOT_FINITE"

    def test_one_violation_for_each_place_up_to_100(self) -> None:
        with pytest.raises(Invalid) as caught:
            validate_open_data(self.resource(to_struct({"a": float("nan"), "b": ["\0", 1, "\0"]})))
        told = {
            (violation.field.removeprefix("resource.properties."), violation.reason)
            for violation in caught.value.violations
        }
        assert told == {("a", "NUMBER_NOT_FINITE"), ("b[0]", "NUL_CHARACTER"), ("b[2]", "NUL_CHARACTER")}
        with pytest.raises(Invalid) as caught:
            validate_open_data(self.resource(to_struct({"a": ["\0"] * 500, "b": ["\0"] * 500})))
        assert len(caught.value.violations) == MAX_VIOLATIONS

    def test_more_than_20_levels_are_refused(self) -> None:
        deepest = Struct(fields={"x": nested_value(MAX_OPEN_DEPTH - 1, Value(bool_value=True))})
        validate_open_data(self.resource(deepest))
        deeper = Struct(fields={"x": nested_value(MAX_OPEN_DEPTH, Value(bool_value=True))})
        assert self.problem(deeper).reason == "TOO_DEEP"
        assert self.problem(to_struct({"y": deep_object(MAX_OPEN_DEPTH)})).reason == "TOO_DEEP"

    @pytest.mark.parametrize("innermost", [{}, [], {"a": 1}, [1]])
    @pytest.mark.parametrize("levels", [MAX_OPEN_DEPTH - 1, MAX_OPEN_DEPTH])
    def test_data_made_inside_have_the_same_limit(self, innermost: Any, levels: int) -> None:
        data = innermost
        for _ in range(levels):
            data = {"x": data}
        try:
            validate_open_data(self.resource(to_struct(data)))
        except Invalid:
            assert too_deep(data)
        else:
            assert not too_deep(data)

    def test_more_than_1_mib_is_refused(self) -> None:
        fits = Struct(fields={"a": Value(string_value="")})
        fits.fields["a"].string_value = "x" * (MAX_OPEN_BYTES - fits.ByteSize() - 20)
        assert fits.ByteSize() <= MAX_OPEN_BYTES
        validate_open_data(self.resource(fits))
        fits.fields["a"].string_value += "x" * 100
        assert self.problem(fits).reason == "TOO_LARGE"

    def test_fields_in_lists_and_maps_have_their_paths(self) -> None:
        bad, row = to_value("\0"), {"data": {"string_value": "\0"}}
        rule = rule_pb2.Rule(actions=[rule_pb2.Action(), rule_pb2.Action()])
        rule.actions[1].set_property.value.CopyFrom(bad)
        with pytest.raises(Invalid) as caught:
            validate_open_data(rule)
        assert fields(caught) == ["actions[1].set_property.value"]
        holder = Holder(rows={7: Row(**row)}, list=[Row(), Row(**row)])
        holder.values['a "b"'].CopyFrom(bad)
        holder.values["fine"].CopyFrom(to_value(1))
        with pytest.raises(Invalid) as caught:
            validate_open_data(holder)
        assert sorted(fields(caught)) == ["list[1].data", "rows[7].data", r'values["a \"b\""]']

    def test_rows_with_their_own_result_are_left_to_the_rpc(self) -> None:
        event = rule_pb2.Event(data=to_value("\0"))
        validate_open_data(rule_pb2.BatchPublishEventsRequest(events=[event]))

    def test_at_most_100_are_listed(self) -> None:
        bad = to_value("\0")
        with pytest.raises(Invalid) as caught:
            validate_open_data(Holder(list=[Row(data=bad)] * 150))
        assert len(caught.value.violations) == MAX_VIOLATIONS


def deep_object(depth: int) -> dict[str, Any]:
    return {"x": deep_object(depth - 1) if depth > 1 else 1}


def nested_value(depth: int, inner: Value) -> Value:
    for level in range(depth):
        inner = _wrap(inner, level)
    return inner


def _holder() -> tuple[Any, Any]:
    """Returns messages with open data in lists and maps, which no contract has so far."""
    file = FileDescriptorProto(name="validation_test.proto", package="validationtest", syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    row, holder = file.message_type.add(name="Row"), file.message_type.add(name="Holder")
    row.field.add(name="data", number=1, type=11, type_name=".google.protobuf.Value", label=1)
    holder.field.add(name="list", number=1, type=11, type_name=".validationtest.Row", label=3)
    maps = (("values", "ValuesEntry", 9, ".google.protobuf.Value"), ("rows", "RowsEntry", 5, ".validationtest.Row"))
    for number, (name, entry, key, value) in enumerate(maps, 2):
        pair = holder.nested_type.add(name=entry)
        pair.options.map_entry = True
        pair.field.add(name="key", number=1, type=key, label=1)
        pair.field.add(name="value", number=2, type=11, type_name=value, label=1)
        holder.field.add(name=name, number=number, type=11, type_name=f".validationtest.Holder.{entry}", label=3)
    pool = Default()
    pool.AddSerializedFile(file.SerializeToString())
    return tuple(GetMessageClass(pool.FindMessageTypeByName(f"validationtest.{name}")) for name in ("Holder", "Row"))


Holder, Row = _holder()


class Disk(pydantic.BaseModel):
    size: int = pydantic.Field(ge=1)
    tags: dict[str, int] = {}


class Machine(pydantic.BaseModel):
    name: str
    disks: list[Disk]


SCHEMA = {
    "type": "object",
    "required": ["name", "disks"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "disks": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "minimum": 1},
                    "tags": {"type": "object", "additionalProperties": {"type": "integer"}},
                },
            },
        },
    },
}


def by_pydantic(value: object) -> list[Violation]:
    try:
        Machine.model_validate(value)
    except pydantic.ValidationError as error:
        return from_pydantic(error, ["properties"])
    return []


def by_json_schema(value: object) -> list[Violation]:
    validator = jsonschema_rs.Draft202012Validator(SCHEMA)
    return from_json_schema(validator.iter_errors(value), ["properties"])


@pytest.mark.parametrize("check", [by_pydantic, by_json_schema])
class TestSchemasOfOthers:
    def test_the_paths_are_the_same(self, check: type[list[Violation]]) -> None:
        value = {"disks": [{"size": 1}, {"size": 0}, {"tags": {"a": "x"}}]}
        assert {violation.field for violation in check(value)} == {
            "properties.name",
            "properties.disks[1].size",
            "properties.disks[2].size",
            "properties.disks[2].tags.a",
        }

    def test_at_most_100_are_listed(self, check: type[list[Violation]]) -> None:
        assert len(check({"name": "a", "disks": [{"size": 0}] * 150})) == MAX_VIOLATIONS

    def test_reasons_are_names_of_rules(self, check: type[list[Violation]]) -> None:
        for violation in check({"disks": 5}):
            assert violation.reason.replace("_", "").isalpha() and violation.reason.isupper()

    def test_what_is_right_has_none(self, check: type[list[Violation]]) -> None:
        assert check({"name": "a", "disks": [{"size": 1}]}) == []


class TestJsonSchema:
    def test_each_unexpected_property_has_its_own(self) -> None:
        found = by_json_schema({"name": "a", "disks": [], "x": 1, "y": 2})
        assert [(v.field, v.reason) for v in found] == [
            ("properties.x", "ADDITIONAL_PROPERTIES"),
            ("properties.y", "ADDITIONAL_PROPERTIES"),
        ]

    def test_a_long_value_is_not_told_in_full(self) -> None:
        (violation,) = by_json_schema({"name": "x" * 1_000_000, "disks": []})
        assert len(violation.description) < 300


def test_paths() -> None:
    assert path(["rule", "actions", 2, "delay"]) == "rule.actions[2].delay"
    assert path([]) == ""
    assert path([0, "a"]) == "[0].a"
