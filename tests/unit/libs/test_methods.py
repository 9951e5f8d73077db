from __future__ import annotations

from typing import Any

import pytest
from google.api import resource_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from sutler.cache.v1 import cache_pb2 as cache
from sutler.contracts import modules
from sutler.erp.v1 import erp_pb2 as erp
from sutler.methods import find_method
from sutler.provider.v1 import provider_pb2 as provider
from sutler.resource.v1 import resource_pb2 as resource
from sutler.rule.v1 import rule_pb2 as rule

SERVICES = {
    cache: "CacheService",
    erp: "ErpGateway",
    provider: "ProviderService",
    resource: "ResourceService",
    rule: "RuleService",
}
EVERY = [
    method
    for module in modules()
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def targets(module: Any, method: str, **fields: Any) -> tuple[str, ...]:
    service = module.DESCRIPTOR.services_by_name[SERVICES[module]]
    request = message_factory.GetMessageClass(service.methods_by_name[method].input_type)(**fields)
    return find_method(f"/{service.full_name}/{method}").targets(request)


class TestTargets:
    @pytest.mark.parametrize(
        ("module", "method", "fields", "expected"),
        [
            (cache, "GetCache", {"name": "caches/a"}, ("caches/a",)),
            (cache, "ListCaches", {}, ()),
            (cache, "CreateCache", {"cache_id": "a", "cache": cache.Cache()}, ("caches/a",)),
            (cache, "UpdateCache", {"cache": cache.Cache(name="caches/a")}, ("caches/a",)),
            (cache, "DeleteCache", {"name": "caches/a"}, ("caches/a",)),
            (cache, "PutEntry", {"cache": "caches/a", "key": "k", "entry": cache.Entry()}, ("caches/a",)),
            (cache, "BatchGetEntries", {"cache": "caches/a", "keys": ["k"]}, ("caches/a",)),
            (cache, "WriteBlob", {"header": cache.WriteBlobHeader(cache="caches/a")}, ("caches/a",)),
            (cache, "WriteBlob", {"data": b"x"}, ()),
            (cache, "GetOperation", {"name": "cacheOperations/1"}, ("cacheOperations/1",)),
            (erp, "GetConnection", {"name": "connections/main"}, ("main/",)),
            (erp, "CreateConnection", {"connection_id": "main", "connection": erp.Connection()}, ("main/",)),
            (erp, "UpdateConnection", {"connection": erp.Connection(name="connections/m")}, ("m/",)),
            (erp, "GetRecord", {"connection": "connections/main", "model": "res.partner"}, ("main/res.partner",)),
            (erp, "GetCustomer", {"connection": "connections/main", "id": 1}, ("main/",)),
            (erp, "ImportRecords", {"connection": "connections/main", "model": "x"}, ("main/x",)),
            (erp, "ImportRecords", {"first_index": 7}, ()),
            (erp, "ListConnections", {}, ("/",)),
            (
                erp,
                "CreateSubscription",
                {"parent": "connections/main", "subscription_id": "s", "subscription": erp.Subscription()},
                ("main/",),
            ),
            (erp, "ListSubscriptions", {"parent": "connections/main"}, ("main/",)),
            (erp, "RunTransaction", {"parent": "connections/main"}, ("main/",)),
            (provider, "StartMachines", {"names": ["machines/a", "machines/b"]}, ("machines/a", "machines/b")),
            (provider, "ReturnMachines", {"all": True}, ()),
            (provider, "CreatePriceTable", {"price_table_id": "eu"}, ("priceTables/eu",)),
            (resource, "BatchGetResources", {"names": ["a/b", "c/d"], "parent": "x/y"}, ("a/b", "c/d")),
            (resource, "ApplyStack", {"stack": resource.Stack(name="stacks/a")}, ("stacks/a",)),
            (resource, "ListResources", {"parent": "subscriptions/s"}, ("subscriptions/s",)),
            (resource, "CreateResourceType", {"resource_type_id": "Custom.Org.a"}, ("resourceTypes/Custom.Org.a",)),
            (rule, "UpdateSubject", {"subject": rule.Subject(name="subjects/a/b")}, ("subjects/a/b",)),
            (rule, "PullTasks", {"parent": "queues/mail"}, ("queues/mail",)),
            (rule, "BatchPublishEvents", {"events": [rule.Event(name="events/a")]}, ()),
        ],
    )
    def test_of_every_shape(self, module: Any, method: str, fields: dict[str, Any], expected: tuple[str, ...]) -> None:
        assert targets(module, method, **fields) == expected

    @pytest.mark.parametrize(
        ("parent", "type_name", "expected"),
        [
            ("", "Sutler.Resource/subscriptions", "subscriptions/x"),
            ("subscriptions/s", "Sutler.Resource/resourceGroups", "subscriptions/s/resourceGroups/x"),
            (
                "subscriptions/s/resourceGroups/g",
                "Custom.Org/servers",
                "subscriptions/s/resourceGroups/g/providers/Custom.Org/servers/x",
            ),
            (
                "subscriptions/s/providers/Custom.Org/servers/a",
                "Custom.Org/servers/databases",
                "subscriptions/s/providers/Custom.Org/servers/a/databases/x",
            ),
        ],
    )
    def test_resources_are_named_after_their_type(self, parent: str, type_name: str, expected: str) -> None:
        wanted = resource.Resource(type=type_name)
        assert targets(resource, "CreateResource", parent=parent, resource_id="x", resource=wanted) == (expected,)

    def test_any_request_has_some_or_none(self) -> None:
        """Also an empty one: it is authorised before it is validated."""
        for method in EVERY:
            request = message_factory.GetMessageClass(method.input_type)()
            assert all(isinstance(name, str) for name in find_method(path(method)).targets(request)), method.full_name

    def test_a_model_that_only_the_handler_knows_is_checked_by_it(self) -> None:
        deferred = {method.name for method in EVERY if find_method(path(method)).deferred}
        assert deferred == {"GetCustomer", "SearchCustomers", "ListCustomerOrders"}

    def test_whatever_a_request_names_is_a_target(self) -> None:
        for method in EVERY:
            fields = method.input_type.fields_by_name
            named = [f for f in ("name", "connection", "cache", "parent") if f in fields and not fields[f].message_type]
            if named and "names" not in fields:
                request = message_factory.GetMessageClass(method.input_type)(**{named[0]: "x/y"})
                expected = "y/" if "ErpGateway" in method.full_name else "x/y"
                assert expected in find_method(path(method)).targets(request)[0], method.full_name


class TestContracts:
    def test_are_read(self) -> None:
        for method in EVERY:
            found = find_method(path(method), method.client_streaming, method.server_streaming)
            area = method.containing_service.file.package.split(".")[1]
            assert (found.path, found.area, found.open) == (path(method), area, False)
            assert found.permission.startswith(f"{area}.")
            assert found.mutating == ("request_id" in method.input_type.fields_by_name)
            assert found.answer(b"").DESCRIPTOR is method.output_type

    def test_created_names_fit_the_patterns_of_their_resource(self) -> None:
        for method in EVERY:
            fields = method.input_type.fields_by_name
            created = next((f for f in fields.values() if f.message_type and f"{f.name}_id" in fields), None)
            if created is None or created.name == "resource" or "ErpGateway" in method.full_name:
                continue
            (pattern,) = created.message_type.GetOptions().Extensions[resource_pb2.resource].pattern
            collection = pattern.rpartition("/")[0]
            request = message_factory.GetMessageClass(method.input_type)(**{f"{created.name}_id": "x"})
            if "parent" in fields:
                request.parent = collection.rpartition("/")[0]
            assert find_method(path(method)).targets(request) == (f"{collection}/x",), method.full_name

    def test_method_that_no_contract_has(self) -> None:
        found = find_method("/some.where.Else/Do", True, True)
        assert (found.permission, found.area, found.mutating, found.open) == ("", "", False, False)
        assert (found.request_streaming, found.response_streaming) == (True, True)

    @pytest.mark.parametrize(
        "name", ["grpc.health.v1.Health/Check", "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"]
    )
    def test_health_and_reflection_need_no_token(self, name: str) -> None:
        assert find_method(f"/{name}").open

    def test_channelz_does(self) -> None:
        assert not find_method("/grpc.channelz.v1.Channelz/GetServers").open


class TestEtag:
    @pytest.mark.parametrize(
        ("module", "method", "expected"),
        [
            (cache, "UpdateCache", ("cache", "etag")),
            (cache, "DeleteCache", ("etag",)),
            (cache, "ReadBlob", ("etag",)),
            (cache, "PutEntry", ()),
            (cache, "WriteBlob", ()),
            (erp, "UpdateRecord", ("etag",)),
            (provider, "ValidateTemplate", ()),
            (resource, "CreateResource", ()),
            (resource, "GetResource", ()),
            (resource, "ApplyStack", ("stack", "etag")),
            (resource, "PreviewStack", ()),
            (resource, "InvokeAction", ("etag",)),
            (rule, "UpdateSubject", ("subject", "etag")),
        ],
    )
    def test_where_a_request_has_it(self, module: Any, method: str, expected: tuple[str, ...]) -> None:
        service = module.DESCRIPTOR.services_by_name[SERVICES[module]]
        streaming = service.methods_by_name[method].client_streaming
        assert find_method(f"/{service.full_name}/{method}", streaming).etag == expected
