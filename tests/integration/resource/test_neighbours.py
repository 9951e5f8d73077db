"""What happens when a neighbour dies, stops, or comes back: handlers, RuleService, and another copy of the service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from google.longrunning.operations_pb2 import GetOperationRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sutler.client import connect
from sutler.resource.v1 import resource_pb2 as pb
from sutler.rule.v1 import rule_pb2, rule_pb2_grpc
from sutler.server import running
from sutler.type.v1.operation_pb2 import OperationMetadata
from sutler.wire import from_struct, from_value

from services.resource.app import app
from tests.integration.resource.conftest import Tenant, settings_for, token, until
from tests.integration.resource.machines import Machines, serving


class Rules(rule_pb2_grpc.RuleServiceServicer):
    """Takes events, as RuleService does, and remembers them."""

    def __init__(self) -> None:
        self.events: list[rule_pb2.Event] = []

    async def BatchPublishEvents(self, request: Any, context: Any) -> rule_pb2.BatchPublishEventsResponse:
        self.events += request.events
        answer = rule_pb2.BatchPublishEventsResponse()
        for event in request.events:
            answer.results.add(event=f"events/{event.id}")
        return answer


@asynccontextmanager
async def ruling(rules: Rules, port: int) -> AsyncIterator[None]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    rule_pb2_grpc.add_RuleServiceServicer_to_server(rules, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


@asynccontextmanager
async def serving_resources(folder: Path, *handlers: str, **changes: object) -> AsyncIterator[Tenant]:
    """A service over a file in a folder; the next one over the same folder goes on where this one ended."""
    settings = settings_for(f"sqlite:///{folder}/r.db", *handlers, **changes)
    async with (
        running(app, settings, "resource") as up,
        connect(up.address, token=token("default"), attempts=1) as s,
    ):
        yield Tenant("default", s, None)  # type: ignore[arg-type]


async def provision(tenant: Tenant, address: str, properties: dict[str, object]) -> Any:
    group = await tenant.group()
    await tenant.type("Custom.Org.machines", address=address)
    return await tenant.create(group, "a", "Custom.Org/machines", properties)


def applies(machines: Machines) -> list[Any]:
    return [request for method, request, _ in machines.calls if method == "Apply"]


async def called(machines: Machines, times: int = 1) -> None:
    async def enough() -> bool:
        return len(applies(machines)) >= times

    await until(enough)


async def test_a_handler_that_dies_halfway_is_called_again(tmp_path: Path, free_port: int) -> None:
    machines = Machines()
    async with serving_resources(tmp_path, f"127.0.0.1:{free_port}") as tenant:
        async with serving(machines, free_port) as address:
            operation = await provision(tenant, address, {"behave": "hang", "count": 2})
            await called(machines)
        machines.release.set()
        async with serving(machines, free_port):
            made = await tenant.s.wait(operation)
    assert isinstance(made, pb.Resource) and from_struct(made.outputs) == {"machines": ["m0", "m1"]}
    calls = applies(machines)
    assert len(calls) >= 2 and len({call.idempotency_key for call in calls}) == 1
    assert machines.made("default", made.name) == 1


async def test_a_service_that_stops_hands_its_operations_over(tmp_path: Path) -> None:
    machines = Machines()
    async with serving(machines) as address:
        async with serving_resources(tmp_path, address) as tenant:
            operation = await provision(tenant, address, {"behave": "hang"})
            await called(machines)
        machines.release.set()
        async with serving_resources(tmp_path, address) as tenant:
            made = await tenant.s.wait(operation)
            found = OperationMetadata()
            ended = await tenant.s.resources.GetOperation(GetOperationRequest(name=operation.name))
            ended.metadata.Unpack(found)
    assert isinstance(made, pb.Resource) and made.provisioning_state == pb.Resource.STATE_SUCCEEDED
    assert found.attempt == 2
    first, second = applies(machines)
    assert first.idempotency_key == second.idempotency_key
    assert first.context.fencing_token < second.context.fencing_token


async def test_of_two_copies_one_works_at_a_time(tmp_path: Path) -> None:
    machines = Machines()
    async with (
        serving(machines) as address,
        serving_resources(tmp_path, address) as one,
        serving_resources(tmp_path, address) as two,
    ):
        group = await one.group()
        await one.type("Custom.Org.machines", address=address)
        operations = await asyncio.gather(
            *((one, two)[i % 2].create(group, f"m{i}", "Custom.Org/machines", {"seconds": 0.05}) for i in range(20))
        )
        await asyncio.gather(*((two, one)[i % 2].s.wait(operation) for i, operation in enumerate(operations)))
    assert sorted(machines.effects.values()) == [1] * 20
    assert len(applies(machines)) == 20


async def test_a_call_can_wait_for_the_handler(tmp_path: Path) -> None:
    machines = Machines()
    async with serving(machines) as address, serving_resources(tmp_path, address, wait_seconds=20) as tenant:
        operation = await provision(tenant, address, {"seconds": 0.1})
        assert operation.done
        assert (await tenant.delete("subscriptions/shop", force=True)).done


async def test_events_wait_for_rule_service(tmp_path: Path, free_port: int) -> None:
    rules = Rules()
    address = f"127.0.0.1:{free_port}"
    async with serving_resources(tmp_path, rule_address=address) as tenant:
        await tenant.group()
        health = health_pb2_grpc.HealthStub(tenant.s.channel)  # type: ignore[no-untyped-call]

        async def told(name: str, expected: int) -> bool:
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            return bool(answer.status == expected)

        await until(lambda: told("neighbour.rule", health_pb2.HealthCheckResponse.NOT_SERVING))
        assert await told("sutler.resource.v1.ResourceService", health_pb2.HealthCheckResponse.SERVING)
        async with ruling(rules, free_port):

            async def all_told() -> bool:
                return len(rules.events) >= 4

            await until(all_told)
    assert [(event.type, event.subject) for event in rules.events] == [
        ("resource.accepted", "subscriptions/shop"),
        ("resource.succeeded", "subscriptions/shop"),
        ("resource.accepted", "subscriptions/shop/resourceGroups/orders"),
        ("resource.succeeded", "subscriptions/shop/resourceGroups/orders"),
    ]
    event = rules.events[3]
    assert event.source == "//resource.sutler.dev"
    data = from_value(event.data)
    assert data["resource"]["provisioning_state"] == "SUCCEEDED"
    assert data["resource"]["name"] == event.subject
