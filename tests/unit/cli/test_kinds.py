from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
from google.api import resource_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from sutler.cli import kinds, release
from sutler.cli.release import UNBUILT
from sutler.cli.watching import feeds
from sutler.client.connection import services
from sutler.contracts import modules
from sutler.errors import Invalid

ALL = {kind.name: kind for kind in kinds.kinds()}


def sample(pattern: str) -> str:
    """Returns a name that fits a pattern of a contract."""
    return re.sub(r"\{[a-z_]+(=\*\*)?\}", "x", pattern)


def test_every_resource_that_a_service_gets_or_lists_is_one() -> None:
    for module in modules():
        for service in module.DESCRIPTOR.services_by_name.values():
            for message in module.DESCRIPTOR.message_types_by_name.values():
                annotation = message.GetOptions().Extensions[resource_pb2.resource]
                if not annotation.type or f"Get{message.name}" not in service.methods_by_name:
                    continue
                kind = ALL[message.full_name]
                for pattern in annotation.pattern:
                    if pattern != "*":
                        assert kinds.of_resource(sample(pattern)) is kind, pattern


def test_every_collection_of_the_contracts_is_one() -> None:
    for kind in ALL.values():
        if "List" not in kind.methods:
            continue
        descriptor = kind.methods["List"].containing_service.file.message_types_by_name.get(
            kind.name.rpartition(".")[2]
        )
        patterns = descriptor.GetOptions().Extensions[resource_pb2.resource].pattern if descriptor else []
        for pattern in patterns:
            if pattern != "*":
                found = kinds.of_collection(sample(pattern).rpartition("/")[0])
                assert found.kind is kind, pattern
                kind.request("List", **found.fields)


@pytest.mark.parametrize(
    ("path", "kind", "fields"),
    [
        ("rules", "sutler.rule.v1.Rule", {}),
        ("rules/a/revisions", "sutler.rule.v1.RuleRevision", {"parent": "rules/a"}),
        ("connections/main/subscriptions", "sutler.erp.v1.Subscription", {"parent": "connections/main"}),
        ("subjects", "sutler.rule.v1.Subject", {}),
        ("ruleOperations", "google.longrunning.Operation", {"name": "ruleOperations"}),
        ("resourceRevisions", "sutler.resource.v1.ResourceRevision", {}),
        ("subscriptions/s/resourceRevisions", "sutler.resource.v1.ResourceRevision", {"parent": "subscriptions/s"}),
        ("drivers", "sutler.erp.v1.Driver", {}),
        ("resources", "sutler.resource.v1.Resource", {}),
        ("subscriptions/s/resources", "sutler.resource.v1.Resource", {"parent": "subscriptions/s"}),
        ("subscriptions", "sutler.resource.v1.Resource", {"type": "Sutler.Resource/subscriptions"}),
        (
            "subscriptions/s/resourceGroups",
            "sutler.resource.v1.Resource",
            {"parent": "subscriptions/s", "type": "Sutler.Resource/resourceGroups"},
        ),
        (
            "subscriptions/s/providers/Custom.Org/servers",
            "sutler.resource.v1.Resource",
            {"parent": "subscriptions/s", "type": "Custom.Org/servers"},
        ),
        (
            "subscriptions/s/providers/Custom.Org/servers/a/databases",
            "sutler.resource.v1.Resource",
            {"parent": "subscriptions/s/providers/Custom.Org/servers/a", "type": "Custom.Org/servers/databases"},
        ),
    ],
)
def test_collections(path: str, kind: str, fields: dict[str, str]) -> None:
    found = kinds.of_collection(path)
    assert (found.kind.name, dict(found.fields)) == (kind, fields)


@pytest.mark.parametrize("path", ["rules/a", "subjects/a", "subscriptions/s", "colours", "tasks", "", "/", "rules/"])
def test_what_is_no_collection(path: str) -> None:
    with pytest.raises(Invalid) as caught:
        kinds.of_collection(path)
    assert "machines" in caught.value.message


@pytest.mark.parametrize("name", ["rules", "colours/red", "", "rules/a/b"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(Invalid):
        kinds.of_resource(name)


def test_what_can_be_applied() -> None:
    usable = {name for name, kind in ALL.items() if {"Update", "Apply"} & set(kind.methods)}
    assert {"sutler.rule.v1.Rule", "sutler.resource.v1.Stack", "sutler.erp.v1.Connection"} <= usable
    for name in usable:
        kind = kinds.by_name(name)
        verb = "Update" if "Update" in kind.methods else "Apply"
        request = kind.request(verb, **{kind.field: kind.new()}, validate_only=True)
        assert request.DESCRIPTOR.name.startswith(verb)


@pytest.mark.parametrize("name", ["sutler.rule.v1.Event", "Rule", ""])
def test_what_cannot(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        kinds.by_name(name)
    assert "sutler.rule.v1.Rule" in caught.value.message


def test_a_method_that_a_kind_does_not_have() -> None:
    with pytest.raises(Invalid):
        ALL["sutler.rule.v1.Event"].request("Delete", name="events/a")


def test_feeds_follow_by_a_filter_alone() -> None:
    assert set(feeds()) == {"resources", "events", "subjects", "machines", "machineRequests"}
    for method in feeds().values():
        message_factory.GetMessageClass(method.input_type)(filter="", resume_token="")
        assert "resume_token" in method.output_type.fields_by_name


def test_what_this_release_does_not_offer_is_what_the_servicers_do_not_have() -> None:
    methods = [method for service in services().values() for method in service.methods]
    missing = {method.full_name for method in methods if not hasattr(servicer(method), method.name)}
    assert missing == UNBUILT, f"see {release.__file__}"


def servicer(method: MethodDescriptor) -> Any:
    """Returns the class that answers a method; ResourceService's is composed of several."""
    area = method.full_name.split(".")[1]
    module = importlib.import_module(f"services.{area}.servicer")
    return getattr(module, method.containing_service.name.removesuffix("Service") + "Servicer", None) or getattr(
        module, f"{method.containing_service.name}Servicer"
    )


def test_what_is_not_offered_is_not_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"machines", "stacks", "schedules", "priceTables"} <= set(kinds.collections())
    unbuilt = {f"sutler.provider.v1.ProviderService.{verb}" for verb in ("ListPriceTables", "UpdatePriceTable")}
    monkeypatch.setattr(kinds, "UNBUILT", unbuilt)
    assert "priceTables" not in kinds.collections()
    with pytest.raises(Invalid) as caught:
        kinds.by_name("PriceTabl")
    assert "PriceTable" not in caught.value.message


@pytest.mark.parametrize(("word", "meant"), [("Rule", "sutler.rule.v1.Rule"), ("sutler.cache.v1.Cashe", "v1.Cache")])
def test_kinds_that_may_be_meant(word: str, meant: str) -> None:
    with pytest.raises(Invalid) as caught:
        kinds.by_name(word)
    assert f"{meant}?" in caught.value.message
