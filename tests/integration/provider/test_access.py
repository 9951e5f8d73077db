"""Tokens, permissions and tenants; and what other services are told."""

import asyncio
from typing import Any

import grpc
import pytest
from google.longrunning.operations_pb2 import GetOperationRequest
from sutler.auth import make_token
from sutler.client import connect
from sutler.errors import NotFound, PermissionDenied, Unauthenticated
from sutler.provider.v1 import provider_pb2 as pb
from sutler.resource.v1 import handler_pb2
from sutler.rule.v1 import rule_pb2, rule_pb2_grpc
from sutler.testing import serve, wait_until
from sutler.wire import from_value

from services.provider.app import app
from services.provider.settings import Settings
from tests.integration.provider.conftest import LAB, SMALL, Serve, ask, begin, give_back, machines, new_id, set_up
from tests.integration.provider.test_handler import SET, apply, applying, context, delete, resource

WHAT = ("providers", "templates", "machines", "machineRequests", "operations")
PLAIN = (*(f"provider.{what}.*" for what in WHAT), "resource.handlers.*")
"""Everything but to act for other tenants."""
SECRET = "a secret of more than thirty-two bytes"


def token(*permissions: str, tenant: str = "default", service: bool = False) -> str:
    return make_token(SECRET, "user:anna", permissions=permissions or ("*.*.*",), tenant=tenant, service=service)


async def test_tokens_permissions_and_tenants(place: Any, tmp_path: Any) -> None:
    settings = {"data": f"sqlite:///{tmp_path}/p.db", "machines": place, "auth_secret": SECRET, "drain_seconds": 1.0}
    async with serve(app, Settings, token=token(), **settings) as (owner, server):
        await set_up(owner)
        request = await ask(owner)
        assert request.creator == "user:anna"
        async with connect(server.address, attempts=1) as nobody:
            with pytest.raises(Unauthenticated):
                await machines(nobody)
        async with connect(server.address, token=token("provider.machines.list"), attempts=1) as reader:
            assert len(await machines(reader)) == 1
            with pytest.raises(PermissionDenied) as refused:
                await give_back(reader, all=True)
            assert refused.value.metadata["permission"] == "provider.machines.return"
        only = token("provider.machines.request:templates/l*")
        async with connect(server.address, token=only, attempts=1) as narrow:
            with pytest.raises(PermissionDenied):
                await begin(narrow)
        async with connect(server.address, token=token(*PLAIN, tenant="other"), attempts=1) as other:
            await check_another_tenant(other, request)
        async with connect(server.address, token=token("resource.*.*"), attempts=1) as handler:
            with pytest.raises(PermissionDenied) as both:
                await anext(aiter_apply(handler))
            assert both.value.metadata["permission"] == "provider.machines.request"
        await give_back(owner, all=True)


async def test_a_set_ends_only_for_who_may_end_its_machines(place: Any, tmp_path: Any) -> None:
    settings = {"data": f"sqlite:///{tmp_path}/p.db", "machines": place, "auth_secret": SECRET, "drain_seconds": 1.0}
    async with serve(app, Settings, token=token(), **settings) as (owner, server):
        await set_up(owner)
        outputs, _ = await apply(owner, applying(2))
        mine, other = sorted(m["name"] for m in outputs["machines"])
        handles = ("resource.handlers.*", "provider.machines.request")
        limited = token(*handles, f"provider.machines.return:{mine}")
        async with connect(server.address, token=limited, attempts=1) as narrow:
            for ending in (delete(narrow), apply(narrow, applying(0, fence=9))):
                with pytest.raises(PermissionDenied) as refused:
                    await ending
                assert refused.value.metadata["permission"] == "provider.machines.return"
        found = await machines(owner)
        assert [(m.state, m.return_request) for m in found] == [(pb.Machine.STATE_RUNNING, "")] * 2
        both = token(*handles, f"provider.machines.return:{mine}", f"provider.machines.return:{other}")
        async with connect(server.address, token=both, attempts=1) as wide:
            await delete(wide, fence=10)
        async with connect(server.address, token=limited, attempts=1) as narrow:
            await delete(narrow, fence=11)  # there is none left
        assert {m.state for m in await machines(owner)} == {pb.Machine.STATE_TERMINATED}


