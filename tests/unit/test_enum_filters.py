"""Enums in filters: every list of every service takes the names of the contract, with their prefix and without."""

from __future__ import annotations

import pytest
from sutler.errors import Invalid
from sutler.filtering import Kind, Schema, parse
from sutler.operations import servicer as operations
from sutler.resource.v1 import resource_pb2

from services.cache import backends, listing
from services.erp import filters
from services.provider import typelist
from services.provider.adapters.stored import schemas as provider
from services.resource.adapters import fields as resource
from services.rule.adapters.database import schemas as rule

MODULES = (operations, backends, listing, filters, typelist, provider, resource, rule)
ENUMS = [
    pytest.param(schema, path, id=f"{module.__name__}.{name}.{path}")
    for module in MODULES
    for name, schema in vars(module).items()
    if isinstance(schema, Schema)
    for path, field in schema.fields.items()
    if field.kind is Kind.ENUM
]


def test_every_service_has_some() -> None:
    for service in ("cache", "erp", "provider", "resource", "rule", "operations"):
        assert any(service in str(each.id) for each in ENUMS), service


@pytest.mark.parametrize(("schema", "path"), ENUMS)
def test_with_the_prefix_and_without(schema: Schema, path: str) -> None:
    names = list(schema.fields[path].values)
    for name in names:
        head, _, _ = name.partition("_")
        assert all(other.startswith(f"{head}_") for other in names), "the names of the contract have a prefix"
        whole = parse(f"{path} = {name}", schema)
        short = [name[at + 1 :] for at, sign in enumerate(name) if sign == "_" and _begin_all(names, name[: at + 1])]
        assert short
        for text in short:
            assert parse(f"{path} = {text}", schema).root == whole.root
    for wrong in ("NOTHING", f"X_{names[0]}", names[0].lower()):
        with pytest.raises(Invalid) as caught:
            parse(f"{path} = {wrong}", schema)
        assert caught.value.reason == "FILTER_INVALID"


def _begin_all(names: list[str], prefix: str) -> bool:
    return all(name.startswith(prefix) for name in names)


def test_names_of_resources_are_those_of_the_contract() -> None:
    expected = {
        (resource.RESOURCES, "provisioning_state"): resource_pb2.Resource.State,
        (resource.RESOURCES, "lock"): resource_pb2.Resource.Lock,
        (resource.STACKS, "state"): resource_pb2.Stack.State,
        (resource.STACKS, "failure_policy"): resource_pb2.Stack.FailurePolicy,
        (resource.REVISIONS, "kind"): resource_pb2.ResourceRevision.Kind,
        (resource.REVISIONS, "cause"): resource_pb2.ResourceRevision.Cause,
    }
    for (schema, path), enum in expected.items():
        assert set(schema.fields[path].values) == {name for name, number in enum.items() if number}
