from typing import Any

import pytest
from sutler.errors import Invalid, PermissionDenied
from sutler.resource.v1 import resource_pb2

from services.rule.adapters.methods import Methods, parse_request
from services.rule.adapters.schemas import Schemas
from services.rule.adapters.targets import Target, target_of
from services.rule.definitions import CallMethod

RESOURCES = "sutler.resource.v1.ResourceService"
ERP = "sutler.erp.v1.ErpGateway"
TARGETS = {
    RESOURCES: Target("127.0.0.1:1"),
    ERP: Target("127.0.0.1:2", (f"{ERP}/Update*", f"{ERP}/GetRecord")),
    "shop": Target("127.0.0.1:3"),
}
METHODS = Methods(TARGETS, Schemas(TARGETS, {}))

PROVISION = {
    "parent": "subscriptions/shop/resourceGroups/orders",
    "resource_id": "${event.data.values.name}",
    "resource": {
        "type": "Sutler.Compute/machineSets",
        "properties": {"template": "templates/small", "count": "${int(payload.values.order_line[0].product_uom_qty)}"},
        "tags": {"order": "${string(payload.id)}", "connection": "${payload.connection}"},
    },
}
REPORT = {
    "connection": "${payload.tags.connection}",
    "model": "sale.order",
    "id": "${payload.tags.order}",
    "values": {"note": "Machines: ${payload.outputs.machines.map(m, m.name)}"},
}
RELEASE = {
    "name": "subscriptions/shop/resourceGroups/orders/providers/Sutler.Compute/machineSets/${payload.values.name}",
    "allowMissing": True,
    "force": True,
}


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        (f"{RESOURCES}/CreateResource", PROVISION),
        (f"{ERP}/UpdateRecord", REPORT),
        (f"{RESOURCES}/DeleteResource", RELEASE),
    ],
)
async def test_the_calls_of_the_main_flow_fit_their_methods(method: str, request_: dict[str, Any]) -> None:
    assert await METHODS.check(CallMethod(method, request_), "f") == []


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"parnet": "x"}, "f.request.parnet"),
        ({"resource": {"colour": "${x}"}}, "f.request.resource.colour"),
        ({"resource": "x"}, "f.request.resource"),
        ({"resource": {"references": [{"nope": 1}]}}, "f.request"),
        ({"parent": {"a": 1}}, "f.request"),
        ({"validateOnly": "yes"}, "f.request"),
        ({"resource": {"expireTime": "tomorrow"}}, "f.request"),
        ({"resource": {"tags": {"a": 1}}}, "f.request"),
    ],
)
async def test_what_does_not_fit_is_told_with_its_place(request_: dict[str, Any], field: str) -> None:
    (fault,) = await METHODS.check(CallMethod(f"{RESOURCES}/CreateResource", request_), "f")
    assert fault.reason == "TEMPLATE_INVALID"
    assert fault.field.startswith(field)


@pytest.mark.parametrize(
    "request_",
    [
        {"resource": "${payload}"},
        {"resource": {"tags": "${payload.tags}", "expireTime": "${event.time}", "properties": {"a": ["${x}"]}}},
        {"validateOnly": "${payload.dry}", "resource": {"properties": "${payload}"}},
        {"resource": {"references": ["${payload.name}"]}},
        {"resource": None},
        {},
    ],
)
async def test_what_only_the_values_can_tell_is_let_through(request_: dict[str, Any]) -> None:
    assert await METHODS.check(CallMethod(f"{RESOURCES}/CreateResource", request_), "f") == []


@pytest.mark.parametrize("method", ["nope.v1.X/Y", f"{RESOURCES}/Nope", f"{RESOURCES}/WatchResources"])
async def test_methods_that_are_not_there(method: str) -> None:
    (fault,) = await METHODS.check(CallMethod(method), "f")
    assert (fault.reason, fault.field) == ("METHOD_UNKNOWN", "f.method")


async def test_targets() -> None:
    assert target_of(CallMethod(f"{RESOURCES}/GetResource"), TARGETS).address == "127.0.0.1:1"
    assert target_of(CallMethod(f"{RESOURCES}/GetResource", target="shop"), TARGETS).address == "127.0.0.1:3"
    (fault,) = await METHODS.check(CallMethod(f"{RESOURCES}/GetResource", target="none"), "f")
    assert (fault.reason, fault.field) == ("METHOD_UNKNOWN", "f.target")
    for method in ("sutler.cache.v1.CacheService/GetEntry", f"{ERP}/DeleteRecord"):
        with pytest.raises(PermissionDenied) as caught:
            await METHODS.check(CallMethod(method), "f")
        assert caught.value.reason == "METHOD_NOT_ALLOWED"


OPERATIONS = "google.longrunning.Operations"


@pytest.mark.parametrize(
    ("method", "target", "permission"),
    [
        (f"{RESOURCES}/CreateResource", "", "resource.resources.create"),
        (f"{RESOURCES}/CreateResource", "shop", "resource.resources.create"),
        (f"{OPERATIONS}/CancelOperation", RESOURCES, "resource.operations.cancel"),
        (f"{OPERATIONS}/GetOperation", ERP, "erp.operations.get"),
        (f"{OPERATIONS}/CancelOperation", "same", "erp.operations.cancel"),
        (f"{OPERATIONS}/CancelOperation", "", "resource.operations.cancel"),
        (f"{OPERATIONS}/CancelOperation", "shop", ""),
        ("grpc.health.v1.Health/Check", "shop", ""),
    ],
)
async def test_permissions_come_from_the_contracts(method: str, target: str, permission: str) -> None:
    places = {RESOURCES: 1, ERP: 2, "same": 2, OPERATIONS: 1, "shop": 3}
    targets = {name: Target(f"127.0.0.1:{port}") for name, port in places.items()}
    methods = Methods(targets, Schemas(targets, {}))
    do = CallMethod(method, target=target)
    assert await methods.check(do, "f") == []
    assert methods.permission(do) == permission


async def test_a_request_gets_the_key_where_it_has_a_place_for_it() -> None:
    _, create = await METHODS.find(CallMethod(f"{RESOURCES}/CreateResource"))
    _, get = await METHODS.find(CallMethod(f"{RESOURCES}/GetResource"))
    made: Any = parse_request(create, {"resourceId": "x", "resource": {"properties": {"n": 1}}}, "key")
    assert isinstance(made, resource_pb2.CreateResourceRequest)
    assert (made.request_id, made.resource.properties["n"]) == ("key", 1)
    own: Any = parse_request(create, {"requestId": "mine"}, "key")
    assert own.request_id == "mine"
    parse_request(get, {"name": "x"}, "key")
    with pytest.raises(Invalid) as caught:
        parse_request(create, {"resourceId": 3}, "key")
    assert caught.value.reason == "TEMPLATE_INVALID"