def aiter_apply(client: Any) -> Any:
    return client.handler.Apply(
        handler_pb2.ApplyRequest(context=context(), idempotency_key=new_id(), desired=resource())
    )


async def check_another_tenant(other: Any, request: pb.MachineRequest) -> None:
    """Nothing of the first tenant is there, and its names are free."""
    assert await machines(other) == []
    for call, name in (
        (other.providers.GetProvider, pb.GetProviderRequest(name=LAB)),
        (other.providers.GetTemplate, pb.GetTemplateRequest(name=SMALL)),
        (other.providers.GetMachineRequest, pb.GetMachineRequestRequest(name=request.name)),
        (other.providers.GetMachine, pb.GetMachineRequest(name=request.machines[0])),
        (other.providers.CancelMachineRequest, pb.CancelMachineRequestRequest(name=request.name)),
        (other.providers.GetOperation, GetOperationRequest(name=request.operation)),
        (other.providers.ReturnMachines, pb.ReturnMachinesRequest(names=request.machines)),
        (other.providers.ReturnMachines, pb.ReturnMachinesRequest(machine_request=request.name)),
    ):
        with pytest.raises(NotFound):
            await call(name)
    assert (await give_back(other, all=True)).count == 0
    await set_up(other)
    with pytest.raises(PermissionDenied):
        await anext(aiter_apply(other))  # the context of the call names another tenant


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

    def types(self, prefix: str) -> list[str]:
        return [event.type for event in self.events if event.type.startswith(prefix)]


async def test_every_state_is_told_once_also_after_rule_service_was_away(serving: Serve, free_port: int) -> None:
    rules = Rules()
    async with serving(rule_address=f"127.0.0.1:{free_port}") as client:
        await set_up(client)
        request = await ask(client, 2)
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        rule_pb2_grpc.add_RuleServiceServicer_to_server(rules, server)
        server.add_insecure_port(f"127.0.0.1:{free_port}")
        await server.start()
        await give_back(client, all=True)
        await wait_until(lambda: len(rules.types("machineRequest.complete")) == 2)
        await server.stop(0)
    assert rules.types("machine.") == [
        *["machine.pending"] * 2,
        *["machine.launching"] * 2,
        *["machine.running"] * 2,
        *["machine.shutting_down"] * 2,
        *["machine.terminated"] * 2,
    ]
    assert len({event.id for event in rules.events}) == len(rules.events)
    event = next(event for event in rules.events if event.type == "machineRequest.complete")
    assert (event.source, event.subject) == ("//provider.sutler.dev", request.name)
    told = from_value(event.data)
    assert (told["name"], told["state"], told["template"]) == (request.name, "STATE_COMPLETE", SMALL)
    assert event.extensions["correlationid"] == request.correlation_id


async def test_events_of_machines_carry_the_correlation_of_their_cause(serving: Serve, free_port: int) -> None:
    rules = Rules()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    rule_pb2_grpc.add_RuleServiceServicer_to_server(rules, server)
    server.add_insecure_port(f"127.0.0.1:{free_port}")
    await server.start()
    async with serving(rule_address=f"127.0.0.1:{free_port}") as client:
        await set_up(client)
        async with asyncio.timeout(20):
            async for answer in aiter_apply(client):
                if answer.HasField("result"):
                    break
        await wait_until(lambda: len(rules.types("machine.running")) == 2)
    await server.stop(0)
    running = [event for event in rules.events if event.type == "machine.running"]
    assert {event.extensions["correlationid"] for event in running} == {"order-30"}
    assert {from_value(event.data)["owner"] for event in running} == {SET}
